/* The handler of a server thread, with every allocation of a job's life failing once: the request that met it is
 * refused with NO_MEMORY and changed nothing; asked again it succeeds, and in the end the state is that of a run in
 * which nothing failed. And that pushes and pulls of what is there ask for no memory at all. */
#include "tests/allocation/fail.h"
#include "tests/unit/server/fixture.h"

#include "common/row_hash.h"
#include "common/rows.h"
#include "server/handler_state.h"

#define SHARDS 4
#define BLOCK  1024
#define PEERS  3

/* A reply as it came, in memory that needs no allocation. */
struct taken {
    struct frame_header header;
    uint8_t message[LIMIT_MESSAGE_BYTES];
    struct rows_result result; /* the first of a reply about rows */
    size_t count;              /* replies since it was emptied */
};

struct peer {
    struct handler_peer peer; /* first */
    struct taken taken;
};

static struct {
    struct job job;
    struct handler_environment environment;
    struct handler *handler;
    struct peer peers[PEERS];
    uint64_t now, random, requests;
    size_t refused; /* requests that met the failure */
} world;

static uint64_t world_now(void *user) {
    (void)user;
    return world.now;
}

static void world_random(void *user, void *bytes, size_t count) {
    (void)user;
    for (size_t i = 0; i < count; i++) {
        ((uint8_t *)bytes)[i] = (uint8_t)seed_next(&world.random);
    }
}

static void take(struct handler_peer *to, const struct handler_slice *slices, size_t count) {
    struct taken *taken = &((struct peer *)(void *)to)->taken;
    const uint8_t *head = slices[0].bytes;
    assert_true(count > 0);
    assert_int_equal(frame_header_decode(head, FRAME_PAYLOAD_LIMIT, &taken->header, NULL), CANYON_OK);
    memcpy(taken->message, head + FRAME_HEADER_BYTES, taken->header.message_bytes);
    if (count > 1 && slices[1].count >= sizeof taken->result) {
        memcpy(&taken->result, slices[1].bytes, sizeof taken->result);
    }
    taken->count++;
}

static void whole_digest(uint8_t digest[HASH_BYTES]) {
    struct hash hash;
    hash_init(&hash);
    for (uint32_t i = 0; i < SHARDS; i++) {
        uint8_t one[HASH_BYTES];
        shard_digest(world.handler->shards[i], one);
        hash_update(&hash, one, sizeof one);
    }
    hash_final(&hash, digest);
}

static void give(struct peer *peer, unsigned type, const uint8_t *message, size_t message_bytes, const float *values,
                 size_t count) {
    struct frame frame = {.header = {.version = FRAME_VERSION,
                                     .type = (uint16_t)type,
                                     .message_bytes = (uint32_t)message_bytes,
                                     .payload_bytes = (uint32_t)(count * sizeof(float)),
                                     .request = ++world.requests},
                          .message = message,
                          .payload = (const uint8_t *)values};
    peer->taken.count = 0;
    fail_arm();
    handler_frame(world.handler, &peer->peer, &frame);
    fail_disarm();
}

static bool is_rows_done(const struct taken *taken) {
    const unsigned type = taken->header.type - 1u;
    return taken->count > 0 && (rows_push(type) || rows_pull(type) || type == FRAME_TABLE_ERASE);
}

static bool was_refused(const struct taken *taken) {
    struct error error, ignored;
    if (is_rows_done(taken) && taken->result.code != CANYON_OK) {
        struct message_rows_done done;
        assert_int_equal(message_unpack_rows_done(taken->message, taken->header.message_bytes, &done, &ignored),
                         CANYON_OK);
        error.status = (enum canyon_status)taken->result.code;
        memcpy(error.text, done.text, sizeof error.text);
    } else if (taken->count == 0 || taken->header.type != FRAME_ERROR) {
        return false;
    } else {
        assert_int_equal(message_unpack_error(taken->message, taken->header.message_bytes, &error, &ignored),
                         CANYON_OK);
    }
    if (error.status != CANYON_NO_MEMORY || !fail_happened()) {
        fail_msg("%s: %s (%s)", status_name(error.status), error.text, fail_place());
    }
    world.refused++;
    return true;
}

