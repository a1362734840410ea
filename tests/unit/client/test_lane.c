/* Connections against a server that misbehaves on demand. Every test runs twice: encrypted and in plaintext. */
#include "tests/unit/client/fake.h"

/* ---- tests ---- */

static void test_values_arrive_in_place(void **state) {
    (void)state;
    struct user user = begin();
    check_pulls(&user);
    assert_int_equal(canyon_push(user.tensor, user.values, 0), CANYON_OK);
    end(&user);
}

static void test_replies_that_do_not_fit_the_request(void **state) {
    (void)state;
    static const enum behaviour wrong[] = {ANSWER_TOO_FEW, ANSWER_TOO_SHORT, SEND_GARBAGE};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct user user = begin();
        atomic_store(&user.fake->behaviour, (int)wrong[i]);
        assert_int_equal(canyon_pull(user.tensor, user.values, 2000), CANYON_PROTOCOL);
        check_address_in_text(&user);
        check_pulls(&user);
        end(&user);
    }
}

/* A server that answers float32 whatever form was asked for, or of a wrong length. */
static void test_weights_in_another_form_than_asked_for(void **state) {
    (void)state;
    static const char *const codecs[] = {"bf16", "f16", "int8", "int8:stochastic"};
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        struct user user = begin();
        assert_int_equal(canyon_tensor_set_codec(user.tensor, NULL, codecs[i]), CANYON_OK);
        assert_int_equal(canyon_pull(user.tensor, user.values, 2000), CANYON_PROTOCOL);
        check_address_in_text(&user);
        assert_non_null(strstr(canyon_error_text(), "payload bytes where"));
        assert_int_equal(canyon_tensor_set_codec(user.tensor, NULL, NULL), CANYON_OK);
        check_pulls(&user);
        end(&user);
    }
}

static void test_hanging_up_tells_pull_from_push(void **state) {
    (void)state;
    struct user user = begin();
    atomic_store(&user.fake->behaviour, HANG_UP);
    assert_int_equal(canyon_pull(user.tensor, user.values, 2000), CANYON_UNAVAILABLE);
    check_address_in_text(&user);
    assert_int_equal(canyon_push(user.tensor, user.values, 2000), CANYON_OUTCOME_UNKNOWN);
    check_address_in_text(&user);
    check_pulls(&user);
    end(&user);
}

/* After a timeout in the middle of a reply the memory is the caller's, and the connection goes on. */
static void test_timeout_in_the_middle_of_a_reply(void **state) {
    (void)state;
    struct user user = begin();
    int connections = atomic_load(&user.fake->connections);
    atomic_store(&user.fake->behaviour, ANSWER_HALF);
    assert_int_equal(canyon_pull(user.tensor, user.values, 150), CANYON_TIMEOUT);
    float *before = user.values;
    user.values = calloc(ELEMENTS, sizeof(float));
    assert_non_null(user.values);
    free(before); /* a write to it would be found by the address sanitizer */
    atomic_store(&user.fake->told, 1);
    check_pulls(&user);
    assert_int_equal(atomic_load(&user.fake->connections), connections);
    end(&user);
}

/* A push that is half in the socket when its deadline passes: its memory is free at once, the connection is not used
 * on. */
static void test_timeout_in_the_middle_of_a_request(void **state) {
    (void)state;
    patience_ms = 10000;
    struct user user = begin();
    struct canyon_tensor_info info;
    struct canyon_client_counters counters;
    assert_int_equal(canyon_tensor_describe(user.tensor, &info), CANYON_OK);
    int connections = atomic_load(&user.fake->connections);
    atomic_store(&user.fake->behaviour, STOP_READING);
    canyon_future *futures[40];
    float *gradient = calloc(ELEMENTS, sizeof(float));
    assert_non_null(gradient);
    struct canyon_item items[40];
    for (size_t i = 0; i < 40; i++) {
        items[i] = (struct canyon_item){.tensor = user.tensor, .gradient = gradient};
        assert_int_equal(canyon_step_async(user.client, &items[i], 1, 300, &futures[i]), CANYON_OK);
    }
    for (size_t i = 0; i < 40; i++) {
        enum canyon_status status = canyon_future_wait(futures[i], UINT32_MAX);
        assert_true(status == CANYON_OUTCOME_UNKNOWN || status == CANYON_TIMEOUT || status == CANYON_UNAVAILABLE);
        canyon_future_release(futures[i]);
    }
    free(gradient);
    atomic_store(&user.fake->behaviour, ANSWER);
    atomic_store(&user.fake->told, 1);
    check_pulls(&user);
    assert_true(atomic_load(&user.fake->connections) > connections);
    /* What had begun is finished over the new connection, before the pull and without those who gave it up. */
    assert_int_equal(canyon_client_counters(user.client, &counters), CANYON_OK);
    assert_true(counters.reconnects >= 1 && counters.resent >= 1);
    assert_int_equal(atomic_load(&user.fake->gaps), 0);
    assert_int_equal(atomic_load(&user.fake->duplicates), 0);
    assert_in_range(atomic_load(&user.fake->taken), 1, 40 * 4);
    assert_int_equal(atomic_load(&user.fake->resumes), 1);
    patience_ms = 0;
    end(&user);
}

