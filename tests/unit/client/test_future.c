/* Futures without a network: callbacks exactly once, waits with deadlines, the last reference frees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <unistd.h>

#include "client/future.h"
#include "common/clock.h"

#define MILLISECOND 1000000u

/* Work that a thread, or a drive, ends. */
struct job_under_way {
    struct canyon_future future;
    unsigned entered, left, drives;
    unsigned *destroyed;
    struct error outcome;
    bool ends_when_driven;
};

static void work_enter(struct canyon_future *future) {
    ((struct job_under_way *)future)->entered++;
}

static void work_leave(struct canyon_future *future) {
    ((struct job_under_way *)future)->left++;
}

static void work_drive(struct canyon_future *future, uint64_t deadline) {
    struct job_under_way *work = (struct job_under_way *)future;
    work->drives++;
    if (work->ends_when_driven && !future_is_done(future))
        future_end(future, &work->outcome);
    while (!future_is_done(future) && clock_now() < deadline)
        future_await_change(future, deadline);
}

static void work_destroy(struct canyon_future *future) {
    struct job_under_way *work = (struct job_under_way *)future;
    (*work->destroyed)++;
    future_finish(future);
    free(work);
}

static const struct future_work driven_work = {work_enter, work_leave, work_drive, work_destroy};
static const struct future_work plain_work = {.destroy = work_destroy};

static struct job_under_way *begin_work(const struct future_work *table, unsigned *destroyed) {
    struct job_under_way *work = calloc(1, sizeof *work);
    assert_non_null(work);
    *destroyed = 0;
    future_init(&work->future, table);
    work->destroyed = destroyed;
    return work;
}

struct call {
    unsigned count;
    enum canyon_status status;
    char text[ERROR_TEXT_BYTES];
    enum canyon_status nested;
    struct canyon_future *waits_for;
};

static void note_call(void *user, enum canyon_status status, const char *text) {
    struct call *call = user;
    call->count++;
    call->status = status;
    strcpy(call->text, text);
    if (call->waits_for != NULL)
        call->nested = canyon_future_wait(call->waits_for, 1000);
}

static void test_callback_before_the_end_runs_once(void **state) {
    (void)state;
    unsigned destroyed;
    struct call call = {0}, second = {0};
    struct job_under_way *work = begin_work(&plain_work, &destroyed);
    assert_int_equal(canyon_future_then(&work->future, note_call, &call), CANYON_OK);
    assert_int_equal(canyon_future_then(&work->future, note_call, &second), CANYON_CONFLICT);
    assert_int_equal(call.count, 0);
    assert_int_equal(canyon_future_done(&work->future), 0);
    error_set(&work->outcome, CANYON_REFUSED, "two blocks");
    future_end(&work->future, &work->outcome);
    assert_int_equal(call.count, 1);
    assert_int_equal(call.status, CANYON_REFUSED);
    assert_string_equal(call.text, "two blocks");
    assert_int_equal(second.count, 0);
    assert_int_equal(canyon_future_done(&work->future), 1);
    canyon_future_release(&work->future);
    assert_int_equal(destroyed, 1);
}

static void test_callback_after_the_end_runs_at_once(void **state) {
    (void)state;
    unsigned destroyed;
    struct call call = {0};
    struct job_under_way *work = begin_work(&plain_work, &destroyed);
    future_end(&work->future, &work->outcome);
    assert_int_equal(canyon_future_then(&work->future, note_call, &call), CANYON_OK);
    assert_int_equal(call.count, 1);
    assert_string_equal(call.text, "");
    assert_int_equal(canyon_future_then(&work->future, note_call, &call), CANYON_CONFLICT);
    assert_int_equal(call.count, 1);
    canyon_future_release(&work->future);
    assert_int_equal(destroyed, 1);
}

