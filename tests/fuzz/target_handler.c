/* The server's handler, with all shards of a small job in memory, under any requests in any order: every frame is
 * answered once or waits, or its peer is ended; what is refused changes nothing but a number; and no weight is ever not
 * finite.
 *
 * Input: steps, of u8 kind (low 3 bits) and peer (next 2 bits):
 *   0-4  a frame: u8 type, u16 length of the message, the message, u16 length of the payload, u8 length of a pattern,
 *        the pattern, which is repeated to fill the payload
 *   5    the peer comes, or goes
 *   6    time passes: u8 units of 100 ms
 *   7    the server stops, when u8 is 'S'
 * Ids of tensors and tables are 1, 2, 3 ... in order of creation. The kept inputs together have every type of request
 * carried out. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/message_table.h"

#include <math.h>

#include "common/endian.h"
#include "common/rows.h"
#include "server/handler_state.h"

#define PEERS       4
#define FRAMES      256
#define STATE_LIMIT (256 * 1024)
#define SHARDS      4

struct peer {
    struct handler_peer peer; /* first */
    struct world *world;
    bool present, over; /* over: it was told so, in answer to no request */
};

/* What was asked with request id 1 + index. */
struct asked {
    struct peer *peer;
    unsigned type;
    const struct frame *frame; /* while it is executed */
    bool answered, refused;
    uint64_t changes; /* pieces that changed a block, or runs that were carried out, by the reply */
};

struct world {
    struct job job;
    struct handler_environment environment;
    struct handler *handler;
    struct peer peers[PEERS];
    struct asked asked[FRAMES];
    size_t count, open; /* asked; not answered yet */
    uint64_t now, ids;
};

static uint64_t world_now(void *user) {
    return ((struct world *)user)->now;
}

static void world_random(void *user, void *bytes, size_t count) {
    uint64_t id = ++((struct world *)user)->ids;
    memset(bytes, 0, count);
    memcpy(bytes, &id, count < sizeof id ? count : sizeof id);
}

/* Types of requests that were carried out at least once, with one piece or run at least where there are such. */
static bool carried_out[FRAME_LAST + 1];

void fuzz_replayed(void) {
    for (unsigned type = FRAME_HELLO + 1; type <= FRAME_LAST; type++) {
        if (role_least(type) != ROLE_NONE && !carried_out[type]) {
            fprintf(stderr, "no input has %s carried out\n", frame_type_name(type));
            REQUIRE(carried_out[type]);
        }
    }
}

/* ---- Replies ---- */

static bool is_rows(unsigned type) {
    return rows_push(type) || rows_pull(type) || type == FRAME_TABLE_ERASE;
}

static void require_finite(const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, bytes + i * sizeof value, sizeof value);
        REQUIRE(isfinite(value));
    }
}

/* A reply about rows is what a client takes for one. */
static void check_rows_done(const struct message_rows_done *done, struct asked *asked, const uint8_t *payload,
                            size_t bytes) {
    const struct frame *frame = asked->frame;
    const struct rows_run *runs = (const struct rows_run *)(const void *)frame->payload;
    struct message_rows message;
    struct rows_layout layout;
    struct error error;
    REQUIRE(message_unpack_rows(frame->message, frame->header.message_bytes, &message, &error) == CANYON_OK);
    REQUIRE(rows_check_reply(asked->type, &message, runs, done, payload, bytes, &layout, &error) == CANYON_OK);
    for (uint32_t i = 0; i < done->runs; i++) {
        struct rows_result result;
        memcpy(&result, payload + i * sizeof result, sizeof result);
        asked->changes += result.code == CANYON_OK;
        REQUIRE(result.code == CANYON_OK || (result.rows == 0 && result.version == 0 && done->text[0] != '\0'));
        REQUIRE(result.rows <= runs[i].rows);
    }
    if (done->rows > 0 && message.reply == CODEC_F32) {
        require_finite(payload + layout.values, (size_t)done->rows * message.dim);
    }
}

