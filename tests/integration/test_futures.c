/* Asynchronous steps: done exactly once, within their deadline, whatever becomes of the future, the client or the
 * server. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/harness.h"

#define ELEMENTS 20000
#define MANY     200

/* What a callback was told; each must be called once. */
struct told {
    _Atomic unsigned calls;
    _Atomic int status;
    char text[320];
};

static void tell(void *user, enum canyon_status status, const char *text) {
    struct told *told = user;
    snprintf(told->text, sizeof told->text, "%s", text);
    atomic_store(&told->status, (int)status);
    atomic_fetch_add(&told->calls, 1);
}

static void await_call(const struct told *told) {
    uint64_t end = now_ms() + PATIENCE_MS;
    while (atomic_load(&told->calls) == 0 && now_ms() < end)
        sleep_ms(1);
    check(atomic_load(&told->calls) == 1);
}

struct subject {
    struct cluster *cluster;
    canyon_client *client;
    canyon_tensor *tensor;
    float gradient[ELEMENTS], weights[ELEMENTS];
    struct canyon_item item; /* push_pull of the tensor */
};

static struct subject *subject_start(void) {
    struct subject *subject = calloc(1, sizeof *subject);
    check(subject != NULL);
    subject->cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2});
    subject->client = client_connect(cluster_servers(subject->cluster));
    subject->tensor = client_vector(subject->client, "t", ELEMENTS, "sgd:lr=1");
    for (size_t i = 0; i < ELEMENTS; i++)
        subject->gradient[i] = -1.0f;
    subject->item =
        (struct canyon_item){.tensor = subject->tensor, .gradient = subject->gradient, .weights = subject->weights};
    return subject;
}

static void subject_stop(struct subject *subject) {
    canyon_tensor_close(subject->tensor);
    canyon_close(subject->client);
    cluster_stop(subject->cluster);
    free(subject);
}

static canyon_future *begin(struct subject *subject, uint32_t timeout_ms) {
    canyon_future *future = NULL;
    check_ok(canyon_step_async(subject->client, &subject->item, 1, timeout_ms, &future));
    check(future != NULL);
    return future;
}

static void check_weights(const struct subject *subject, float value) {
    for (size_t i = 0; i < ELEMENTS; i++) {
        if (subject->weights[i] != value)
            check_fail("element %zu is %g, not %g", i, (double)subject->weights[i], (double)value);
    }
}

static void wait_poll_and_callback(void **state) {
    (void)state;
    struct subject *subject = subject_start();
    struct told early = {0}, late = {0};
    /* Waiting drives it. */
    canyon_future *future = begin(subject, PATIENCE_MS);
    check_ok(canyon_future_wait(future, UINT32_MAX));
    check(canyon_future_done(future) == 1);
    check_weights(subject, 1.0f);
    check_ok(canyon_future_wait(future, 0)); /* as often as one likes */
    /* A callback on what is done comes at once, on this thread. */
    check_ok(canyon_future_then(future, tell, &late));
    check(atomic_load(&late.calls) == 1 && atomic_load(&late.status) == CANYON_OK && late.text[0] == '\0');
    check_status(canyon_future_then(future, tell, &early), CANYON_CONFLICT);
    check(atomic_load(&early.calls) == 0);
    canyon_future_release(future);
    /* Nobody waits: the library's own threads finish it. */
    future = begin(subject, PATIENCE_MS);
    check_ok(canyon_future_then(future, tell, &early));
    await_call(&early);
    check(canyon_future_done(future) == 1);
    check_weights(subject, 2.0f);
    canyon_future_release(future);
    future = begin(subject, PATIENCE_MS);
    uint64_t end = now_ms() + PATIENCE_MS;
    while (!canyon_future_done(future) && now_ms() < end)
        sleep_ms(1);
    check(canyon_future_done(future) == 1);
    check_weights(subject, 3.0f);
    canyon_future_release(future);
    check(atomic_load(&early.calls) == 1 && atomic_load(&late.calls) == 1);
    subject_stop(subject);
}

/* Many under way at once, each with a callback, some of them waited for; all exactly once. */
static void many_at_once(void **state) {
    (void)state;
    struct subject *subject = subject_start();
    static struct told told[MANY];
    static canyon_future *futures[MANY];
    static struct canyon_item items[MANY];
    static float small[MANY][4];
    static const float ones[4] = {-1, -1, -1, -1};
    memset(told, 0, sizeof told);
    canyon_tensor *tensor = client_vector(subject->client, "small", 4, "sgd:lr=1");
    for (size_t i = 0; i < MANY; i++) {
        items[i] = (struct canyon_item){.tensor = tensor, .gradient = ones, .weights = small[i]};
        check_ok(canyon_step_async(subject->client, &items[i], 1, PATIENCE_MS, &futures[i]));
        check_ok(canyon_future_then(futures[i], tell, &told[i]));
        if (i % 5 == 1)
            check_ok(canyon_future_wait(futures[i], UINT32_MAX));
        if (i % 3 == 0)
            canyon_future_release(futures[i]); /* whether it is done or not */
    }
    for (size_t i = 0; i < MANY; i++) {
        await_call(&told[i]);
        check(atomic_load(&told[i].status) == CANYON_OK);
        check(small[i][0] == small[i][3] && small[i][0] == (float)items[i].version);
        if (i % 3 != 0)
            canyon_future_release(futures[i]);
    }
    check_ok(canyon_pull(tensor, small[0], PATIENCE_MS));
    check(small[0][0] == (float)MANY);
    for (size_t i = 0; i < MANY; i++)
        check(atomic_load(&told[i].calls) == 1);
    canyon_tensor_close(tensor);
    subject_stop(subject);
}

