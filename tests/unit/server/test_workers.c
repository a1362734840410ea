/* Ranks and barriers as a data structure. */
#include "tests/unit/server/fixture.h"

#include "server/workers.h"

static uint8_t sessions[20][SESSION_BYTES];
static int tokens[20]; /* only their addresses matter */

static int setup(void **state) {
    for (unsigned i = 0; i < 20; i++) {
        fixture_session(sessions[i], i + 1);
    }
    *state = workers_create();
    return *state == NULL;
}

static int teardown(void **state) {
    workers_destroy(*state);
    return 0;
}

static uint32_t join(struct workers *workers, unsigned number) {
    uint32_t rank = UINT32_MAX;
    assert_int_equal(workers_join(workers, sessions[number], &rank, NULL), CANYON_OK);
    return rank;
}

static void arrive(struct workers *workers, const char *name, unsigned number, uint32_t count) {
    assert_int_equal(workers_arrive(workers, name, sessions[number], count, &tokens[number], NULL), CANYON_OK);
}

static void ranks_are_the_lowest_free(void **state) {
    struct workers *workers = *state;
    uint32_t rank = 0;
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(join(workers, i), i);
    }
    assert_int_equal(workers_count(workers), 20);
    workers_leave(workers, sessions[7]);
    workers_leave(workers, sessions[3]);
    assert_false(workers_rank(workers, sessions[7], &rank));
    assert_int_equal(workers_count(workers), 18);
    assert_int_equal(join(workers, 7), 3);
    assert_int_equal(join(workers, 3), 7);
    assert_true(workers_rank(workers, sessions[19], &rank));
    assert_int_equal(rank, 19);
}

static void a_session_keeps_its_rank_to_its_last_presence(void **state) {
    struct workers *workers = *state;
    uint32_t rank = 0;
    assert_int_equal(join(workers, 0), 0);
    assert_int_equal(join(workers, 1), 1);
    assert_int_equal(join(workers, 0), 0);
    assert_int_equal(workers_count(workers), 2);
    workers_leave(workers, sessions[0]);
    assert_true(workers_rank(workers, sessions[0], &rank));
    assert_int_equal(workers_count(workers), 2);
    workers_leave(workers, sessions[0]);
    assert_false(workers_rank(workers, sessions[0], &rank));
    assert_int_equal(workers_count(workers), 1);
}

static void a_barrier_opens_in_order_of_arrival(void **state) {
    struct workers *workers = *state;
    uint32_t arrived = 0, wanted = 0;
    arrive(workers, "b", 2, 3);
    arrive(workers, "b", 0, 3);
    assert_null(workers_next_passed(workers));
    workers_barrier(workers, "b", &arrived, &wanted);
    assert_int_equal(arrived, 2);
    assert_int_equal(wanted, 3);
    arrive(workers, "b", 1, 3);
    assert_ptr_equal(workers_next_passed(workers), &tokens[2]);
    /* Open, its name is free: the next round begins while the first still leaves. */
    arrive(workers, "b", 2, 2);
    assert_ptr_equal(workers_next_passed(workers), &tokens[0]);
    assert_ptr_equal(workers_next_passed(workers), &tokens[1]);
    assert_null(workers_next_passed(workers));
    workers_barrier(workers, "b", &arrived, &wanted);
    assert_int_equal(arrived, 1);
    assert_int_equal(wanted, 2);
    workers_barrier(workers, "c", &arrived, &wanted);
    assert_int_equal(arrived + wanted, 0);
}

static void barriers_of_other_names_are_apart(void **state) {
    struct workers *workers = *state;
    arrive(workers, "a", 0, 2);
    arrive(workers, "b", 1, 2);
    arrive(workers, "b", 0, 2);
    assert_ptr_equal(workers_next_passed(workers), &tokens[1]);
    assert_ptr_equal(workers_next_passed(workers), &tokens[0]);
    assert_null(workers_next_passed(workers));
    arrive(workers, "c", 5, 1);
    assert_ptr_equal(workers_next_passed(workers), &tokens[5]);
}