static void check_page(const struct message_row_page *page, const struct asked *asked, const uint8_t *payload,
                       size_t bytes) {
    struct message_row_query query;
    struct error error;
    REQUIRE(message_unpack_row_query(asked->frame->message, asked->frame->header.message_bytes, &query, &error) ==
            CANYON_OK);
    const struct rows_page_layout layout = rows_page_layout(page, query.state);
    REQUIRE(page->rows <= query.most && bytes == (page->rows > 0 ? layout.bytes : 0));
    for (uint32_t i = 0; i < page->rows; i++) {
        REQUIRE(load_u64(payload + 8 * i) >= (i == 0 ? query.from : load_u64(payload + 8 * (i - 1)) + 1));
    }
    require_finite(payload + layout.values, page->rows > 0 ? (size_t)page->rows * page->values : 0);
}

/* All of a payload in a row. Owned. */
static uint8_t *payload_of(const struct handler_slice *slices, size_t count) {
    size_t bytes = 0, at = 0;
    for (size_t i = 1; i < count; i++) {
        bytes += slices[i].count;
    }
    uint8_t *payload = malloc(bytes + 1);
    REQUIRE(payload != NULL);
    for (size_t i = 1; i < count; i++) {
        memcpy(payload + at, slices[i].bytes, slices[i].count);
        at += slices[i].count;
    }
    return payload;
}

static void check_message(const struct frame_header *header, const uint8_t *message, const uint8_t *payload,
                          struct asked *asked) {
    const struct message_kind *kind = message_kind_of(header->type);
    union any_message reply;
    struct error error;
    if (kind == NULL) {
        REQUIRE(header->message_bytes == 0);
        return;
    }
    REQUIRE(kind->unpack(message, header->message_bytes, &reply, &error) == CANYON_OK);
    if (asked->refused) {
        REQUIRE(reply.error.text[0] != '\0');
    } else if (asked->type == FRAME_ASSIGN || asked->type == FRAME_PUSH || asked->type == FRAME_PUSH_PULL) {
        for (uint32_t i = 0; i < reply.piece_results.count; i++) {
            asked->changes += reply.piece_results.results[i].status == CANYON_OK;
        }
    } else if (is_rows(asked->type)) {
        check_rows_done(&reply.rows_done, asked, payload, header->payload_bytes);
    } else if (asked->type == FRAME_TABLE_ROWS) {
        check_page(&reply.row_page, asked, payload, header->payload_bytes);
    }
}