/* The server goes away while nothing is under way: the next call finds out before it sends, and connects again. */
static void test_restarted_while_idle(void **state) {
    (void)state;
    struct user user = begin();
    int closed = atomic_load(&user.fake->closed);
    atomic_store(&user.fake->behaviour, CLOSE_IDLE);
    while (atomic_load(&user.fake->closed) == closed)
        usleep(1000);
    atomic_store(&user.fake->behaviour, ANSWER);
    memset(user.fake->welcome.boot, 2, sizeof user.fake->welcome.boot);
    assert_int_equal(atomic_load(&user.fake->restarts), 0);
    assert_int_equal(canyon_push(user.tensor, user.values, 0), CANYON_OK);
    assert_int_equal(atomic_load(&user.fake->restarts), 1);
    check_pulls(&user);
    assert_int_equal(atomic_load(&user.fake->restarts), 1);
    end(&user);
}

/* A block is missing, and the server of the catalogue does not say why: neither does the error. */
static void test_missing_block_that_nobody_explains(void **state) {
    (void)state;
    struct user user = begin();
    atomic_store(&user.fake->behaviour, MISS_A_BLOCK);
    assert_int_equal(canyon_pull(user.tensor, user.values, 2000), CANYON_UNAVAILABLE);
    check_address_in_text(&user);
    assert_non_null(strstr(canyon_error_text(), "was not found out"));
    check_pulls(&user);
    end(&user);
}

/* Whoever dropped it may have been at a server before the creator's parts were: the creator takes them away. */
static void test_dropped_while_it_was_created(void **state) {
    (void)state;
    struct user user = begin();
    struct canyon_tensor_spec spec;
    canyon_tensor *tensor = NULL;
    canyon_tensor_spec_init(&spec);
    strcpy(spec.name, "w");
    spec.rank = 1;
    spec.dims[0] = ELEMENTS;
    assert_int_equal(canyon_tensor_create(user.client, &spec, 2000, &tensor), CANYON_NOT_FOUND);
    assert_null(tensor);
    assert_int_equal(atomic_load(&user.fake->undefined), 1);
    end(&user);
}

static void test_list_that_goes_in_circles(void **state) {
    (void)state;
    struct user user = begin();
    struct canyon_tensor_info *infos = NULL;
    size_t count = 0;
    assert_int_equal(canyon_tensor_list(user.client, 2000, &infos, &count), CANYON_PROTOCOL);
    check_address_in_text(&user);
    assert_null(infos);
    assert_int_equal(atomic_load(&user.fake->listed), 2);
    end(&user);
}

/* ---- a lane by itself ---- */

/* A deadline that is over before anybody drives ends the request all the same. */
static void test_deadline_that_is_over(void **state) {
    (void)state;
    struct fake *fake = fake_start();
    struct log log = {.threshold = LOG_SILENT, .descriptor = -1};
    struct identity *identity = fake_identity();
    struct lane_options options = {.address = fake->address,
                                   .name = "test",
                                   .window_bytes = 1 << 20,
                                   .connect_ms = 1000,
                                   .identity = identity,
                                   .log = &log};
    struct lane *lane = lane_create(&options, NULL);
    assert_non_null(lane);
    for (int connected = 0; connected < 2; connected++) {
        enum canyon_status status = CANYON_INTERNAL;
        struct session_request request = {
            .type = FRAME_LIST, .deadline = clock_now() - 1, .done = note_status, .user = &status};
        lane_submit(lane, &request, LANE_DRIVEN);
        lane_drive(lane, has_status, &status, UINT64_MAX);
        assert_int_equal(status, CANYON_TIMEOUT);
        lane_connect(lane);
        assert_int_equal(lane_wait_connected(lane, NULL, NULL, NULL), CANYON_OK);
        atomic_store(&fake->behaviour, STOP_READING); /* a quick answer would come before the deadline is looked at */
    }
    lane_close(lane);
    lane_destroy(lane);
    identity_destroy(identity);
    fake_stop(fake);
}