/* A callback may start the next step. */
struct chain {
    struct subject *subject;
    struct told told;
    unsigned left;
};

static void next_link(void *user, enum canyon_status status, const char *text) {
    struct chain *chain = user;
    canyon_future *future = NULL;
    if (status == CANYON_OK && chain->left > 0) {
        chain->left--;
        status = canyon_step_async(chain->subject->client, &chain->subject->item, 1, PATIENCE_MS, &future);
        if (status == CANYON_OK)
            status = canyon_future_then(future, next_link, chain);
        canyon_future_release(future);
        if (status == CANYON_OK)
            return;
        text = "the next step could not be started";
    }
    tell(&chain->told, status, text);
}

static void callbacks_may_start_steps(void **state) {
    (void)state;
    struct subject *subject = subject_start();
    struct chain chain = {.subject = subject, .left = 20};
    next_link(&chain, CANYON_OK, "");
    await_call(&chain.told);
    if (atomic_load(&chain.told.status) != CANYON_OK)
        check_fail("%s", chain.told.text);
    check_weights(subject, 20.0f);
    subject_stop(subject);
}

/* While a server stalls: waiting ends as asked, the step at its own deadline, and from then on its memory is left
 * alone. */
static void deadlines(void **state) {
    (void)state;
    struct subject *subject = subject_start();
    struct told told = {0};
    cluster_pause(subject->cluster, 1);
    uint64_t begun = now_ms();
    canyon_future *future = begin(subject, 800);
    check_ok(canyon_future_then(future, tell, &told));
    check_status(canyon_future_wait(future, 100), CANYON_BUSY);
    check(now_ms() - begun < 100 + SLACK_MS);
    enum canyon_status status = canyon_future_wait(future, UINT32_MAX);
    check(status == CANYON_OUTCOME_UNKNOWN);
    check_text(cluster_address(subject->cluster, 1));
    check(now_ms() - begun >= 790 && now_ms() - begun < 800 + SLACK_MS);
    await_call(&told);
    check(atomic_load(&told.status) == (int)CANYON_OUTCOME_UNKNOWN && told.text[0] != '\0');
    canyon_future_release(future);

    /* The buffers are ours again: late answers must not be written to them, nor the poisoned gradient be sent. */
    for (size_t i = 0; i < ELEMENTS; i++) {
        subject->weights[i] = 1234.0f;
        subject->gradient[i] = 5678.0f;
    }
    cluster_resume(subject->cluster, 1);
    static float now[ELEMENTS];
    check_ok(canyon_pull(subject->tensor, now, PATIENCE_MS));
    sleep_ms(200);
    check_weights(subject, 1234.0f);
    check_ok(canyon_pull(subject->tensor, now, PATIENCE_MS));
    for (size_t i = 0; i < ELEMENTS; i++)
        check(now[i] == 0.0f || now[i] == 1.0f);
    check(atomic_load(&told.calls) == 1);
    subject_stop(subject);
}

/* The same with buffers that are freed at once: AddressSanitizer sees a late write. */
static void buffers_freed_after_a_timeout(void **state) {
    (void)state;
    struct subject *subject = subject_start();
    cluster_pause(subject->cluster, 0);
    for (unsigned i = 0; i < 3; i++) {
        float *gradient = calloc(ELEMENTS, sizeof *gradient), *weights = calloc(ELEMENTS, sizeof *weights);
        check(gradient && weights);
        enum canyon_status status = canyon_push_pull(subject->tensor, gradient, weights, 150);
        check(status == CANYON_OUTCOME_UNKNOWN || status == CANYON_TIMEOUT);
        free(gradient);
        free(weights);
    }
    cluster_resume(subject->cluster, 0);
    check_ok(canyon_pull(subject->tensor, subject->weights, PATIENCE_MS));
    check_weights(subject, 0.0f); /* the gradients were zero, however many of them arrived */
    subject_stop(subject);
}

/* Stalls in the middle of blocks of 16 MiB, on their way out or in, at a later moment each time. The buffers are freed
 * at once; the connection, perhaps given up for a half-sent frame, works on; and no block is ever half of anything. */