static void differing_counts_and_second_arrivals_are_refused(void **state) {
    struct workers *workers = *state;
    struct error error;
    uint32_t arrived = 0, wanted = 0;
    arrive(workers, "b", 0, 3);
    assert_int_equal(workers_arrive(workers, "b", sessions[1], 4, &tokens[1], &error), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "3"));
    assert_non_null(strstr(error.text, "4"));
    assert_int_equal(workers_arrive(workers, "b", sessions[0], 3, &tokens[0], &error), CANYON_CONFLICT);
    assert_int_equal(workers_arrive(workers, "c", sessions[0], 0, &tokens[0], &error), CANYON_INVALID_ARGUMENT);
    workers_barrier(workers, "b", &arrived, &wanted);
    assert_int_equal(arrived, 1);
    workers_barrier(workers, "c", &arrived, &wanted);
    assert_int_equal(arrived, 0);
}

static void a_withdrawn_arrival_does_not_count(void **state) {
    struct workers *workers = *state;
    arrive(workers, "b", 0, 2);
    workers_withdraw(workers, "b", &tokens[0]);
    arrive(workers, "b", 1, 3); /* the barrier was gone with its last arrival, its count too */
    arrive(workers, "b", 2, 3);
    workers_withdraw(workers, "b", &tokens[1]);
    arrive(workers, "b", 3, 3);
    assert_null(workers_next_passed(workers));
    arrive(workers, "b", 1, 3);
    assert_ptr_equal(workers_next_passed(workers), &tokens[2]);
    assert_ptr_equal(workers_next_passed(workers), &tokens[3]);
    assert_ptr_equal(workers_next_passed(workers), &tokens[1]);
    assert_null(workers_next_passed(workers));
}

static void a_barrier_of_all_follows_their_number(void **state) {
    struct workers *workers = *state;
    for (unsigned i = 0; i < 3; i++) {
        join(workers, i);
    }
    arrive(workers, "all", 0, 0);
    arrive(workers, "all", 1, 0);
    join(workers, 3);
    assert_null(workers_next_passed(workers));
    workers_leave(workers, sessions[2]);
    assert_null(workers_next_passed(workers));
    workers_leave(workers, sessions[3]);
    assert_ptr_equal(workers_next_passed(workers), &tokens[0]);
    assert_ptr_equal(workers_next_passed(workers), &tokens[1]);
    assert_null(workers_next_passed(workers));
    workers_leave(workers, sessions[1]);
    arrive(workers, "all", 0, 0); /* alone, it passes at once */
    assert_ptr_equal(workers_next_passed(workers), &tokens[0]);
}

static void barriers_have_a_limit(void **state) {
    struct workers *workers = *state;
    char name[16];
    struct error error;
    for (int i = 0; i < WORKERS_BARRIERS; i++) {
        snprintf(name, sizeof name, "b%d", i);
        arrive(workers, name, 0, 2);
    }
    assert_int_equal(workers_arrive(workers, "more", sessions[0], 2, &tokens[0], &error), CANYON_BUSY);
    assert_non_null(strstr(error.text, "1024"));
    arrive(workers, "b7", 1, 2); /* those that are there go on, and make room */
    assert_ptr_equal(workers_next_passed(workers), &tokens[0]);
    assert_ptr_equal(workers_next_passed(workers), &tokens[1]);
    arrive(workers, "more", 0, 2);
    assert_int_equal(workers_arrive(workers, "b7", sessions[0], 2, &tokens[0], &error), CANYON_BUSY);
    workers_withdraw(workers, "more", &tokens[0]);
    arrive(workers, "b7", 0, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(ranks_are_the_lowest_free),
        TEST(a_session_keeps_its_rank_to_its_last_presence),
        TEST(a_barrier_opens_in_order_of_arrival),
        TEST(barriers_of_other_names_are_apart),
        TEST(differing_counts_and_second_arrivals_are_refused),
        TEST(a_withdrawn_arrival_does_not_count),
        TEST(a_barrier_of_all_follows_their_number),
        TEST(barriers_have_a_limit),
    };
    workers_destroy(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
