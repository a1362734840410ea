/* A client that counts clocks, against a server that loses them or does not answer. Every test runs twice: encrypted
 * and in plaintext. */
#include "tests/unit/client/fake.h"

#define MILLISECOND 1000000u
#define UNANSWERED  64 /* clocks that may be told and not answered before it is waited for the next (canyon.h) */

static bool reaches(_Atomic uint64_t *value, uint64_t expected) {
    for (unsigned i = 0; i < 9000 && atomic_load(value) != expected; i++)
        usleep(1000);
    return atomic_load(value) == expected;
}

static void hang_up_once(struct fake *fake) {
    const int closed = atomic_load(&fake->closed);
    atomic_store(&fake->behaviour, CLOSE_IDLE);
    while (atomic_load(&fake->closed) == closed)
        usleep(1000);
    atomic_store(&fake->behaviour, ANSWER);
}

/* More than one answer may be lost; nobody asks for anything else; and signs of life come much later than this. */
static void test_a_clock_that_was_lost_is_told_again(void **state) {
    (void)state;
    struct user user = begin();
    uint64_t clock = 0;
    assert_int_equal(canyon_clock(user.client, &clock), CANYON_OK);
    assert_true(reaches(&user.fake->clock, 1));
    const int connections = atomic_load(&user.fake->connections);
    atomic_store(&user.fake->clock_cuts, 3);
    assert_int_equal(canyon_clock(user.client, &clock), CANYON_OK);
    assert_int_equal(clock, 2);
    assert_true(reaches(&user.fake->clock, 2));
    assert_int_equal(atomic_load(&user.fake->connections), connections + 3);
    assert_int_equal(atomic_load(&user.fake->enters), 1);
    end(&user);
}

/* More than the window holds: what waits there keeps back no push, for which others may be waiting. */
static void test_pulls_that_wait_keep_no_push_back(void **state) {
    (void)state;
    enum { PULLS = 12 }; /* of 800 kB, where the window is 8 MiB */
    struct user user = begin();
    canyon_future *futures[PULLS];
    struct canyon_item items[PULLS];
    assert_int_equal(canyon_clock(user.client, NULL), CANYON_OK);
    atomic_store(&user.fake->hold, 1);
    for (size_t i = 0; i < PULLS; i++) {
        items[i] = (struct canyon_item){.tensor = user.tensor, .weights = malloc(ELEMENTS * sizeof(float))};
        assert_non_null(items[i].weights);
        assert_int_equal(canyon_step_async(user.client, &items[i], 1, 20000, &futures[i]), CANYON_OK);
    }
    assert_int_equal(canyon_push(user.tensor, user.values, 5000), CANYON_OK);
    assert_int_equal(canyon_future_done(futures[0]), 0);
    /* They are made again over the next connection. */
    atomic_store(&user.fake->hold, 0);
    hang_up_once(user.fake);
    for (size_t i = 0; i < PULLS; i++) {
        assert_int_equal(canyon_future_wait(futures[i], UINT32_MAX), CANYON_OK);
        canyon_future_release(futures[i]);
        free(items[i].weights);
    }
    end(&user);
}

/* ---- in a future's callback ---- */

struct called_back {
    canyon_client *client;
    enum canyon_status status;
    uint64_t clock;
    char text[400];
};

static void count_a_step(void *data, enum canyon_status status, const char *text) {
    struct called_back *back = data;
    (void)text;
    assert_int_equal(status, CANYON_OK);
    back->status = canyon_clock(back->client, &back->clock);
    snprintf(back->text, sizeof back->text, "%s", canyon_error_text());
}

/* canyon_clock from a callback; how long that took, in ns, is returned. */
static uint64_t call_back(struct user *user, struct called_back *back) {
    canyon_future *future = NULL;
    *back = (struct called_back){.client = user->client};
    struct canyon_item item = {.tensor = user->tensor, .gradient = user->values};
    assert_int_equal(canyon_step_async(user->client, &item, 1, 0, &future), CANYON_OK);
    assert_int_equal(canyon_future_wait(future, UINT32_MAX), CANYON_OK);
    const uint64_t begun = clock_now();
    assert_int_equal(canyon_future_then(future, count_a_step, back), CANYON_OK);
    const uint64_t took = clock_now() - begun;
    canyon_future_release(future);
    return took;
}

