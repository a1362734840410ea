/* JOIN and BARRIER: ranks by session, barriers that open, time out, and lose those who go. */
#include "tests/unit/server/handler_fixture.h"

static struct bench bench;
static struct client a, b, c;

static int setup(void **state) {
    (void)state;
    bench_init(&bench, 1, 1, 1, 1024);
    client_come(&a, bench.handlers[0], 1, "anna");
    client_come(&b, bench.handlers[0], 2, "bert");
    client_come(&c, bench.handlers[0], 3, "cleo");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    bench_finish(&bench);
    return a.waiting + b.waiting + c.waiting > 0;
}

static void joined(struct client *client, uint32_t rank, uint32_t count) {
    struct message_joined joined = take_joined(client, ask_join(client));
    assert_int_equal(joined.rank, rank);
    assert_int_equal(joined.count, count);
}

static void ranks_go_with_their_connection(void **state) {
    (void)state;
    struct client again;
    joined(&b, 0, 1);
    joined(&a, 1, 2);
    joined(&c, 2, 3);
    joined(&b, 0, 3);
    client_go(&a);
    joined(&c, 2, 2);
    client_come(&a, bench.handlers[0], 4, "dora");
    joined(&a, 1, 3);
    /* A session that comes back before its old connection is known to be gone keeps its rank. */
    client_come(&again, bench.handlers[0], 2, "bert");
    joined(&again, 0, 3);
    client_go(&b);
    joined(&again, 0, 3);
    client_go(&again);
    joined(&c, 2, 2);
    client_come(&b, bench.handlers[0], 2, "bert");
}

static void a_barrier_opens_for_all(void **state) {
    (void)state;
    for (int round = 0; round < 3; round++) {
        uint64_t first = ask_barrier(&a, "epoch", 3, 1000), second = ask_barrier(&b, "epoch", 3, 1000);
        bench_pass(&bench, 999);
        assert_int_equal(a.waiting + b.waiting, 0);
        uint64_t third = ask_barrier(&c, "epoch", 3, 0);
        client_succeeds(&a, first, FRAME_BARRIER_PASSED);
        client_succeeds(&b, second, FRAME_BARRIER_PASSED);
        client_succeeds(&c, third, FRAME_BARRIER_PASSED);
    }
    client_succeeds(&a, ask_barrier(&a, "alone", 1, 0), FRAME_BARRIER_PASSED);
    assert_true(handler_wakeup(bench.handlers[0]) == UINT64_MAX);
}

static void who_times_out_is_out_of_the_count(void **state) {
    (void)state;
    uint64_t late = ask_barrier(&a, "b", 3, 10), other = ask_barrier(&b, "b", 3, 1000);
    bench_pass(&bench, 10);
    client_fails(&a, late, CANYON_TIMEOUT, "barrier 'b': 2 of 3 workers arrived within 10 ms");
    client_fails(&c, ask_barrier(&c, "b", 3, 0), CANYON_TIMEOUT, "2 of 3");
    uint64_t again = ask_barrier(&c, "b", 3, 1000);
    assert_int_equal(b.waiting + c.waiting, 0);
    client_succeeds(&a, ask_barrier(&a, "b", 3, 1000), FRAME_BARRIER_PASSED);
    client_succeeds(&b, other, FRAME_BARRIER_PASSED);
    client_succeeds(&c, again, FRAME_BARRIER_PASSED);
}

static void enter(struct client *client) {
    const struct message_enter message = {.clock = 1};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    client_succeeds(client, client_ask(client, FRAME_ENTER, bytes, message_pack_enter(&message, bytes), NULL, 0),
                    FRAME_ENTERED);
}

static uint32_t live_members(void) {
    const struct message_consistency asks = {.set = false};
    struct message_consistency_is is;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    const uint64_t request = client_ask(&a, FRAME_CONSISTENCY, bytes, message_pack_consistency(&asks, bytes), NULL, 0);
    struct reply *reply = client_take(&a, request, FRAME_CONSISTENCY_IS);
    assert_int_equal(message_unpack_consistency_is(reply->message, reply->header.message_bytes, &is, NULL), CANYON_OK);
    reply_free(reply);
    return is.workers;
}