/* Asks, again if need be, until it is answered with another frame than an ERROR, or waits. */
static const struct taken *ask(unsigned place, unsigned type, const uint8_t *message, size_t message_bytes,
                               const float *values, size_t count) {
    struct peer *peer = &world.peers[place];
    uint8_t before[HASH_BYTES], after[HASH_BYTES];
    const bool may_fail = !fail_happened();
    if (may_fail) {
        whole_digest(before);
    }
    give(peer, type, message, message_bytes, values, count);
    if (was_refused(&peer->taken)) {
        assert_true(may_fail);
        whole_digest(after);
        assert_memory_equal(before, after, HASH_BYTES);
        give(peer, type, message, message_bytes, values, count);
        assert_false(was_refused(&peer->taken));
    }
    return &peer->taken;
}

/* ---- Requests ---- */

static uint8_t packed[LIMIT_MESSAGE_BYTES];

static const struct taken *ask_create(unsigned place, const struct tensor_spec *spec, uint32_t wait_ms) {
    struct message_create message = {.spec = *spec, .wait_ms = wait_ms};
    return ask(place, FRAME_CREATE, packed, message_pack_create(&message, packed), NULL, 0);
}

static void ask_open(unsigned place, const char *name, uint32_t wait_ms) {
    struct message_open message = {.wait_ms = wait_ms};
    snprintf(message.name, sizeof message.name, "%s", name);
    ask(place, FRAME_OPEN, packed, message_pack_open(&message, packed), NULL, 0);
}

static void ask_define(unsigned place, unsigned type, const struct tensor_info *info) {
    const struct taken *taken = ask(place, type, packed, message_pack_define(info, packed), NULL, 0);
    assert_int_equal(taken->header.type, type + 1);
}

static void ask_tensor(unsigned place, unsigned type, const struct tensor_info *info) {
    struct message_tensor message = {.id = info->id};
    memcpy(message.name, info->spec.name, sizeof message.name);
    const struct taken *taken = ask(place, type, packed, message_pack_tensor(&message, packed), NULL, 0);
    assert_int_equal(taken->header.type, type + 1);
}

static void ask_values(unsigned place, unsigned type, const struct tensor_info *info, uint32_t block,
                       uint32_t elements) {
    static float values[BLOCK];
    struct message_pieces pieces = {
        .count = 1, .pieces = {{.tensor = info->id, .block = block, .elements = elements, .version = 1}}};
    for (uint32_t i = 0; i < elements; i++) {
        values[i] = (float)(i + block + type) / 16.0f;
    }
    const struct taken *taken =
        ask(place, type, packed, message_pack_pieces(&pieces, packed), values, type == FRAME_PULL ? 0 : elements);
    assert_int_equal(taken->header.type, type + 1);
}

/* Whatever the codecs, an allocation that fails is none of theirs. */
static void ask_coded(const struct tensor_info *info, uint32_t block, enum codec codec, enum codec reply) {
    static float gradient[BLOCK], encoded[2 * BLOCK];
    const uint32_t kept = codec == CODEC_TOPK ? BLOCK / 8 : 0;
    struct message_pieces pieces = {
        .count = 1,
        .pieces = {
            {.tensor = info->id, .block = block, .elements = BLOCK, .codec = codec, .reply = reply, .kept = kept}}};
    for (uint32_t i = 0; i < BLOCK; i++) {
        gradient[i] = (float)i / 8.0f;
    }
    codec_encode_feedback(codec, gradient, NULL, BLOCK, kept, 1, (uint8_t *)encoded);
    const struct taken *taken = ask(0, FRAME_PUSH_PULL, packed, message_pack_pieces(&pieces, packed), encoded,
                                    codec_bytes(codec, BLOCK, kept) / sizeof(float));
    assert_int_equal(taken->header.type, FRAME_PUSH_PULLED);
    assert_int_equal(taken->header.payload_bytes, codec_bytes(reply, BLOCK, 0));
}

/* ---- Rows of tables ---- */

#define DIM  8
#define ROWS 300

/* A request about rows of shard 1: the ids from the `first` of that shard on, of which the last is the first again. */
static struct {
    _Alignas(64) uint8_t payload[64 * 1024];
    uint64_t ids[4 * ROWS];
} rows;

