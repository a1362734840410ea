/* A client whose connection is lost and made again, against a server that misbehaves on demand. Every test runs twice:
 * encrypted and in plaintext. */
#include "tests/unit/client/fake.h"

#define MILLISECOND 1000000u

static struct canyon_client_counters counters_of(struct user *user) {
    struct canyon_client_counters counters;
    assert_int_equal(canyon_client_counters(user->client, &counters), CANYON_OK);
    return counters;
}

static uint64_t taken_in_all(struct fake *fake) {
    uint64_t sum = 0;
    for (size_t i = 0; i < 4; i++)
        sum += atomic_load(&fake->last[i]);
    return sum;
}

/* Four blocks in four frames, of which each answer is lost in turn: every one counts once. */
static void test_lost_answers_are_found_to_be_duplicates(void **state) {
    (void)state;
    struct user user = begin();
    atomic_store(&user.fake->losses, 5);
    atomic_store(&user.fake->behaviour, LOSE_ANSWER);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(canyon_push(user.tensor, user.values, 5000), CANYON_OK);
        assert_int_equal(taken_in_all(user.fake), 4 * i);
    }
    assert_int_equal(atomic_load(&user.fake->losses), 0);
    assert_int_equal(atomic_load(&user.fake->gaps), 0);
    assert_int_equal(atomic_load(&user.fake->taken), 12);
    assert_int_equal(atomic_load(&user.fake->resumes), 5);
    const struct canyon_client_counters counters = counters_of(&user);
    assert_int_equal(counters.reconnects, 5);
    assert_int_equal(counters.duplicates, atomic_load(&user.fake->duplicates));
    assert_true(counters.duplicates >= 5 && counters.resent >= 5);
    end(&user);
}

static void test_pulls_are_repeated(void **state) {
    (void)state;
    struct user user = begin();
    atomic_store(&user.fake->losses, 2);
    atomic_store(&user.fake->behaviour, LOSE_ANSWER);
    assert_int_equal(canyon_pull(user.tensor, user.values, 5000), CANYON_OK);
    for (size_t i = 0; i < ELEMENTS; i++)
        assert_true(user.values[i] == 1.0f);
    assert_int_equal(atomic_load(&user.fake->losses), 0);
    assert_int_equal(atomic_load(&user.fake->resumes), 0); /* nothing was numbered */
    end(&user);
}

/* It greets and hangs up, again and again: that ends, with the deadline or with patience, whichever is first. */
static void test_a_server_that_never_answers_is_not_waited_for_without_end(void **state) {
    (void)state;
    struct user user = begin();
    atomic_store(&user.fake->behaviour, HANG_UP);
    uint64_t begun = clock_now();
    assert_int_equal(canyon_push(user.tensor, user.values, 200), CANYON_OUTCOME_UNKNOWN);
    check_address_in_text(&user);
    assert_true(clock_now() - begun < 5000ull * MILLISECOND);
    check_pulls(&user);
    end(&user);

    patience_ms = 300;
    user = begin();
    atomic_store(&user.fake->behaviour, HANG_UP);
    begun = clock_now();
    assert_int_equal(canyon_push(user.tensor, user.values, 60000), CANYON_OUTCOME_UNKNOWN);
    check_address_in_text(&user);
    assert_int_equal(canyon_pull(user.tensor, user.values, 60000), CANYON_UNAVAILABLE);
    check_address_in_text(&user);
    assert_true(clock_now() - begun < 20000ull * MILLISECOND);
    assert_true(clock_now() - begun >= 300ull * MILLISECOND);
    /* Numbers go on where the server is, though what came before was given up. */
    check_pulls(&user);
    assert_int_equal(canyon_push(user.tensor, user.values, 5000), CANYON_OK);
    assert_int_equal(atomic_load(&user.fake->gaps), 0);
    patience_ms = 10000;
    end(&user);
}

/* Attempts are further and further apart: far fewer than there would be without waiting. */
static void test_attempts_back_off(void **state) {
    (void)state;
    struct user user = begin();
    const int before = atomic_load(&user.fake->connections);
    atomic_store(&user.fake->behaviour, HANG_UP);
    assert_int_equal(canyon_push(user.tensor, user.values, 1000), CANYON_OUTCOME_UNKNOWN);
    const int attempts = atomic_load(&user.fake->connections) - before;
    /* Waits are up to 10, 20, 40, ... ms: 60 attempts within a second are all but impossible. */
    assert_in_range(attempts, 1, 60);
    check_pulls(&user);
    end(&user);
}

/* The server comes back without its state while a push is under way. */
static void test_a_server_that_was_restarted(void **state) {
    (void)state;
    struct user user = begin();
    assert_int_equal(canyon_push(user.tensor, user.values, 5000), CANYON_OK);
    atomic_store(&user.fake->behaviour, HANG_UP);
    canyon_future *future = NULL;
    struct canyon_item item = {.tensor = user.tensor, .gradient = user.values};
    assert_int_equal(canyon_step_async(user.client, &item, 1, 20000, &future), CANYON_OK);
    const int closed = atomic_load(&user.fake->closed);
    while (atomic_load(&user.fake->closed) < closed + 1)
        usleep(1000);
    for (size_t i = 0; i < 4; i++)
        atomic_store(&user.fake->last[i], 0);
    memset(user.fake->welcome.boot, 9, sizeof user.fake->welcome.boot);
    usleep(100 * 1000); /* a connection that was told of the old state is hung up on meanwhile */
    atomic_store(&user.fake->behaviour, ANSWER);
    assert_int_equal(canyon_future_wait(future, UINT32_MAX), CANYON_OUTCOME_UNKNOWN);
    canyon_future_release(future);
    assert_int_equal(canyon_push(user.tensor, user.values, 5000), CANYON_OK);
    assert_int_equal(atomic_load(&user.fake->gaps), 0);
    assert_int_equal(atomic_load(&user.fake->duplicates), 0);
    end(&user);
}

static void test_closing_takes_leave(void **state) {
    (void)state;
    for (int pushes = 0; pushes < 2; pushes++) {
        struct user user = begin();
        if (pushes == 1)
            assert_int_equal(canyon_push(user.tensor, user.values, 5000), CANYON_OK);
        canyon_tensor_close(user.tensor);
        canyon_close(user.client);
        assert_int_equal(atomic_load(&user.fake->leaves), pushes);
        fake_stop(user.fake);
        free(user.values);
    }
}

/* A server that does not answer that holds nobody up for long. */
static void test_closing_does_not_wait_long(void **state) {
    (void)state;
    struct user user = begin();
    assert_int_equal(canyon_push(user.tensor, user.values, 5000), CANYON_OK);
    atomic_store(&user.fake->behaviour, STOP_READING);
    canyon_tensor_close(user.tensor);
    const uint64_t begun = clock_now();
    canyon_close(user.client);
    assert_true(clock_now() - begun < 10000ull * MILLISECOND);
    fake_stop(user.fake);
    free(user.values);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_answers_are_found_to_be_duplicates),
        cmocka_unit_test(test_pulls_are_repeated),
        cmocka_unit_test(test_a_server_that_never_answers_is_not_waited_for_without_end),
        cmocka_unit_test(test_attempts_back_off),
        cmocka_unit_test(test_a_server_that_was_restarted),
        cmocka_unit_test(test_closing_takes_leave),
        cmocka_unit_test(test_closing_does_not_wait_long),
    };
    int failed = 0;
    patience_ms = 10000;
    FAKE_RUN_BOTH_WAYS(tests, failed);
    return failed;
}
