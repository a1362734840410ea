/* Sessions and numbers when memory is short: every allocation of a life of sessions fails once, and whoever met it is
 * told so and ended, with nothing changed and no number taken, so that the same comes again and the state in the end is
 * that of a run in which nothing failed. A session that is known needs no memory for its numbers. */
#include "tests/allocation/fail.h"
#include "tests/unit/server/handler_fixture.h"

#include "common/rows.h"
#include "server/handler_state.h"

#define BLOCK    1024
#define SESSIONS 40 /* more than a ledger has room for at first, or at second */

/* ---- each allocation ---- */

/* What a client without memory of its own was told last. */
struct told {
    struct handler_peer peer; /* first */
    struct frame_header header;
    enum canyon_status status;
    bool closed;
};

static void take(struct handler_peer *to, const struct handler_slice *slices, size_t count) {
    struct told *told = (struct told *)(void *)to;
    const uint8_t *bytes = slices[0].bytes;
    struct message_piece_results results;
    struct error error, ignored;
    assert_true(count > 0);
    assert_int_equal(frame_header_decode(bytes, FRAME_PAYLOAD_LIMIT, &told->header, NULL), CANYON_OK);
    if (told->header.type == FRAME_ERROR) {
        assert_int_equal(message_unpack_error(bytes + FRAME_HEADER_BYTES, told->header.message_bytes, &error, &ignored),
                         CANYON_OK);
        told->status = error.status;
    } else if (told->header.type == FRAME_PUSHED) {
        assert_int_equal(
            message_unpack_piece_results(bytes + FRAME_HEADER_BYTES, told->header.message_bytes, &results, &ignored),
            CANYON_OK);
        told->status = results.results[0].status;
    }
}

static void end(struct handler_peer *peer) {
    ((struct told *)(void *)peer)->closed = true;
}

static void ask(struct bench *bench, struct told *told, unsigned type, const uint8_t *message, size_t message_bytes,
                const float *values, size_t count) {
    const struct frame frame = {.header = {.version = FRAME_VERSION,
                                           .type = (uint16_t)type,
                                           .message_bytes = (uint32_t)message_bytes,
                                           .payload_bytes = (uint32_t)(count * sizeof(float)),
                                           .request = 7},
                                .message = message,
                                .payload = (const uint8_t *)values};
    fail_arm();
    handler_frame(bench->handlers[0], &told->peer, &frame);
    fail_disarm();
}

static size_t met; /* failures that somebody was told of */

static void come(struct bench *bench, struct told *told, unsigned session) {
    struct error error;
    memset(told, 0, sizeof *told);
    told->peer.send = take;
    told->peer.close = end;
    told->peer.role = ROLE_WORKER;
    fixture_session(told->peer.session, session);
    fail_arm();
    enum canyon_status status = handler_peer_came(bench->handlers[0], &told->peer, &error);
    fail_disarm();
    if (status != CANYON_OK) {
        assert_int_equal(status, CANYON_NO_MEMORY);
        assert_true(fail_happened());
        met++;
        assert_int_equal(handler_peer_came(bench->handlers[0], &told->peer, &error), CANYON_OK);
    }
}

static struct digest state_of(const struct bench *bench, const struct tensor_info *info, uint32_t block) {
    return fixture_digest(handler_shard_of(bench->handlers[0], info->id, block));
}

/* A push to block 0 or 1, which comes again when there was no memory. */
static void push(struct bench *bench, struct told *told, unsigned session, const struct tensor_info *info,
                 uint64_t number, float value) {
    static _Alignas(64) float values[BLOCK];
    const uint32_t block = session % 2, elements = block == 0 ? BLOCK : 4;
    struct message_pieces pieces = {
        .count = 1, .pieces = {{.tensor = info->id, .block = block, .elements = elements, .number = number}}};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    size_t count = message_pack_pieces(&pieces, bytes);
    for (size_t i = 0; i < BLOCK; i++) {
        values[i] = value;
    }
    for (int times = 0; times < 2; times++) {
        const struct digest before = state_of(bench, info, block);
        ask(bench, told, FRAME_PUSH, bytes, count, values, elements);
        if (!told->closed) {
            break;
        }
        assert_true(times == 0 && fail_happened());
        assert_true(told->header.type == FRAME_ERROR && told->header.request == 0);
        assert_int_equal(told->status, CANYON_NO_MEMORY);
        assert_true(fixture_same(before, state_of(bench, info, block)));
        met++;
        handler_peer_gone(bench->handlers[0], &told->peer);
        come(bench, told, session);
    }
    assert_int_equal(told->header.type, FRAME_PUSHED);
    assert_int_equal(told->status, CANYON_OK);
}

static void resume(struct bench *bench, struct told *told) {
    ask(bench, told, FRAME_RESUME, NULL, 0, NULL, 0);
    if (told->header.type == FRAME_ERROR) {
        assert_true(told->header.request == 7 && told->status == CANYON_NO_MEMORY && fail_happened());
        met++;
        ask(bench, told, FRAME_RESUME, NULL, 0, NULL, 0);
    }
    assert_int_equal(told->header.type, FRAME_RESUMED);
}