static void find_ids(const char *name) {
    struct row_hash hash;
    row_hash_init(&hash, name);
    for (uint64_t id = 0, found = 0; found < sizeof rows.ids / sizeof rows.ids[0]; id++) {
        uint64_t hashed;
        row_hash_of(&hash, &id, 1, &hashed);
        if (hashed % SHARDS == 1) {
            rows.ids[found++] = id;
        }
    }
}

static size_t write_rows(unsigned type, uint32_t first, uint32_t count, enum codec codec) {
    static float gradient[DIM];
    const struct rows_run run = {.shard = 1, .rows = count};
    size_t at = sizeof run;
    memset(rows.payload, 0, sizeof rows.payload);
    memcpy(rows.payload, &run, sizeof run);
    for (uint32_t i = 0; i < count; i++, at += sizeof(uint64_t)) {
        memcpy(rows.payload + at, &rows.ids[first + (i + 1 == count ? 0 : i)], sizeof(uint64_t));
    }
    at = rows_push(type) ? (at + 63) / 64 * 64 : at;
    for (uint32_t i = 0; i < count && rows_push(type); i++, at += codec_bytes(codec, DIM, 0)) {
        gradient[0] = (float)i;
        codec_encode(codec, gradient, DIM, 1, rows.payload + at);
    }
    return at;
}

static size_t pack_rows(const struct tensor_info *info, unsigned type, uint32_t count, bool create, enum codec codec,
                        enum codec reply) {
    const struct message_rows message = {.table = info->id,
                                         .dim = DIM,
                                         .runs = 1,
                                         .rows = count,
                                         .clock = 5,
                                         .create = create,
                                         .codec = rows_push(type) ? codec : CODEC_F32,
                                         .reply = rows_pull(type) ? reply : CODEC_F32};
    return message_pack_rows(&message, packed);
}

static struct rows_result ask_rows(const struct tensor_info *info, unsigned type, uint32_t first, uint32_t count,
                                   bool create, enum codec codec) {
    const size_t bytes = write_rows(type, first, count, codec);
    const struct taken *taken = ask(0, type, packed, pack_rows(info, type, count, create, codec, codec),
                                    (const float *)(const void *)rows.payload, bytes / sizeof(float));
    assert_int_equal(taken->header.type, type + 1);
    return taken->result;
}

/* New rows and old ones, so that rooms, index and store grow; in every form; made by reading; erased and made anew. */
static void work_rows(const struct tensor_info *info) {
    find_ids(info->spec.name);
    assert_int_equal(ask_rows(info, FRAME_TABLE_PUSH, 0, 20, false, CODEC_F32).rows, 19);
    assert_int_equal(ask_rows(info, FRAME_TABLE_PULL, 0, ROWS, false, CODEC_F32).rows, 0);
    assert_int_equal(ask_rows(info, FRAME_TABLE_PUSH_PULL, 0, ROWS, false, CODEC_F32).rows, ROWS - 1 - 19);
    for (unsigned codec = CODEC_F32; codec < CODEC_TOPK; codec++) {
        const uint32_t first = ROWS / 5 * codec;
        assert_int_equal(ask_rows(info, FRAME_TABLE_PUSH_PULL, first, ROWS, false, (enum codec)codec).rows,
                         codec == 0 ? 0 : ROWS / 5);
    }
    assert_int_equal(ask_rows(info, FRAME_TABLE_PULL, 2 * ROWS, ROWS, true, CODEC_BF16).rows, ROWS - 1);
    assert_int_equal(ask_rows(info, FRAME_TABLE_ERASE, 0, ROWS, false, CODEC_F32).rows, ROWS - 1);
    assert_int_equal(ask_rows(info, FRAME_TABLE_PUSH, 0, ROWS, false, CODEC_F32).rows, ROWS - 1);
}