/* Whose barrier ends what is overdue is no judge of leases: what the other sent may lie unread behind it. */
static void a_barrier_judges_no_lease(void **state) {
    (void)state;
    enter(&a);
    enter(&b);
    bench.now += 10500 * MS;
    client_succeeds(&a, ask_barrier(&a, "b", 1, 0), FRAME_BARRIER_PASSED);
    assert_int_equal(live_members(), 2);
    bench_pass(&bench, 0);
    assert_int_equal(live_members(), 1);
}

/* The server need not have noticed that time is over before the same worker comes again. */
static void a_worker_may_come_again_after_its_time(void **state) {
    (void)state;
    uint64_t late = ask_barrier(&a, "b", 2, 10);
    bench.now += 10 * MS;
    uint64_t again = ask_barrier(&a, "b", 2, 1000);
    client_fails(&a, late, CANYON_TIMEOUT, "1 of 2");
    client_succeeds(&b, ask_barrier(&b, "b", 2, 1000), FRAME_BARRIER_PASSED);
    client_succeeds(&a, again, FRAME_BARRIER_PASSED);
}

static void refusals_name_both(void **state) {
    (void)state;
    uint64_t first = ask_barrier(&a, "b", 3, 1000);
    client_fails(&a, ask_barrier(&a, "b", 3, 1000), CANYON_CONFLICT, "'b'");
    client_fails(&b, ask_barrier(&b, "b", 2, 1000), CANYON_INVALID_ARGUMENT, "count 3, asked: 2");
    client_fails(&b, ask_barrier(&b, "all", 0, 1000), CANYON_INVALID_ARGUMENT, "join first");
    client_fails(&b, ask_barrier(&b, "no good", 2, 1000), CANYON_INVALID_ARGUMENT, "no good");
    assert_int_equal(client_statistics(&b).parked, 1);
    bench_pass(&bench, 1000);
    client_fails(&a, first, CANYON_TIMEOUT, "1 of 3");
}

static void who_goes_is_withdrawn(void **state) {
    (void)state;
    (void)ask_barrier(&a, "b", 2, 1000);
    client_go(&a);
    uint64_t alone = ask_barrier(&b, "b", 2, 1000);
    assert_int_equal(b.waiting, 0);
    client_come(&a, bench.handlers[0], 1, "anna");
    client_succeeds(&a, ask_barrier(&a, "b", 2, 1000), FRAME_BARRIER_PASSED);
    client_succeeds(&b, alone, FRAME_BARRIER_PASSED);
    assert_int_equal(client_statistics(&b).parked, 0);
}

static void a_barrier_of_all_does_not_wait_for_the_dead(void **state) {
    (void)state;
    joined(&a, 0, 1);
    joined(&b, 1, 2);
    joined(&c, 2, 3);
    uint64_t first = ask_barrier(&a, "all", 0, 1000), second = ask_barrier(&b, "all", 0, 1000);
    assert_int_equal(a.waiting + b.waiting, 0);
    client_go(&c);
    client_succeeds(&a, first, FRAME_BARRIER_PASSED);
    client_succeeds(&b, second, FRAME_BARRIER_PASSED);
    first = ask_barrier(&a, "all", 0, 1000);
    client_go(&a); /* waiting itself */
    second = ask_barrier(&b, "all", 0, 1000);
    client_succeeds(&b, second, FRAME_BARRIER_PASSED);
    client_come(&a, bench.handlers[0], 1, "anna");
    client_come(&c, bench.handlers[0], 3, "cleo");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(ranks_go_with_their_connection),
        TEST(a_barrier_opens_for_all),
        TEST(who_times_out_is_out_of_the_count),
        TEST(a_barrier_judges_no_lease),
        TEST(a_worker_may_come_again_after_its_time),
        TEST(refusals_name_both),
        TEST(who_goes_is_withdrawn),
        TEST(a_barrier_of_all_does_not_wait_for_the_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