static struct digest expected[2];
static bool first_time;

static void life(size_t nth) {
    struct bench bench;
    struct worker worker = {.bench = &bench};
    struct told told;
    fail_begin(nth);
    met = 0;
    bench_init(&bench, 1, 1, 4, BLOCK);
    client_come(&worker.clients[0], bench.handlers[0], 900, "maker");
    struct tensor_spec spec = fixture_spec("w", BLOCK + 4, "sgd:lr=1");
    struct tensor_info info = worker_create(&worker, &spec);
    client_go(&worker.clients[0]);
    for (unsigned session = 1; session <= SESSIONS; session++) {
        come(&bench, &told, session);
        push(&bench, &told, session, &info, 1, 1);
        push(&bench, &told, session, &info, 2, 1);
        push(&bench, &told, session, &info, 1, 1);
        resume(&bench, &told);
        if (session % 5 == 0) {
            ask(&bench, &told, FRAME_LEAVE, NULL, 0, NULL, 0);
            assert_int_equal(told.header.type, FRAME_LEFT);
        }
        handler_peer_gone(bench.handlers[0], &told.peer);
    }
    assert_true(met <= 1);
    if (fail_happened() && met == 0) {
        fail_msg("nobody was told: %s", fail_place());
    }
    for (uint32_t block = 0; block < 2; block++) {
        const struct digest now = state_of(&bench, &info, block);
        if (first_time) {
            expected[block] = now;
        }
        assert_true(fixture_same(expected[block], now));
    }
    bench_finish(&bench);
}

static void each_allocation_fails_once(void **state) {
    (void)state;
    first_time = true;
    life(0);
    first_time = false;
    fail_each("sessions", life, 2000);
}

/* ---- none at all ---- */

/* Of one row in each of four shards; the ids are those of the first rows that live there. */
struct rows_payload {
    struct rows_run runs[4];
    uint64_t ids[4];
    _Alignas(64) float values[4 * 2];
};

static void aim(struct rows_payload *payload, const struct job *job) {
    struct row_hash hash;
    row_hash_init(&hash, "t");
    memset(payload, 0, sizeof *payload);
    for (uint32_t shard = 0; shard < 4; shard++) {
        uint64_t id = 0, number;
        payload->runs[shard] = (struct rows_run){.shard = shard, .rows = 1};
        for (row_hash_of(&hash, &id, 1, &number); job_row_shard(job, number) != shard; id++) {
            const uint64_t next = id + 1;
            row_hash_of(&hash, &next, 1, &number);
        }
        payload->ids[shard] = id;
    }
}

static void a_known_session_takes_no_memory(void **state) {
    (void)state;
    struct bench bench;
    struct worker worker = {.bench = &bench};
    struct told told;
    struct rows_payload payload;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    bench_init(&bench, 1, 1, 4, BLOCK);
    client_come(&worker.clients[0], bench.handlers[0], 900, "maker");
    struct tensor_spec spec = fixture_spec("w", BLOCK + 4, "adam");
    struct tensor_info info = worker_create(&worker, &spec);
    spec = fixture_raw_spec("t", 2, "adam");
    spec.kind = TENSOR_TABLE;
    assert_int_equal(shard_canonical_spec(&spec, NULL), CANYON_OK);
    struct tensor_info table = worker_create(&worker, &spec);
    client_go(&worker.clients[0]);
    come(&bench, &told, 1);
    aim(&payload, &bench.job);
    const uint32_t dense = job_shard_of(&bench.job, job_home("w"), 1);
    const struct message_rows rows = {.table = table.id, .dim = 2, .runs = 4, .rows = 4};
    for (uint64_t step = 0; step < 200; step++) {
        if (step == 2) {
            fail_begin(0);
        }
        push(&bench, &told, 1, &info, 2 * step + 1, 1);
        push(&bench, &told, 1, &info, 2 * step + 1, 1); /* a duplicate */
        for (uint32_t shard = 0; shard < 4; shard++) {
            payload.runs[shard].number = shard == dense ? 2 * step + 2 : step + 1;
        }
        for (int times = 0; times < 2; times++) {
            ask(&bench, &told, FRAME_TABLE_PUSH_PULL, bytes, message_pack_rows(&rows, bytes),
                (const float *)(const void *)&payload,
                (offsetof(struct rows_payload, values) + sizeof payload.values) / sizeof(float));
            assert_int_equal(told.header.type, FRAME_TABLE_PUSH_PULLED);
        }
        assert_false(told.closed);
    }
    assert_int_equal(fail_count(), 0);
    assert_true(shard_applied(bench.handlers[0]->shards[dense], told.peer.session) == 400);
    handler_peer_gone(bench.handlers[0], &told.peer);
    bench_finish(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails_once),
        cmocka_unit_test(a_known_session_takes_no_memory),
    };
    optimizer_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