static void test_entering_is_refused_in_a_callback(void **state) {
    (void)state;
    struct user user = begin();
    struct called_back back;
    call_back(&user, &back);
    assert_int_equal(back.status, CANYON_CONFLICT);
    assert_non_null(strstr(back.text, "callback"));
    assert_int_equal(atomic_load(&user.fake->enters), 0);
    assert_int_equal(canyon_clock(user.client, NULL), CANYON_OK);
    call_back(&user, &back);
    assert_int_equal(back.status, CANYON_OK);
    assert_int_equal(back.clock, 2);
    end(&user);
}

struct counting {
    canyon_client *client;
    _Atomic int stop;
    enum canyon_status status;
    uint64_t clock;
};

/* Goes on until it is stopped, and waits where it has to. */
static void *count_steps(void *data) {
    struct counting *counting = data;
    while (counting->status == CANYON_OK && !atomic_load(&counting->stop))
        counting->status = canyon_clock(counting->client, &counting->clock);
    return NULL;
}

/* While another thread waits for the answer, which a callback does not. */
static void test_a_callback_does_not_wait_for_answers(void **state) {
    (void)state;
    struct user user = begin();
    struct called_back back;
    struct counting counting = {.client = user.client};
    pthread_t thread;
    assert_int_equal(canyon_clock(user.client, NULL), CANYON_OK);
    assert_true(reaches(&user.fake->clock, 1));
    atomic_store(&user.fake->mute, 1);
    assert_int_equal(pthread_create(&thread, NULL, count_steps, &counting), 0);
    while (atomic_load(&user.fake->unheard) < UNANSWERED)
        usleep(1000);
    atomic_store(&counting.stop, 1);
    assert_true(call_back(&user, &back) < 5000ull * MILLISECOND); /* the thread would wait for ten seconds */
    assert_int_equal(back.status, CANYON_BUSY);
    assert_int_equal(back.clock, 0);
    assert_non_null(strstr(back.text, "64 clocks"));

    /* All of them are told again over the next connection, and answered there. */
    atomic_store(&user.fake->mute, 0);
    hang_up_once(user.fake);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(counting.status, CANYON_OK);
    assert_true(counting.clock > UNANSWERED);
    assert_true(reaches(&user.fake->clock, counting.clock));
    assert_true(atomic_load(&user.fake->clocks) >= UNANSWERED);
    do
        call_back(&user, &back); /* the last answers may still be on their way: until then the clock stays */
    while (back.status == CANYON_BUSY);
    assert_int_equal(back.status, CANYON_OK);
    assert_int_equal(back.clock, counting.clock + 1);
    end(&user);
}

/* ---- the mode ---- */

static void test_a_mode_whose_setting_is_not_answered_may_be_set(void **state) {
    (void)state;
    struct user user = begin();
    struct canyon_consistency mode;
    assert_int_equal(canyon_consistency_get(user.client, 5000, &mode), CANYON_OK);
    assert_int_equal(mode.set, 0);
    assert_int_equal(canyon_consistency_set(user.client, "sync", 0, 300), CANYON_OUTCOME_UNKNOWN);
    assert_non_null(strstr(canyon_error_text(), "CONSISTENCY"));
    end(&user);
}

/* ---- leaving ---- */

static void test_closing_says_goodbye(void **state) {
    (void)state;
    struct user user = begin();
    assert_int_equal(canyon_clock(user.client, NULL), CANYON_OK);
    canyon_tensor_close(user.tensor);
    canyon_close(user.client);
    assert_int_equal(atomic_load(&user.fake->goodbyes), 1);
    fake_stop(user.fake);
    free(user.values);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_clock_that_was_lost_is_told_again),
        cmocka_unit_test(test_pulls_that_wait_keep_no_push_back),
        cmocka_unit_test(test_entering_is_refused_in_a_callback),
        cmocka_unit_test(test_a_callback_does_not_wait_for_answers),
        cmocka_unit_test(test_a_mode_whose_setting_is_not_answered_may_be_set),
        cmocka_unit_test(test_closing_says_goodbye),
    };
    int failed = 0;
    patience_ms = 10000;
    FAKE_RUN_BOTH_WAYS(tests, failed);
    return failed;
}