static void take_reply(struct handler_peer *to, const struct handler_slice *slices, size_t count) {
    struct peer *peer = (struct peer *)(void *)to;
    struct world *world = peer->world;
    uint8_t head[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    struct frame_header header;
    size_t total = 0;
    REQUIRE(count > 0 && slices[0].count <= sizeof head && slices[0].count >= FRAME_HEADER_BYTES);
    for (size_t i = 0; i < count; i++) {
        const volatile uint8_t *bytes = slices[i].bytes; /* readable from the first to the last */
        uint8_t touched = slices[i].count > 0 ? (uint8_t)(bytes[0] ^ bytes[slices[i].count - 1]) : 0;
        (void)touched;
        total += slices[i].count;
    }
    memcpy(head, slices[0].bytes, slices[0].count);
    REQUIRE(frame_header_decode(head, FRAME_PAYLOAD_LIMIT, &header, NULL) == CANYON_OK);
    REQUIRE(slices[0].count >= FRAME_HEADER_BYTES + header.message_bytes);
    REQUIRE(total == FRAME_HEADER_BYTES + header.message_bytes + header.payload_bytes);
    if (header.request == 0) {
        REQUIRE(header.type == FRAME_ERROR && peer->present && !peer->over);
        peer->over = true;
        return;
    }
    REQUIRE(header.request >= 1 && header.request <= world->count && !peer->over);
    struct asked *asked = &world->asked[header.request - 1];
    REQUIRE(asked->peer == peer && peer->present && !asked->answered);
    REQUIRE(header.type == FRAME_ERROR || header.type == asked->type + 1);
    asked->answered = true;
    asked->refused = header.type == FRAME_ERROR;
    world->open--;
    uint8_t *payload = payload_of(slices, count);
    check_message(&header, head + FRAME_HEADER_BYTES, payload, asked);
    free(payload);
    const bool in_parts = asked->type == FRAME_ASSIGN || asked->type == FRAME_PUSH || asked->type == FRAME_PUSH_PULL;
    if (!asked->refused && (asked->changes > 0 || !(in_parts || is_rows(asked->type)))) {
        carried_out[asked->type] = true;
    }
}

/* What it waits for, or asks now, has this for an answer. */
static void take_end(struct handler_peer *to) {
    struct peer *peer = (struct peer *)(void *)to;
    struct world *world = peer->world;
    REQUIRE(peer->over);
    for (size_t i = 0; i < world->count; i++) {
        if (world->asked[i].peer == peer && !world->asked[i].answered) {
            world->asked[i].answered = world->asked[i].refused = true;
            world->open--;
        }
    }
}

/* ---- State ---- */

static uint64_t state_of(const struct world *world, uint8_t digest[HASH_BYTES]) {
    struct hash hash;
    uint64_t sequence = 0;
    hash_init(&hash);
    for (uint32_t i = 0; i < SHARDS; i++) {
        uint8_t one[HASH_BYTES];
        shard_digest(world->handler->shards[i], one);
        hash_update(&hash, one, sizeof one);
        sequence += shard_sequence(world->handler->shards[i]);
    }
    hash_final(&hash, digest);
    return sequence;
}

static uint64_t check_table(const struct world *world, const struct handler_tensor *table) {
    uint64_t bytes = 0, rows = 0;
    for (uint32_t i = 0; i < SHARDS; i++) {
        const struct shard *shard = world->handler->shards[i];
        uint64_t ids[64], from = 0;
        size_t count = 0;
        bytes += shard_table_bytes(shard, table->key.id);
        do {
            REQUIRE(shard_next_rows(shard, table->key.id, from, 64, ids, &count, NULL) == CANYON_OK);
            for (size_t row = 0; row < count; row++) {
                struct shard_row view;
                REQUIRE(shard_row(shard, table->key.id, ids[row], &view, NULL) == CANYON_OK);
                require_finite((const uint8_t *)view.values, view.value_count);
            }
            rows += count;
            from = count > 0 ? ids[count - 1] + 1 : 0;
        } while (count == 64 && from > 0);
    }
    const uint64_t cap = table->spec.row_cap;
    REQUIRE(cap == 0 || rows <= (cap / SHARDS + 1) * SHARDS);
    REQUIRE(bytes == table->bytes);
    return bytes;
}

static void check_finite(const struct world *world) {
    const struct directory *tensors = &world->handler->tensors;
    uint64_t bytes = 0;
    for (size_t i = 0; i < tensors->count; i++) {
        const struct handler_tensor *tensor = (const struct handler_tensor *)(const void *)tensors->by_id[i];
        bytes += tensor->spec.kind == TENSOR_TABLE ? check_table(world, tensor) : tensor->bytes;
        for (uint32_t block = 0; tensor->spec.kind != TENSOR_TABLE && block < tensor->blocks; block++) {
            struct shard_block view;
            const struct shard *shard = world->handler->shards[job_shard_of(&world->job, tensor->home, block)];
            for (uint32_t slot = SLOT_WEIGHTS; slot < SLOT_STEP; slot++) {
                bool there = shard_read(shard, tensor->key.id, block, slot, &view, NULL) == CANYON_OK;
                const float *values = there ? view.values : NULL;
                REQUIRE(there || slot != SLOT_WEIGHTS);
                for (size_t e = 0; there && e < view.bytes / sizeof *values; e++) {
                    REQUIRE(isfinite(values[e]));
                }
            }
        }
    }
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        bytes += shard_session_bytes(world->handler->shards[shard]);
    }
    REQUIRE(bytes == world->handler->state_bytes && bytes <= STATE_LIMIT);
}

/* ---- Steps ---- */

static void take_wake(struct handler_peer *peer) {
    REQUIRE(((struct peer *)(void *)peer)->present && peer->ready > 0);
}

