/* A request that is given up when there is no memory to keep a copy of it: it is dropped, the connection ends where it
 * was half sent, and the gap that it leaves closes with the next connection. */
#include "tests/allocation/fail.h"
#include "tests/unit/client/session_world.h"

#include "common/rows.h"

/* An erase of one row of shard 1. */
struct erase {
    struct session_request request;
    struct outcome outcome;
    struct rows_run run;
    struct iovec slice;
};

static void submit_erase(struct world *world, struct erase *erase, uint64_t deadline) {
    erase->run = (struct rows_run){.shard = 1, .rows = 1};
    erase->slice = (struct iovec){.iov_base = &erase->run, .iov_len = sizeof erase->run};
    erase->request = request_of(FRAME_TABLE_ERASE, &erase->outcome);
    erase->request.changes_state = true;
    erase->request.payload = &erase->slice;
    erase->request.payload_count = 1;
    erase->request.payload_bytes = sizeof erase->run;
    erase->request.piece_count = 1;
    erase->request.deadline = deadline;
    session_submit(world->session, &erase->request);
}

/* Lost, and back with a server that has taken so many of the shard. */
static void come_back(struct world *world, uint64_t taken) {
    uint8_t entry[MESSAGE_RESUMED_ENTRY_BYTES] = {1};
    uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES + sizeof SERVERS];
    struct error error;
    memcpy(entry + 8, &taken, sizeof taken);
    session_lose(world->session, CANYON_UNAVAILABLE, "gone");
    assert_int_equal(session_begin(world->session, NULL, NULL), CANYON_OK);
    world->out_bytes = 0;
    pump(world, ALL);
    const size_t count = make_welcome(bytes, received_frame(world, 0).request, FRAME_VERSION);
    assert_int_equal(feed(world, bytes, count, ALL, &error), CANYON_OK);
    world->out_bytes = 0;
    pump(world, ALL);
    assert_int_equal(received_frame(world, 0).type, FRAME_RESUME);
    assert_int_equal(
        reply(world, FRAME_RESUMED, received_frame(world, 0).request, entry, taken > 0 ? sizeof entry : 0, &error),
        CANYON_OK);
    world->out_bytes = 0;
    pump(world, ALL);
}

static size_t sent_at_the_deadline;

static void give_up(size_t nth) {
    const size_t frame = FRAME_HEADER_BYTES + sizeof(struct rows_run);
    struct world world;
    struct erase first, second;
    open_world(&world, 1 << 20);
    greet(&world);
    submit_erase(&world, &first, 5);
    submit_erase(&world, &second, UINT64_MAX);
    pump(&world, sent_at_the_deadline);
    fail_begin(nth);
    fail_arm();
    const bool usable = session_tick(world.session, 5);
    fail_disarm();
    assert_int_equal(first.outcome.calls, 1);
    assert_int_equal(first.outcome.status, CANYON_OUTCOME_UNKNOWN);
    memset(&first, 0xee, sizeof first);
    assert_int_equal(usable, !fail_happened() || sent_at_the_deadline >= frame);
    assert_int_equal(session_outstanding(world.session), fail_happened() ? 1 : 2);

    const uint64_t taken = sent_at_the_deadline >= frame ? 1 : 0;
    come_back(&world, taken);
    assert_int_equal(world.out_bytes, fail_happened() ? frame : 2 * frame);
    struct rows_run run;
    memcpy(&run, world.out + world.out_bytes - sizeof run, sizeof run);
    assert_int_equal(run.number, fail_happened() ? taken + 1 : 2);
    assert_int_equal(second.outcome.calls, 0);
    close_world(&world);
}

static void test_given_up_half_sent_and_wholly(void **state) {
    (void)state;
    static const size_t sent[] = {1, FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + sizeof(struct rows_run),
                                  FRAME_HEADER_BYTES + sizeof(struct rows_run) + 1, ALL};
    for (size_t i = 0; i < sizeof sent / sizeof sent[0]; i++) {
        sent_at_the_deadline = sent[i];
        fail_each("an orphan", give_up, 10);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_given_up_half_sent_and_wholly)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