static void look_at_rows(const struct tensor_info *info) {
    const struct message_table_query query = {.table = info->id, .sum = true, .shard = 1};
    const struct message_row_query page = {.table = info->id, .shard = 1, .most = 100, .state = true};
    size_t bytes = message_pack_table_query(&query, packed);
    assert_int_equal(ask(0, FRAME_TABLE_INFO, packed, bytes, NULL, 0)->header.type, FRAME_TABLE_INFO_IS);
    bytes = message_pack_row_query(&page, packed);
    assert_int_equal(ask(0, FRAME_TABLE_ROWS, packed, bytes, NULL, 0)->header.type, FRAME_TABLE_ROWS_ARE);
}

static struct tensor_info created(const struct taken *taken) {
    struct message_created message;
    assert_int_equal(taken->header.type, FRAME_CREATED);
    assert_int_equal(message_unpack_created(taken->message, taken->header.message_bytes, &message, NULL), CANYON_OK);
    assert_true(message.creator);
    return message.tensor;
}

static struct tensor_info make(unsigned place, const struct tensor_spec *spec) {
    struct tensor_info info = created(ask_create(place, spec, 0));
    ask_define(place, FRAME_DEFINE, &info);
    ask_tensor(place, FRAME_COMPLETE, &info);
    return info;
}

static struct tensor_info make_table(unsigned place, const char *name) {
    struct tensor_spec spec = fixture_raw_spec(name, DIM, "nadam");
    spec.kind = TENSOR_TABLE;
    assert_int_equal(shard_canonical_spec(&spec, NULL), CANYON_OK);
    return make(place, &spec);
}

/* ---- The scenario ---- */

static void come(unsigned place) {
    struct peer *peer = &world.peers[place];
    memset(peer, 0, sizeof *peer);
    peer->peer.send = take;
    fixture_session(peer->peer.session, place);
    peer->peer.role = ROLE_ADMIN;
    assert_int_equal(handler_peer_came(world.handler, &peer->peer, NULL), CANYON_OK);
}

static void begin(void) {
    memset(&world, 0, sizeof world);
    world.now = 1000000000;
    world.environment = (struct handler_environment){.now = world_now, .random = world_random};
    world.job = fixture_job(1, SHARDS, BLOCK);
    fail_arm();
    world.handler = handler_create(&world.job, 0, 0, 1, &world.environment);
    fail_disarm();
    if (world.handler == NULL) {
        assert_true(fail_happened());
        world.refused++;
        world.handler = handler_create(&world.job, 0, 0, 1, &world.environment);
    }
    assert_non_null(world.handler);
    for (unsigned i = 0; i < PEERS; i++) {
        come(i);
    }
}

static void end(void) {
    handler_destroy(world.handler);
    job_finish(&world.job);
}

static void join_and_meet(void) {
    struct message_join join = {.name = "worker"};
    struct message_barrier barrier = {.name = "b", .count = PEERS, .wait_ms = 5000};
    size_t bytes = message_pack_join(&join, packed);
    for (unsigned i = 0; i < PEERS; i++) {
        assert_int_equal(ask(i, FRAME_JOIN, packed, bytes, NULL, 0)->header.type, FRAME_JOINED);
    }
    bytes = message_pack_barrier(&barrier, packed);
    for (unsigned i = 0; i < PEERS; i++) {
        ask(i, FRAME_BARRIER, packed, bytes, NULL, 0);
    }
    for (unsigned i = 0; i < PEERS; i++) {
        assert_int_equal(world.peers[i].taken.count, 1);
        assert_int_equal(world.peers[i].taken.header.type, FRAME_BARRIER_PASSED);
    }
}

/* One creates; one waits to create, and does so when the first is gone; one waits to open. */
static void wait_and_inherit(void) {
    struct tensor_spec spec = fixture_spec("passed/on", 10, "sgd");
    (void)created(ask_create(0, &spec, 0));
    assert_int_equal(ask_create(1, &spec, 5000)->count, 0);
    ask_open(2, "passed/on", 5000);
    assert_int_equal(world.peers[2].taken.count, 0);
    handler_peer_gone(world.handler, &world.peers[0].peer);
    struct tensor_info info = created(&world.peers[1].taken);
    ask_define(1, FRAME_DEFINE, &info);
    ask_tensor(1, FRAME_COMPLETE, &info);
    assert_int_equal(world.peers[2].taken.header.type, FRAME_OPENED);
    come(0);
}

