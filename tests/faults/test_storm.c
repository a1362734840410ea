/* Several workers push while connections end, stall, lose what comes and hold it back, at random but by a seed. Each
 * push counts once, whether its call waited for the answer or gave up; afterwards all sums are exact.
 *
 * A call that is given up says OUTCOME_UNKNOWN when any frame of it was begun, and those that were not are not sent any
 * more. So what gives up has one frame: a small push to a server of one thread.
 *
 * How many pushes there are is bounded, not how long they take: CANYON_PUSHES says how many each worker makes. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/faults/routes.h"
#include "tests/faults/strike.h"
#include "tests/faults/subject.h"
#include "tests/unit/common/seed.h"

#define WORKERS         3u
#define PUSHES          400u
#define PUSHES_A_STRIKE 20u   /* of each worker, at most */
#define VECTOR          3000u /* elements: three blocks */
#define SMALL           100u
#define ROWS            200u

struct worker {
    canyon_client *client;
    struct strikes *strikes;
    struct victim victim;
    struct subject subjects[SUBJECT_KINDS];
    uint64_t random;
    unsigned pushes;
    bool gives_up; /* now and then, at a deadline of milliseconds */
    double sums[SUBJECT_KINDS];
    unsigned given_up, withdrawn;
    _Atomic bool over;
};

static void push_one(struct worker *worker) {
    const enum subject_kind kind = (enum subject_kind)seed_below(&worker->random, SUBJECT_KINDS);
    const float value = 1.0f + (float)seed_below(&worker->random, 5);
    const bool pulls = seed_below(&worker->random, 2) != 0;
    const bool brief = seed_below(&worker->random, 3) == 0 && worker->gives_up && kind != SUBJECT_VECTOR;
    enum canyon_status status = subject_push(&worker->subjects[kind], value, pulls,
                                             brief ? 1 + (uint32_t)seed_below(&worker->random, 20) : 3 * PATIENCE_MS);
    if (status == CANYON_OK || (brief && status == CANYON_OUTCOME_UNKNOWN))
        worker->sums[kind] += (double)value;
    else if (!brief || (status != CANYON_TIMEOUT && status != CANYON_UNAVAILABLE))
        check_fail("%s: %s, %s", subject_name(kind), canyon_status_name(status), canyon_error_text());
    atomic_fetch_add(&worker->victim.answered, status == CANYON_OK);
    worker->given_up += status == CANYON_OUTCOME_UNKNOWN;
    worker->withdrawn += status == CANYON_TIMEOUT || status == CANYON_UNAVAILABLE;
}

static void *work(void *user) {
    struct worker *worker = user;
    for (unsigned i = 0; i < worker->pushes; i++) {
        victim_await(&worker->victim, worker->strikes, i / PUSHES_A_STRIKE);
        push_one(worker);
    }
    atomic_store(&worker->victim.away, true);
    atomic_store(&worker->over, true);
    return NULL;
}

static bool all_over(const struct worker workers[WORKERS]) {
    bool over = true;
    for (unsigned w = 0; w < WORKERS; w++)
        over = over && atomic_load(&workers[w].over);
    return over;
}

/* ---- The test ---------------------------------------------------------------------------------------------------- */

static void open_all(struct worker *worker, const struct cluster *cluster, struct strikes *strikes, unsigned pushes,
                     bool gives_up) {
    static const uint32_t sizes[SUBJECT_KINDS] = {VECTOR, SMALL, ROWS};
    *worker = (struct worker){.client = victim_connect(cluster),
                              .strikes = strikes,
                              .random = seed_next(&strikes->random),
                              .pushes = pushes,
                              .gives_up = gives_up};
    strikes_victim(strikes, &worker->victim);
    for (int kind = 0; kind < SUBJECT_KINDS; kind++)
        subject_open(&worker->subjects[kind], worker->client, (enum subject_kind)kind, sizes[kind]);
}

static void close_all(struct worker *worker) {
    for (int kind = 0; kind < SUBJECT_KINDS; kind++)
        subject_close(&worker->subjects[kind]);
    canyon_close(worker->client);
}

static void storm(bool plaintext, unsigned threads_of_server) {
    static struct worker workers[WORKERS];
    struct routes routes;
    pthread_t threads[WORKERS];
    struct canyon_client_counters total = {0};
    double sums[SUBJECT_KINDS] = {0};
    unsigned given_up = 0, withdrawn = 0;
    const char *given = getenv("CANYON_PUSHES");
    const unsigned pushes = given ? (unsigned)strtoul(given, NULL, 10) : PUSHES;
    struct strikes strikes;
    strikes_init(&strikes, seed_begin("storm"));
    routes_start(&routes, &(struct cluster_options){.plaintext = plaintext, .threads = threads_of_server}, NULL);
    for (unsigned w = 0; w < WORKERS; w++)
        open_all(&workers[w], routes.cluster, &strikes, pushes, threads_of_server == 1);
    for (unsigned w = 0; w < WORKERS; w++)
        check(pthread_create(&threads[w], NULL, work, &workers[w]) == 0);
    while (!all_over(workers))
        strike(&strikes, routes.proxies[0]);
    proxy_clear(routes.proxies[0]);
    for (unsigned w = 0; w < WORKERS; w++)
        check(pthread_join(threads[w], NULL) == 0);
    strike_over(routes.proxies[0]);
    for (unsigned w = 0; w < WORKERS; w++) {
        for (int kind = 0; kind < SUBJECT_KINDS; kind++) {
            subject_pull(&workers[w].subjects[kind]); /* behind all that this worker gave up */
            sums[kind] += workers[w].sums[kind];
        }
    }
    for (unsigned w = 0; w < WORKERS; w++) {
        struct canyon_client_counters counters;
        for (int kind = 0; kind < SUBJECT_KINDS; kind++) {
            subject_pull(&workers[w].subjects[kind]);
            subject_expect(&workers[w].subjects[kind], sums[kind], "after the storm");
        }
        check_ok(canyon_client_counters(workers[w].client, &counters));
        total.reconnects += counters.reconnects;
        total.resent += counters.resent;
        total.duplicates += counters.duplicates;
        given_up += workers[w].given_up;
        withdrawn += workers[w].withdrawn;
        close_all(&workers[w]);
    }
    const unsigned long long count = atomic_load(&strikes.count);
    print_message(
        "%u pushes, %llu faults: %u given up, %u not sent; %llu reconnects, %llu sent again, %llu duplicates\n",
        WORKERS * pushes, count, given_up, withdrawn, (unsigned long long)total.reconnects,
        (unsigned long long)total.resent, (unsigned long long)total.duplicates);
    check(count >= (pushes - 1) / PUSHES_A_STRIKE && total.reconnects > 0);
    routes_stop(&routes);
}

static void encrypted_and_given_up(void **state) {
    (void)state;
    storm(false, 1);
}

static void plaintext_and_given_up(void **state) {
    (void)state;
    storm(true, 1);
}

static void encrypted_to_two_threads(void **state) {
    (void)state;
    storm(false, 2);
}

static void plaintext_to_two_threads(void **state) {
    (void)state;
    storm(true, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        routes_test(encrypted_and_given_up),
        routes_test(plaintext_and_given_up),
        routes_test(encrypted_to_two_threads),
        routes_test(plaintext_to_two_threads),
    };
    return cmocka_run_group_tests_name("storm", tests, NULL, NULL);
}