static void test_another_server_at_the_same_address(void **state) {
    (void)state;
    for (int change = 0; change < 2; change++) {
        struct user user = begin();
        atomic_store(&user.fake->behaviour, HANG_UP);
        assert_int_equal(canyon_pull(user.tensor, user.values, 2000), CANYON_UNAVAILABLE);
        if (change == 0)
            user.fake->welcome.threads = 3;
        else
            user.fake->welcome.digest[0] ^= 1;
        atomic_store(&user.fake->behaviour, ANSWER);
        assert_int_equal(canyon_pull(user.tensor, user.values, 2000), CANYON_CONFIGURATION);
        check_address_in_text(&user);
        end(&user);
    }
}

static void test_digest_that_is_not_of_the_job(void **state) {
    (void)state;
    struct fake *fake = fake_start();
    canyon_client *client = NULL;
    fake->welcome.digest[3] ^= 1;
    assert_int_equal(try_connect(fake, &client), CANYON_PROTOCOL);
    assert_null(client);
    fake_stop(fake);
}

/* A name that cannot be looked up, and one that can. */
static void test_names_are_looked_up(void **state) {
    (void)state;
    struct fake *fake = fake_start();
    struct canyon_options options;
    canyon_client *client = NULL;
    char address[64];
    default_options(&options);
    options.connect_ms = 2000;
    options.servers = "no-such-host.invalid:7077";
    assert_int_equal(canyon_connect(&options, &client), encrypted ? CANYON_UNAUTHENTICATED : CANYON_UNAVAILABLE);
    assert_non_null(strstr(canyon_error_text(), "no-such-host.invalid"));
    snprintf(address, sizeof address, "localhost:%s", strchr(fake->address, ':') + 1);
    options.servers = address;
    assert_int_equal(canyon_connect(&options, &client), CANYON_OK);
    canyon_close(client);
    fake_stop(fake);
}

/* Closing ends what is under way, at once, and the futures can be asked and released afterwards. */
static void test_close_ends_what_is_under_way(void **state) {
    (void)state;
    struct user user = begin();
    canyon_future *future = NULL;
    struct canyon_item item = {.tensor = user.tensor, .weights = user.values};
    atomic_store(&user.fake->behaviour, ANSWER_HALF);
    assert_int_equal(canyon_step_async(user.client, &item, 1, 60000, &future), CANYON_OK);
    usleep(20000);
    uint64_t before = clock_now();
    canyon_tensor *tensor = user.tensor;
    canyon_close(user.client);
    assert_true(clock_now() - before < 5000000000u);
    assert_int_equal(canyon_future_done(future), 1);
    assert_int_equal(canyon_future_wait(future, 0), CANYON_CLOSED);
    canyon_future_release(future);
    canyon_tensor_close(tensor);
    fake_stop(user.fake);
    free(user.values);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_arrive_in_place),
        cmocka_unit_test(test_replies_that_do_not_fit_the_request),
        cmocka_unit_test(test_weights_in_another_form_than_asked_for),
        cmocka_unit_test(test_hanging_up_tells_pull_from_push),
        cmocka_unit_test(test_timeout_in_the_middle_of_a_reply),
        cmocka_unit_test(test_timeout_in_the_middle_of_a_request),
        cmocka_unit_test(test_restarted_while_idle),
        cmocka_unit_test(test_missing_block_that_nobody_explains),
        cmocka_unit_test(test_dropped_while_it_was_created),
        cmocka_unit_test(test_list_that_goes_in_circles),
        cmocka_unit_test(test_deadline_that_is_over),
        cmocka_unit_test(test_another_server_at_the_same_address),
        cmocka_unit_test(test_digest_that_is_not_of_the_job),
        cmocka_unit_test(test_names_are_looked_up),
        cmocka_unit_test(test_close_ends_what_is_under_way),
    };
    int failed = 0;
    FAKE_RUN_BOTH_WAYS(tests, failed);
    return failed;
}