static void train(const struct tensor_info *info) {
    for (uint32_t block = 0; block < 4; block++) {
        ask_values(0, FRAME_ASSIGN, info, block, BLOCK);
        ask_values(1, FRAME_PUSH, info, block, BLOCK);
        ask_values(0, FRAME_PULL, info, block, BLOCK);
        ask_values(2, FRAME_PUSH_PULL, info, block, BLOCK);
    }
    for (unsigned codec = CODEC_F32; codec <= CODEC_LAST; codec++) {
        ask_coded(info, codec % 4, (enum codec)codec, codec == CODEC_TOPK ? CODEC_F32 : (enum codec)codec);
    }
}

static void change_settings(struct tensor_info *info) {
    struct message_set set = {.id = info->id, .count = 1, .settings = {{"lr", 0.5}}};
    const struct taken *taken = ask(0, FRAME_SET, packed, message_pack_set(&set, packed), NULL, 0);
    assert_int_equal(taken->header.type, FRAME_SET_DONE);
    assert_int_equal(message_unpack_opened(taken->message, taken->header.message_bytes, info, NULL), CANYON_OK);
    ask_define(0, FRAME_ADJUST, info);
}

static void look(void) {
    assert_int_equal(ask(0, FRAME_STATISTICS, NULL, 0, NULL, 0)->header.type, FRAME_STATISTICS_ARE);
    assert_int_equal(ask(0, FRAME_DIGEST, NULL, 0, NULL, 0)->header.type, FRAME_DIGESTS);
    assert_int_equal(ask(0, FRAME_LIST, NULL, 0, NULL, 0)->header.type, FRAME_LISTED);
    const struct message_optimizer_request request = {.index = 1};
    size_t bytes = message_pack_optimizer_request(&request, packed);
    assert_int_equal(ask(0, FRAME_OPTIMIZER, packed, bytes, NULL, 0)->header.type, FRAME_OPTIMIZER_IS);
}

static void conclude(uint8_t digest[HASH_BYTES]) {
    whole_digest(digest);
    assert_true(world.refused <= 1);
    if (fail_happened() && world.refused == 0) {
        fail_msg("nothing was refused: %s", fail_place());
    }
    end();
}

static void scenario(size_t nth, uint8_t digest[HASH_BYTES]) {
    fail_begin(nth);
    begin();
    struct tensor_spec adam = fixture_spec("big", 4 * BLOCK, "adam:lr=0.01");
    struct tensor_info big = make(0, &adam);
    join_and_meet();
    train(&big);
    change_settings(&big);
    train(&big);
    wait_and_inherit();
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        struct tensor_spec spec = fixture_spec(name, 3, "momentum");
        make(1, &spec);
    }
    look();
    ask_tensor(0, FRAME_DROP, &big);
    ask_tensor(0, FRAME_UNDEFINE, &big);
    ask_tensor(0, FRAME_DROPPED, &big);
    /* The name is free again, for another tensor. */
    struct tensor_spec again = fixture_spec("big", 3 * BLOCK + 1, "nadam");
    big = make(2, &again);
    ask_values(0, FRAME_PUSH_PULL, &big, 3, 1);
    conclude(digest);
}

static void scenario_of_tables(size_t nth, uint8_t digest[HASH_BYTES]) {
    fail_begin(nth);
    begin();
    struct tensor_info table = make_table(1, "table"), gone = make_table(2, "gone");
    work_rows(&table);
    look_at_rows(&table);
    change_settings(&table);
    (void)ask_rows(&table, FRAME_TABLE_PUSH_PULL, 3 * ROWS, ROWS, false, CODEC_INT8);
    work_rows(&gone);
    ask_tensor(0, FRAME_DROP, &gone);
    ask_tensor(0, FRAME_UNDEFINE, &gone);
    ask_tensor(0, FRAME_DROPPED, &gone);
    conclude(digest);
}

static uint8_t expected[HASH_BYTES];

static void scenario_compared(size_t nth) {
    uint8_t digest[HASH_BYTES];
    scenario(nth, digest);
    assert_memory_equal(digest, expected, HASH_BYTES);
}