/* Every other peer has a say in when its pulls that waited are carried out. */
static void come_or_go(struct world *world, struct peer *peer) {
    if (!peer->present) {
        peer->peer = (struct handler_peer){.send = take_reply, .close = take_end, .name = "peer"};
        peer->peer.wake = (peer - world->peers) % 2 == 1 ? take_wake : NULL;
        peer->over = false;
        peer->peer.session[0] = (uint8_t)(1 + (peer - world->peers) % 3); /* two share one */
        peer->present = true;
        peer->peer.role = ROLE_ADMIN;
        REQUIRE(handler_peer_came(world->handler, &peer->peer, NULL) == CANYON_OK);
        return;
    }
    handler_peer_gone(world->handler, &peer->peer);
    peer->present = false;
    for (size_t i = 0; i < world->count; i++) {
        if (world->asked[i].peer == peer && !world->asked[i].answered) {
            world->asked[i].answered = true; /* forgotten */
            world->open--;
        }
    }
}

static bool is_malformed(const struct frame *frame) {
    const struct message_kind *kind = message_kind_of(frame->header.type);
    union any_message message;
    struct error error;
    return kind != NULL &&
           kind->unpack(frame->message, frame->header.message_bytes, &message, &error) == CANYON_PROTOCOL;
}

/* Whether what is refused of it, or makes no difference, may take a place in a shard's order. */
static bool may_be_numbered(const struct frame *frame) {
    struct message_pieces pieces;
    struct error error;
    bool numbered = false;
    switch (frame->header.type) {
    case FRAME_ASSIGN:
    case FRAME_PUSH:
    case FRAME_PUSH_PULL:
        if (message_unpack_pieces(frame->message, frame->header.message_bytes, &pieces, &error) == CANYON_OK) {
            for (uint32_t i = 0; i < pieces.count; i++) {
                numbered = numbered || pieces.pieces[i].number != 0;
            }
        }
        return numbered;
    case FRAME_TABLE_PUSH:
    case FRAME_TABLE_PULL:
    case FRAME_TABLE_PUSH_PULL:
    case FRAME_TABLE_ERASE:
        return frame->header.payload_bytes > 0;
    default:
        return false;
    }
}

/* What comes from a peer that is over is not looked at; what ended it changed nothing. */
static void check_end(struct world *world, struct asked *asked, bool was_over, uint64_t changed) {
    REQUIRE(!asked->peer->over || changed == 0);
    if (was_over) {
        REQUIRE(!asked->answered);
        asked->answered = asked->refused = true;
        world->open--;
    }
}

static void ask(struct world *world, struct peer *peer, const struct frame *frame) {
    bool was_over = peer->over;
    uint8_t before[HASH_BYTES], after[HASH_BYTES];
    uint64_t sequence = state_of(world, before);
    struct asked *asked = &world->asked[world->count++];
    *asked = (struct asked){.peer = peer, .type = frame->header.type, .frame = frame};
    world->open++;
    handler_frame(world->handler, &peer->peer, frame);
    asked->frame = NULL;
    uint64_t changed = state_of(world, after) - sequence;
    check_end(world, asked, was_over, changed);
    REQUIRE((changed != 0) == (memcmp(before, after, HASH_BYTES) != 0));
    if (may_be_numbered(frame)) {
        REQUIRE(changed <= LIMIT_RUNS && (!is_malformed(frame) || changed == 0));
    } else if (asked->refused || !asked->answered || is_malformed(frame)) {
        REQUIRE(changed == 0 && memcmp(before, after, HASH_BYTES) == 0);
        REQUIRE(!is_malformed(frame) || asked->refused);
    } else if (asked->changes > 0 || asked->type == FRAME_PUSH || asked->type == FRAME_PUSH_PULL ||
               asked->type == FRAME_ASSIGN) {
        REQUIRE(asked->type == FRAME_TABLE_PULL || asked->type == FRAME_TABLE_ERASE ? changed <= asked->changes
                                                                                    : changed == asked->changes);
    }
}

