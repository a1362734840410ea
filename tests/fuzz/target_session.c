/* The client's session under any bytes from a server: every request ends exactly once, and the same way whatever the
 * cuts between the same moments.
 *
 * Input: u16 sequence of cuts, then steps, of u8 kind (low 3 bits):
 *   0    a request: u8 type, u8 bytes of message, u8 bytes of payload, u8 bytes of its destination, u8 deadline,
 *        u8 whether it changes state (1), and is an erase of as many runs of one shard as its payload has room for (2)
 *   1-3  bytes come: u16 count, the bytes
 *   4    up to u16 bytes go out
 *   5    all that can goes out
 *   6    u8: the time is now that
 *   7    u8: the request at this place is given up
 * A broken connection is replaced by a new one, which goes on with what outlasts it, or not, as the session says. */
#include "tests/fuzz/fuzz.h"

#include "client/session.h"
#include "common/hash.h"
#include "common/rows.h"

#define REQUESTS 64

struct entry {
    struct session_request request; /* first */
    struct world *world;
    bool ended;
    uint8_t message[256], payload[256], destination[256];
    struct iovec slice;
};

struct world {
    struct session *session;
    struct hash trace; /* of all that ended, and how */
    struct entry *entries[REQUESTS];
    size_t count;
    enum cut cut;
    uint32_t sequence;
};

static void take_end(struct session_request *request, enum canyon_status status, const char *text,
                     const struct frame *reply) {
    struct entry *entry = (struct entry *)(void *)request;
    struct hash *trace = &entry->world->trace;
    REQUIRE(!entry->ended && (status == CANYON_OK) == (reply != NULL));
    REQUIRE(status == CANYON_OK || status <= CANYON_INTERNAL);
    entry->ended = true;
    hash_u64(trace, request->id);
    hash_u32(trace, (uint32_t)status);
    hash_text(trace, text);
    if (reply != NULL) {
        hash_u32(trace, reply->header.type);
        hash_update(trace, reply->message, reply->header.message_bytes);
        hash_update(trace, reply->payload, reply->header.payload_bytes);
    }
    /* What ended is the owner's again: nobody may touch it any more. */
    entry->world->entries[request->deadline >> 8 & (REQUESTS - 1)] = NULL;
    free(entry);
}

static void begin(struct world *world) {
    struct error error;
    REQUIRE(session_begin(world->session, NULL, &error) == CANYON_OK);
}

static void lose(struct world *world, enum canyon_status status) {
    if (session_may_return(status)) {
        session_lose(world->session, status, "lost");
    } else {
        session_fail(world->session, status, "lost");
        REQUIRE(session_outstanding(world->session) == 0);
    }
    REQUIRE(session_state(world->session) == SESSION_DOWN);
    begin(world);
}

static void submit(struct world *world, struct input *input) {
    size_t place = 0;
    while (place < REQUESTS && world->entries[place] != NULL) {
        place++;
    }
    uint8_t fields[6];
    for (size_t i = 0; i < sizeof fields; i++) {
        fields[i] = input_u8(input);
    }
    if (place == REQUESTS) {
        return;
    }
    struct entry *entry = calloc(1, sizeof *entry);
    REQUIRE(entry != NULL);
    entry->world = world;
    entry->slice = (struct iovec){entry->payload, fields[2]};
    entry->request = (struct session_request){
        .type = fields[0],
        .message = entry->message,
        .message_bytes = fields[1],
        .payload = &entry->slice,
        .payload_count = 1,
        .payload_bytes = fields[2],
        .destination = fields[3] > 0 ? entry->destination : NULL,
        .destination_bytes = fields[3],
        .reply_bytes = fields[3],
        /* The place is kept in the low half, which is finer than the steps of time. */
        .deadline = (uint64_t)fields[4] << 16 | place << 8,
        .changes_state = (fields[5] & 1) != 0,
        .done = take_end,
    };
    if ((fields[5] & 2) != 0 && fields[2] >= sizeof(struct rows_run)) {
        entry->request.type = FRAME_TABLE_ERASE;
        entry->request.changes_state = true;
        entry->request.piece_count = fields[2] / sizeof(struct rows_run);
    }
    world->entries[place] = entry;
    session_submit(world->session, &entry->request);
}