static void scenario_of_tables_compared(size_t nth) {
    uint8_t digest[HASH_BYTES];
    scenario_of_tables(nth, digest);
    assert_memory_equal(digest, expected, HASH_BYTES);
}

static void each_allocation_fails_once(void **state) {
    (void)state;
    scenario(0, expected);
    assert_int_equal(world.refused, 0);
    fail_each("handler", scenario_compared, 2000);
}

static void each_allocation_of_tables_fails_once(void **state) {
    (void)state;
    scenario_of_tables(0, expected);
    assert_int_equal(world.refused, 0);
    fail_each("handler of tables", scenario_of_tables_compared, 2000);
}

/* ---- What is there needs no memory ---- */

/* How often memory is asked for in a hundred requests of this kind, after a first. */
static size_t asked_for(unsigned type, size_t message_bytes, const void *payload, size_t bytes) {
    struct frame frame = {.header = {.version = FRAME_VERSION,
                                     .type = (uint16_t)type,
                                     .message_bytes = (uint32_t)message_bytes,
                                     .payload_bytes = (uint32_t)bytes,
                                     .request = 1},
                          .message = packed,
                          .payload = payload};
    handler_frame(world.handler, &world.peers[0].peer, &frame);
    fail_begin(0);
    fail_arm();
    for (int i = 0; i < 100; i++) {
        handler_frame(world.handler, &world.peers[0].peer, &frame);
    }
    fail_disarm();
    assert_int_equal(world.peers[0].taken.header.type, type + 1);
    assert_true(!is_rows_done(&world.peers[0].taken) || world.peers[0].taken.result.code == CANYON_OK);
    return fail_count();
}

/* Blocks in every form, and rows: of a table that has them, also such as come twice; and reading of rows that are not
 * there. */
static void nothing_is_asked_for(void **state) {
    (void)state;
    static const unsigned types[] = {FRAME_TABLE_PUSH, FRAME_TABLE_PULL, FRAME_TABLE_PUSH_PULL, FRAME_TABLE_ERASE};
    static float gradient[BLOCK], encoded[2 * BLOCK];
    fail_begin(0);
    begin();
    struct tensor_spec spec = fixture_spec("dense", BLOCK, "adam");
    struct tensor_info dense = make(0, &spec), table = make_table(0, "table");
    size_t requests = 0;
    find_ids("table");
    (void)ask_rows(&table, FRAME_TABLE_PUSH, 0, ROWS, false, CODEC_F32);
    for (unsigned codec = CODEC_F32; codec <= CODEC_LAST; codec++) {
        const uint32_t kept = codec == CODEC_TOPK ? BLOCK / 8 : 0;
        const enum codec reply = codec == CODEC_TOPK ? CODEC_F32 : (enum codec)codec;
        struct message_pieces pieces = {
            .count = 1,
            .pieces = {{.tensor = dense.id, .elements = BLOCK, .codec = codec, .reply = reply, .kept = kept}}};
        codec_encode_feedback((enum codec)codec, gradient, NULL, BLOCK, kept, 1, (uint8_t *)encoded);
        assert_int_equal(asked_for(FRAME_PUSH_PULL, message_pack_pieces(&pieces, packed), encoded,
                                   codec_bytes((enum codec)codec, BLOCK, kept)),
                         0);
        requests++;
        for (size_t i = 0; i < 4 && codec != CODEC_TOPK; i++) {
            for (int create = 0; create < (types[i] == FRAME_TABLE_PULL ? 2 : 1); create++) {
                const uint32_t first = types[i] == FRAME_TABLE_ERASE || (i == 1 && create == 0) ? 2 * ROWS : 0;
                const size_t bytes = write_rows(types[i], first, ROWS, (enum codec)codec);
                const size_t message = pack_rows(&table, types[i], ROWS, create == 1, (enum codec)codec, reply);
                assert_int_equal(asked_for(types[i], message, rows.payload, bytes), 0);
                requests++;
            }
        }
    }
    printf("%zu kinds of requests ask for no memory\n", requests);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_fails_once),
                                       cmocka_unit_test(each_allocation_of_tables_fails_once),
                                       cmocka_unit_test(nothing_is_asked_for)};
    codec_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