static void test_wait_drives_and_tells_the_outcome(void **state) {
    (void)state;
    unsigned destroyed;
    struct job_under_way *work = begin_work(&driven_work, &destroyed);
    work->ends_when_driven = true;
    error_set(&work->outcome, CANYON_NOT_FINITE, "block 3");
    assert_int_equal(canyon_future_wait(&work->future, UINT32_MAX), CANYON_NOT_FINITE);
    assert_string_equal(canyon_error_text(), "block 3");
    assert_int_equal(work->drives, 1);
    assert_int_equal(work->entered, 1);
    assert_int_equal(work->left, 1);
    assert_int_equal(canyon_future_wait(&work->future, 0), CANYON_NOT_FINITE);
    assert_int_equal(work->drives, 1); /* done: there is nothing to drive, and nothing to enter */
    assert_int_equal(work->entered, 1);
    canyon_future_release(&work->future);
    assert_int_equal(destroyed, 1);
}

static void test_wait_gives_up_after_its_time(void **state) {
    (void)state;
    unsigned destroyed;
    struct job_under_way *work = begin_work(&driven_work, &destroyed);
    uint64_t before = clock_now();
    assert_int_equal(canyon_future_wait(&work->future, 30), CANYON_BUSY);
    uint64_t took = clock_now() - before;
    assert_true(took >= 30 * (uint64_t)MILLISECOND);
    assert_int_equal(canyon_future_wait(&work->future, 0), CANYON_BUSY);
    assert_int_equal(work->entered, work->left);
    future_end(&work->future, &work->outcome);
    assert_int_equal(canyon_future_wait(&work->future, 0), CANYON_OK);
    canyon_future_release(&work->future);
    assert_int_equal(destroyed, 1);
}

static void test_a_callback_must_not_wait(void **state) {
    (void)state;
    unsigned destroyed, other_destroyed;
    struct job_under_way *other = begin_work(&driven_work, &other_destroyed);
    struct job_under_way *work = begin_work(&plain_work, &destroyed);
    struct call call = {.waits_for = &other->future};
    assert_int_equal(canyon_future_then(&work->future, note_call, &call), CANYON_OK);
    assert_false(future_in_callback());
    future_end(&work->future, &work->outcome);
    assert_int_equal(call.nested, CANYON_CONFLICT);
    assert_false(future_in_callback());
    future_end(&other->future, &other->outcome);
    canyon_future_release(&work->future);
    canyon_future_release(&other->future);
    assert_int_equal(destroyed + other_destroyed, 2);
}

static void *end_later(void *user) {
    struct job_under_way *work = user;
    usleep(20000);
    future_end(&work->future, &work->outcome);
    future_release(&work->future);
    return NULL;
}

static void test_released_while_under_way(void **state) {
    (void)state;
    unsigned destroyed;
    pthread_t thread;
    struct job_under_way *work = begin_work(&plain_work, &destroyed);
    future_reference(&work->future); /* the work's own */
    assert_int_equal(pthread_create(&thread, NULL, end_later, work), 0);
    canyon_future_release(&work->future);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(destroyed, 1);
}

enum { WAITERS = 4 };

static void *wait_for(void *user) {
    static const enum canyon_status failed = CANYON_INTERNAL;
    struct canyon_future *future = user;
    return canyon_future_wait(future, UINT32_MAX) == CANYON_OK ? NULL : (void *)(uintptr_t)failed;
}

static void test_many_threads_wait(void **state) {
    (void)state;
    unsigned destroyed;
    pthread_t waiters[WAITERS], ender;
    struct job_under_way *work = begin_work(&plain_work, &destroyed);
    future_reference(&work->future);
    for (int i = 0; i < WAITERS; i++)
        assert_int_equal(pthread_create(&waiters[i], NULL, wait_for, &work->future), 0);
    assert_int_equal(pthread_create(&ender, NULL, end_later, work), 0);
    for (int i = 0; i < WAITERS; i++) {
        void *failed = NULL;
        pthread_join(waiters[i], &failed);
        assert_null(failed);
    }
    pthread_join(ender, NULL);
    canyon_future_release(&work->future);
    assert_int_equal(destroyed, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_callback_before_the_end_runs_once),
        cmocka_unit_test(test_callback_after_the_end_runs_at_once),
        cmocka_unit_test(test_wait_drives_and_tells_the_outcome),
        cmocka_unit_test(test_wait_gives_up_after_its_time),
        cmocka_unit_test(test_a_callback_must_not_wait),
        cmocka_unit_test(test_released_while_under_way),
        cmocka_unit_test(test_many_threads_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