static void step_frame(struct world *world, struct peer *peer, struct input *input) {
    uint8_t type = input_u8(input);
    size_t message_bytes, wanted = input_u16(input) % (LIMIT_MESSAGE_BYTES + 1);
    const uint8_t *from = input_bytes(input, wanted, &message_bytes);
    uint8_t *message = exact_copy(from, message_bytes);
    size_t pattern_bytes, payload_bytes = input_u16(input);
    const uint8_t *pattern = input_bytes(input, input_u8(input), &pattern_bytes);
    uint8_t *payload = payload_bytes > 0 ? aligned_alloc(64, (payload_bytes + 63) / 64 * 64) : NULL;
    REQUIRE(payload != NULL || payload_bytes == 0);
    for (size_t i = 0; i < payload_bytes; i++) {
        payload[i] = pattern_bytes > 0 ? pattern[i % pattern_bytes] : 0;
    }
    struct frame frame = {.header = {.version = FRAME_VERSION,
                                     .type = type,
                                     .message_bytes = (uint32_t)message_bytes,
                                     .payload_bytes = (uint32_t)payload_bytes,
                                     .request = world->count + 1},
                          .message = message,
                          .payload = payload};
    if (peer->present && world->count < FRAMES) {
        ask(world, peer, &frame);
    }
    free(message);
    free(payload);
}

static void step(struct world *world, struct input *input) {
    uint8_t kind = input_u8(input);
    struct peer *peer = &world->peers[kind >> 3 & (PEERS - 1)];
    while (peer->present && handler_go_on(world->handler, &peer->peer)) {
        continue; /* before anything else of it */
    }
    switch (kind & 7) {
    case 5:
        come_or_go(world, peer);
        break;
    case 6:
        world->now += input_u8(input) * 100000000ull;
        handler_tick(world->handler);
        REQUIRE(handler_wakeup(world->handler) > world->now);
        break;
    case 7:
        if (input_u8(input) == 'S') {
            handler_stop(world->handler);
        }
        break;
    default:
        step_frame(world, peer, input);
        break;
    }
    size_t parked = 0;
    for (size_t i = 0; i < PEERS; i++) {
        const struct handler_peer *each = &world->peers[i].peer;
        parked += world->peers[i].present ? each->parked + each->waiting + each->ready : 0;
    }
    REQUIRE(parked == world->open);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char list[] = "127.0.0.1:7001";
    struct world *world = calloc(1, sizeof *world);
    struct input input = {data, size};
    REQUIRE(world != NULL);
    world->now = 1000000000;
    world->environment = (struct handler_environment){
        .now = world_now, .random = world_random, .user = world, .state_limit = STATE_LIMIT};
    job_init(&world->job);
    snprintf(world->job.name, sizeof world->job.name, "job");
    world->job.shards = SHARDS;
    world->job.block = LIMIT_BLOCK_LOW;
    REQUIRE(job_set_servers(&world->job, list, strlen(list), ',', NULL) == CANYON_OK);
    world->handler = handler_create(&world->job, 0, 0, 1, &world->environment);
    REQUIRE(world->handler != NULL);
    world->ids = 0; /* it has drawn its secret */
    for (size_t i = 0; i < PEERS; i++) {
        world->peers[i].world = world;
    }
    come_or_go(world, &world->peers[0]);
    come_or_go(world, &world->peers[1]);
    while (input.left > 0) {
        step(world, &input);
    }
    check_finite(world);
    for (size_t i = 0; i < PEERS; i++) {
        if (world->peers[i].present) {
            come_or_go(world, &world->peers[i]);
        }
    }
    /* Leases of those that are gone run out, each once. */
    for (size_t i = 0; i < PEERS && handler_wakeup(world->handler) != UINT64_MAX; i++) {
        REQUIRE(handler_wakeup(world->handler) > world->now);
        world->now = handler_wakeup(world->handler);
        handler_tick(world->handler);
    }
    REQUIRE(world->open == 0 && handler_wakeup(world->handler) == UINT64_MAX);
    handler_destroy(world->handler);
    job_finish(&world->job);
    free(world);
    return 0;
}