static void stalled_in_the_middle(void **state) {
    (void)state;
    const size_t elements = 1u << 22;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.block = 1u << 22});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "t", elements, "sgd:lr=1");
    float *last = malloc(elements * sizeof *last);
    unsigned cut = 0, pushes = 0;
    for (unsigned attempt = 0; attempt < 16; attempt++) {
        float *gradient = malloc(elements * sizeof *gradient), *weights = malloc(elements * sizeof *weights);
        check(gradient && weights && last);
        for (size_t i = 0; i < elements; i++)
            gradient[i] = -1.0f;
        struct canyon_item item = {
            .tensor = tensor, .gradient = attempt % 2 ? gradient : NULL, .weights = attempt % 4 == 1 ? NULL : weights};
        canyon_future *future = NULL;
        check_ok(canyon_step_async(client, &item, 1, 150, &future));
        usleep(attempt * 1000);
        cluster_pause(cluster, 0);
        enum canyon_status status = canyon_future_wait(future, UINT32_MAX);
        check(status == CANYON_OK || status == CANYON_TIMEOUT || status == CANYON_OUTCOME_UNKNOWN);
        cut += status != CANYON_OK;
        pushes += attempt % 2;
        canyon_future_release(future);
        free(gradient);
        free(weights);
        cluster_resume(cluster, 0);
        check_ok(canyon_pull(tensor, last, PATIENCE_MS));
        check(last[0] >= 0.0f && last[0] <= (float)pushes);
        for (size_t i = 1; i < elements; i++)
            check(last[i] == last[0]);
    }
    check(cut > 0);
    free(last);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* Released under way: it goes on and ends. */
static void released_before_done(void **state) {
    (void)state;
    struct subject *subject = subject_start();
    struct told told = {0};
    cluster_pause(subject->cluster, 0);
    canyon_future *future = begin(subject, PATIENCE_MS);
    check_ok(canyon_future_then(future, tell, &told));
    canyon_future_release(future);
    cluster_resume(subject->cluster, 0);
    await_call(&told);
    check(atomic_load(&told.status) == (int)CANYON_OK);
    check_weights(subject, 1.0f);
    /* And one that nobody ever hears of again. */
    canyon_future_release(begin(subject, PATIENCE_MS));
    check_ok(canyon_pull(subject->tensor, subject->gradient, PATIENCE_MS));
    canyon_future_release(NULL);
    subject_stop(subject);
}

struct waiter {
    canyon_client *client;
    _Atomic int begun;
    enum canyon_status status;
};

static void *open_never(void *user) {
    struct waiter *waiter = user;
    canyon_tensor *tensor = NULL;
    atomic_store(&waiter->begun, 1);
    waiter->status = canyon_tensor_open(waiter->client, "never", PATIENCE_MS, &tensor);
    return NULL;
}

/* Closing ends what is under way, asynchronous and blocking, with CLOSED, before it returns. */
static void closed_under_way(void **state) {
    (void)state;
    struct subject *subject = subject_start();
    struct told told = {0};
    struct waiter waiter = {.client = subject->client};
    pthread_t thread;
    check(pthread_create(&thread, NULL, open_never, &waiter) == 0);
    while (!atomic_load(&waiter.begun))
        sleep_ms(1);
    sleep_ms(200);
    cluster_pause(subject->cluster, 1);
    canyon_future *future = begin(subject, PATIENCE_MS);
    canyon_future *released = begin(subject, PATIENCE_MS);
    check_ok(canyon_future_then(future, tell, &told));
    canyon_future_release(released);
    uint64_t begun = now_ms();
    canyon_close(subject->client);
    canyon_tensor_close(subject->tensor);
    check(now_ms() - begun < SLACK_MS);
    check(atomic_load(&told.calls) == 1);
    check(atomic_load(&told.status) == (int)CANYON_CLOSED);
    check(canyon_future_done(future) == 1);
    check_status(canyon_future_wait(future, UINT32_MAX), CANYON_CLOSED);
    canyon_future_release(future);
    check(pthread_join(thread, NULL) == 0);
    check_status(waiter.status, CANYON_CLOSED);
    cluster_resume(subject->cluster, 1);
    cluster_stop(subject->cluster);
    free(subject);
}

/* Steps that cannot begin give no future. */
static void nothing_begun(void **state) {
    (void)state;
    struct subject *subject = subject_start();
    canyon_future *future = NULL;
    struct canyon_item nothing = {.tensor = subject->tensor};
    check_status(canyon_step_async(subject->client, &nothing, 1, 1000, &future), CANYON_INVALID_ARGUMENT);
    check(future == NULL);
    check_status(canyon_step_async(subject->client, &subject->item, 1, 1000, NULL), CANYON_INVALID_ARGUMENT);
    check_status(canyon_future_wait(NULL, 0), CANYON_INVALID_ARGUMENT);
    /* A refused one is a future that fails. */
    subject->gradient[5] = NAN;
    future = begin(subject, PATIENCE_MS);
    check_status(canyon_future_wait(future, UINT32_MAX), CANYON_NOT_FINITE);
    check(subject->item.refused == 1 && subject->item.refused_block == 0);
    canyon_future_release(future);
    subject_stop(subject);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(wait_poll_and_callback),
        integration_test(many_at_once),
        integration_test(callbacks_may_start_steps),
        integration_test(deadlines),
        integration_test(buffers_freed_after_a_timeout),
        integration_test(stalled_in_the_middle),
        integration_test(released_before_done),
        integration_test(closed_under_way),
        integration_test(nothing_begun),
    };
    return cmocka_run_group_tests_name("futures", tests, NULL, NULL);
}