static void feed(struct world *world, struct input *input) {
    size_t left, wanted = input_u16(input);
    const uint8_t *from = input_bytes(input, wanted, &left);
    enum canyon_status status = CANYON_OK;
    struct error error = {.text = ""};
    while (left > 0 && status == CANYON_OK) {
        size_t step = next_cut(world->cut, &world->sequence, left);
        left -= step;
        while (step > 0 && status == CANYON_OK) {
            uint8_t *at = NULL;
            size_t room = 0;
            session_space(world->session, &at, &room);
            REQUIRE(room > 0);
            size_t part = step < room ? step : room;
            memcpy(at, from, part);
            from += part;
            step -= part;
            status = session_received(world->session, part, &error);
        }
    }
    hash_u32(&world->trace, (uint32_t)status);
    if (status != CANYON_OK) {
        REQUIRE(error.text[0] != '\0');
        hash_text(&world->trace, error.text);
        lose(world, status);
    }
}

static void pump(struct world *world, size_t most) {
    size_t bytes = 1;
    while (most > 0 && bytes > 0) {
        struct iovec slices[3];
        size_t count = session_output(world->session, slices, 3);
        bytes = 0;
        for (size_t i = 0; i < count && most > 0; i++) {
            size_t part = slices[i].iov_len < most ? slices[i].iov_len : most;
            REQUIRE(slices[i].iov_len > 0);
            hash_update(&world->trace, slices[i].iov_base, part);
            bytes += part;
            most -= part;
        }
        session_sent(world->session, bytes);
    }
}

static void step(struct world *world, struct input *input) {
    struct entry *entry;
    switch (input_u8(input) & 7) {
    case 0:
        submit(world, input);
        break;
    case 4:
        pump(world, input_u16(input));
        break;
    case 5:
        pump(world, SIZE_MAX);
        break;
    case 6:
        if (!session_tick(world->session, (uint64_t)input_u8(input) << 16)) {
            lose(world, CANYON_TIMEOUT);
        }
        break;
    case 7:
        entry = world->entries[input_u8(input) % REQUESTS];
        if (entry != NULL && !session_cancel(world->session, &entry->request, CANYON_CLOSED, "given up")) {
            lose(world, CANYON_UNAVAILABLE);
        }
        break;
    default:
        feed(world, input);
        break;
    }
}

static void run(struct input input, enum cut cut, uint32_t sequence, uint8_t digest[HASH_BYTES]) {
    struct session_options options = {.session_id = {7}, .name = "worker", .address = "server", .window_bytes = 1024};
    struct world world = {.session = session_create(&options), .cut = cut, .sequence = sequence};
    REQUIRE(world.session != NULL);
    hash_init(&world.trace);
    begin(&world);
    while (input.left > 0) {
        step(&world, &input);
    }
    session_fail(world.session, CANYON_CLOSED, "the end");
    for (size_t i = 0; i < REQUESTS; i++) {
        REQUIRE(world.entries[i] == NULL);
    }
    session_destroy(world.session);
    hash_final(&world.trace, digest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    uint32_t sequence = input_u16(&input);
    uint8_t whole[HASH_BYTES], cut[HASH_BYTES];
    run(input, CUT_NOWHERE, 0, whole);
    run(input, CUT_EVERYWHERE, 0, cut);
    REQUIRE(memcmp(whole, cut, HASH_BYTES) == 0);
    run(input, CUT_SOMEWHERE, sequence, cut);
    REQUIRE(memcmp(whole, cut, HASH_BYTES) == 0);
    return 0;
}
