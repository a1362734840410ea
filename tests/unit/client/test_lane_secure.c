/* What encrypted connections have beyond plaintext ones: ends that say something, last records, an age. */
#include "tests/unit/client/fake.h"

/* A silent end before the welcome may be a server that dies just now: it is asked once more, and then believed. */
static void test_a_silent_end_is_asked_about_once(void **state) {
    (void)state;
    static const enum behaviour silent[] = {HANG_UP_FIRST, HANG_UP_PROVEN};
    for (size_t i = 0; i < sizeof silent / sizeof silent[0]; i++) {
        for (int hang_ups = 1; hang_ups <= 2; hang_ups++) {
            struct fake *fake = fake_start();
            canyon_client *client = NULL;
            atomic_store(&fake->behaviour, (int)silent[i]);
            atomic_store(&fake->hang_ups, hang_ups);
            enum canyon_status status = try_connect(fake, &client);
            if (hang_ups == 1) {
                assert_int_equal(status, CANYON_OK);
            } else {
                assert_int_equal(status, CANYON_UNAUTHENTICATED);
                assert_int_equal(atomic_load(&fake->connections), 2);
                assert_non_null(strstr(canyon_error_text(), i == 0 ? "did not prove" : "allow-list"));
            }
            canyon_close(client);
            fake_stop(fake);
        }
    }
}

/* The server is asked again within the time of one attempt, and when it is gone by then, that is what is said. */
static void test_a_silent_end_of_a_server_that_is_gone(void **state) {
    (void)state;
    struct fake *fake = fake_start();
    canyon_client *client = NULL;
    atomic_store(&fake->behaviour, HANG_UP_FIRST);
    atomic_store(&fake->hang_ups, 1);
    atomic_store(&fake->deaf, 1);
    assert_int_equal(try_connect(fake, &client), CANYON_UNAVAILABLE);
    assert_null(client);
    fake_stop(fake);
}

/* One that greeted this client before and is lost in the middle of a push is asked some times more, for a connection
 * that is cut in its handshake ends as silently. */
static void test_a_silent_end_is_not_believed_of_a_server_that_greeted(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct user user = begin();
        assert_int_equal(canyon_push(user.tensor, user.values, 5000), CANYON_OK);
        atomic_store(&user.fake->hang_ups, i == 0 ? 7 : 1000);
        atomic_store(&user.fake->losses, 1);
        atomic_store(&user.fake->behaviour, LOSE_ANSWER);
        const enum canyon_status status = canyon_push(user.tensor, user.values, 60000);
        if (i == 0) {
            assert_int_equal(status, CANYON_OK);
            assert_int_equal(atomic_load(&user.fake->hang_ups), 0);
            assert_true(atomic_load(&user.fake->duplicates) > 0);
        } else {
            assert_int_equal(status, CANYON_OUTCOME_UNKNOWN);
            assert_non_null(strstr(canyon_error_text(), "allow-list"));
            assert_in_range(atomic_load(&user.fake->hang_ups), 980, 990);
            atomic_store(&user.fake->hang_ups, 0);
        }
        end(&user);
    }
}

static void test_an_end_without_a_last_record_is_told_from_one_with_it(void **state) {
    (void)state;
    static const enum behaviour ends[] = {HANG_UP, SAY_GOODBYE};
    for (size_t i = 0; i < 2; i++) {
        struct user user = begin();
        atomic_store(&user.fake->behaviour, (int)ends[i]);
        assert_int_equal(canyon_pull(user.tensor, user.values, 500), CANYON_UNAVAILABLE);
        check_address_in_text(&user);
        assert_true((strstr(canyon_error_text(), "last record") != NULL) == (ends[i] == HANG_UP));
        check_pulls(&user);
        end(&user);
    }
}

/* The length of a record is not sealed. One that promises what never comes must not hold up what comes after it. */
static void test_a_record_that_stops_half_way(void **state) {
    (void)state;
    struct user user = begin();
    int connections = atomic_load(&user.fake->connections);
    atomic_store(&user.fake->behaviour, TEAR_RECORD);
    assert_int_equal(canyon_pull(user.tensor, user.values, 800), CANYON_TIMEOUT);
    atomic_store(&user.fake->told, 1);
    check_pulls(&user);
    assert_int_equal(atomic_load(&user.fake->connections), connections + 1);
    end(&user);
}

/* Every connection of a client that is closed ends with a last record: that of the question for the job, and the lane.
 */
static void test_closing_says_that_it_was_all(void **state) {
    (void)state;
    struct user user = begin();
    check_pulls(&user);
    canyon_tensor_close(user.tensor);
    canyon_close(user.client);
    for (int turns = 0; turns < 5000 && atomic_load(&user.fake->closed) < 2; turns++)
        usleep(1000);
    assert_int_equal(atomic_load(&user.fake->lasts), 2);
    fake_stop(user.fake);
    free(user.values);
}

/* Submits one request and waits for its end. */
static enum canyon_status list_once(struct lane *lane) {
    enum canyon_status status = CANYON_INTERNAL;
    struct session_request request = {
        .type = FRAME_LIST, .deadline = clock_now() + 5000000000u, .done = note_status, .user = &status};
    lane_submit(lane, &request, LANE_DRIVEN);
    lane_drive(lane, has_status, &status, UINT64_MAX);
    return status;
}

/* A connection that has carried much, or stands for long, is replaced before the next request, unless it is pinned. */
static void test_old_connections_are_replaced(void **state) {
    (void)state;
    for (int reason = 0; reason < 3; reason++) {
        struct fake *fake = fake_start();
        struct log log = {.threshold = LOG_SILENT, .descriptor = -1};
        struct identity *identity = fake_identity();
        struct lane_options options = {.address = fake->address,
                                       .name = "test",
                                       .window_bytes = 1 << 20,
                                       .connect_ms = 1000,
                                       .identity = identity,
                                       .renew_bytes = reason == 0 ? 1 : 0,
                                       .renew_ms = reason == 1 ? 1 : 0,
                                       .log = &log};
        struct lane *lane = lane_create(&options, NULL);
        assert_non_null(lane);
        for (int i = 1; i <= 4; i++) {
            assert_int_equal(list_once(lane), CANYON_OK);
            assert_int_equal(atomic_load(&fake->connections), reason < 2 ? i : 1);
            assert_int_equal(lane_restarts(lane), 0);
            usleep(2000);
        }
        lane_pin(lane);
        int connections = atomic_load(&fake->connections);
        assert_int_equal(list_once(lane), CANYON_OK);
        assert_int_equal(atomic_load(&fake->connections), connections);
        assert_int_equal(atomic_load(&fake->lasts), connections - 1); /* each of the others ended as it should */
        lane_close(lane);
        lane_destroy(lane);
        identity_destroy(identity);
        fake_stop(fake);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_silent_end_is_asked_about_once),
        cmocka_unit_test(test_a_silent_end_of_a_server_that_is_gone),
        cmocka_unit_test(test_a_silent_end_is_not_believed_of_a_server_that_greeted),
        cmocka_unit_test(test_an_end_without_a_last_record_is_told_from_one_with_it),
        cmocka_unit_test(test_a_record_that_stops_half_way),
        cmocka_unit_test(test_closing_says_that_it_was_all),
        cmocka_unit_test(test_old_connections_are_replaced),
    };
    encrypted = true;
    patience_ms = 10000;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
