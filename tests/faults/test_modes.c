/* Workers that count clocks, through a network that strikes at random but by a seed. In a synchronous job a pull at
 * clock c says exactly what all workers pushed at the clocks before, after every fault; where the mode changes while
 * they train, no push is lost or counts twice at the seams.
 *
 * What each pushes at a clock follows from who, when and what, so each sum is known without asking. Leases are long
 * here: nobody is late. A call that is given up says OUTCOME_UNKNOWN, and counts at the clock it was made at, for it
 * goes before anything that its client sends later; it has one frame, as in test_storm.c.
 *
 * CANYON_CLOCKS says how many clocks each mode lasts. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/faults/routes.h"
#include "tests/faults/strike.h"
#include "tests/faults/subject.h"
#include "tests/unit/common/seed.h"

#define WORKERS  3u
#define CLOCKS   12u
#define MOST     2000u /* clocks altogether */
#define VECTOR   3000u /* elements: three blocks */
#define SMALL    100u
#define LEASE_MS (3 * PATIENCE_MS) /* as long as any call: nobody is late */
#define ROWS     200u

static const uint32_t sizes[SUBJECT_KINDS] = {VECTOR, SMALL, ROWS};

/* A job: one mode, or several in turns, each from a clock on. */
struct course {
    struct routes routes;
    struct strikes strikes;
    unsigned servers;
    uint64_t sync, ssp;   /* the first clocks of these modes; 0: they are not had */
    uint64_t clocks;      /* of all modes */
    _Atomic uint64_t may; /* the last clock that is open to workers */
    /* What was pushed at a clock. Whoever reads it has been let through to a later one. */
    _Atomic uint64_t sums[MOST + 2][SUBJECT_KINDS];
};

struct worker {
    struct course *course;
    unsigned number;
    canyon_client *client;
    struct victim victim;
    struct subject subjects[SUBJECT_KINDS];
    uint64_t random;
    bool gives_up;
    unsigned given_up, withdrawn;
    _Atomic uint64_t clock;
    _Atomic bool over;
};

static struct course course;
static struct worker workers[WORKERS];

static double sum_before(uint64_t clock, enum subject_kind kind) {
    uint64_t sum = 0;
    for (uint64_t before = 1; before < clock; before++)
        sum += atomic_load(&course.sums[before][kind]);
    return (double)sum;
}

static bool is_sync(uint64_t clock) {
    return course.sync > 0 && clock >= course.sync && (course.ssp == 0 || clock < course.ssp);
}

/* ---- A worker ---------------------------------------------------------------------------------------------------- */

static void push_one(struct worker *worker, uint64_t clock, enum subject_kind kind) {
    const uint64_t value = 1 + (worker->number * 5 + clock * 3 + (uint64_t)kind) % 7;
    const bool pulls = seed_below(&worker->random, 2) != 0;
    const bool brief = seed_below(&worker->random, 3) == 0 && worker->gives_up && kind != SUBJECT_VECTOR;
    enum canyon_status status = subject_push(&worker->subjects[kind], (float)value, pulls,
                                             brief ? 1 + (uint32_t)seed_below(&worker->random, 20) : 3 * PATIENCE_MS);
    if (status == CANYON_OK || (brief && status == CANYON_OUTCOME_UNKNOWN))
        atomic_fetch_add(&course.sums[clock][kind], value);
    else if (!brief || (status != CANYON_TIMEOUT && status != CANYON_UNAVAILABLE))
        check_fail("worker %u, clock %llu, %s: %s, %s", worker->number, (unsigned long long)clock, subject_name(kind),
                   canyon_status_name(status), canyon_error_text());
    atomic_fetch_add(&worker->victim.answered, status == CANYON_OK);
    worker->given_up += status == CANYON_OUTCOME_UNKNOWN;
    worker->withdrawn += status == CANYON_TIMEOUT || status == CANYON_UNAVAILABLE;
}

/* The next one, but who is behind when others are at the first synchronous clock goes on there. */
static uint64_t next_clock(struct worker *worker, uint64_t expected) {
    uint64_t clock = 0;
    atomic_store(&worker->victim.away, true);
    for (uint64_t end = now_ms() + 3 * PATIENCE_MS; atomic_load(&course.may) < expected; sleep_ms(1))
        check(now_ms() < end);
    /* A strike for each clock. */
    victim_await(&worker->victim, &course.strikes, expected - 1);
    check_ok(canyon_clock(worker->client, &clock));
    if (clock != expected && (expected > course.sync || clock != course.sync))
        check_fail("worker %u is at clock %llu, not %llu", worker->number, (unsigned long long)clock,
                   (unsigned long long)expected);
    atomic_store(&worker->clock, clock);
    return clock;
}

static void look(struct worker *worker, uint64_t clock) {
    char what[96];
    snprintf(what, sizeof what, "worker %u at clock %llu", worker->number, (unsigned long long)clock);
    for (int kind = 0; kind < SUBJECT_KINDS; kind++) {
        subject_pull(&worker->subjects[kind]);
        atomic_fetch_add(&worker->victim.answered, 1);
        /* The first synchronous clock waits for nobody who is at one before, and what is pushed at the one behind the
         * last is applied at once. */
        if (is_sync(clock) && (clock == 1 || is_sync(clock - 1)) && is_sync(clock + 1))
            subject_expect(&worker->subjects[kind], sum_before(clock, (enum subject_kind)kind), what);
    }
}

static void *work(void *user) {
    struct worker *worker = user;
    for (uint64_t clock = 1; clock <= course.clocks; clock = next_clock(worker, clock + 1)) {
        look(worker, clock);
        for (int kind = 0; kind < SUBJECT_KINDS; kind++)
            push_one(worker, clock, (enum subject_kind)kind);
    }
    atomic_store(&worker->victim.away, true);
    atomic_store(&worker->over, true);
    return NULL;
}

static void open_all(struct worker *worker, unsigned number, bool gives_up) {
    *worker = (struct worker){
        .course = &course, .number = number, .random = seed_next(&course.strikes.random), .gives_up = gives_up};
    worker->client = victim_connect(course.routes.cluster);
    strikes_victim(&course.strikes, &worker->victim);
    for (int kind = 0; kind < SUBJECT_KINDS; kind++)
        subject_open(&worker->subjects[kind], worker->client, (enum subject_kind)kind, sizes[kind]);
}

static void close_all(struct worker *worker) {
    for (int kind = 0; kind < SUBJECT_KINDS; kind++)
        subject_close(&worker->subjects[kind]);
    canyon_close(worker->client);
}

/* ---- The modes --------------------------------------------------------------------------------------------------- */

static uint64_t furthest(bool lowest) {
    uint64_t clock = atomic_load(&workers[0].clock);
    for (unsigned w = 1; w < WORKERS; w++) {
        uint64_t other = atomic_load(&workers[w].clock);
        clock = (other < clock) == lowest ? other : clock;
    }
    return clock;
}

/* By a client that goes through the same network: what it could not tell all it tells again. */
static void set_mode(canyon_client *client, const char *mode, uint64_t from) {
    enum canyon_status status = CANYON_UNAVAILABLE;
    for (uint64_t end = now_ms() + 3 * PATIENCE_MS; status != CANYON_OK && now_ms() < end;) {
        status = canyon_consistency_set(client, mode, from, 500);
        if (status != CANYON_OK && status != CANYON_UNAVAILABLE && status != CANYON_TIMEOUT &&
            status != CANYON_OUTCOME_UNKNOWN)
            check_fail("%s from clock %llu on: %s, %s", mode, (unsigned long long)from, canyon_status_name(status),
                       canyon_error_text());
    }
    check(status == CANYON_OK);
}

/* While workers go on to the clock before; then the clocks up to `may` are theirs. */
static void turn(canyon_client *client, uint64_t after, const char *mode, uint64_t from, uint64_t may) {
    for (uint64_t end = now_ms() + 6 * PATIENCE_MS; furthest(true) < after;
         strike(&course.strikes, course.routes.proxies[0]))
        check(now_ms() < end);
    set_mode(client, mode, from);
    atomic_store(&course.may, may);
}

/* ---- The tests --------------------------------------------------------------------------------------------------- */

static uint64_t clocks_each(void) {
    const char *given = getenv("CANYON_CLOCKS");
    uint64_t clocks = given ? strtoull(given, NULL, 10) : CLOCKS;
    check(clocks >= 4 && 3 * clocks <= MOST);
    return clocks;
}

static bool all_over(void) {
    bool over = true;
    for (unsigned w = 0; w < WORKERS; w++)
        over = over && atomic_load(&workers[w].over);
    return over;
}

static void report_and_close(void) {
    struct canyon_client_counters total = {0};
    unsigned given_up = 0, withdrawn = 0;
    for (unsigned w = 0; w < WORKERS; w++) {
        struct canyon_client_counters counters;
        for (int kind = 0; kind < SUBJECT_KINDS; kind++) {
            subject_pull(&workers[w].subjects[kind]);
            subject_expect(&workers[w].subjects[kind], sum_before(course.clocks + 1, (enum subject_kind)kind),
                           "in the end");
        }
        check_ok(canyon_client_counters(workers[w].client, &counters));
        total.reconnects += counters.reconnects;
        total.resent += counters.resent;
        total.duplicates += counters.duplicates;
        given_up += workers[w].given_up;
        withdrawn += workers[w].withdrawn;
    }
    for (unsigned w = 0; w < WORKERS; w++)
        close_all(&workers[w]);
    const unsigned long long strikes = atomic_load(&course.strikes.count);
    print_message(
        "%llu clocks, %llu faults: %u given up, %u not sent; %llu reconnects, %llu sent again, %llu duplicates\n",
        (unsigned long long)course.clocks, strikes, given_up, withdrawn, (unsigned long long)total.reconnects,
        (unsigned long long)total.resent, (unsigned long long)total.duplicates);
    check(strikes + 1 >= course.clocks && total.reconnects > 0);
}

static void train(const struct cluster_options *options, bool changes) {
    pthread_t threads[WORKERS];
    const uint64_t each = clocks_each();
    course = (struct course){.servers = options->servers};
    strikes_init(&course.strikes, seed_begin("modes"));
    course.sync = changes ? each + 1 : 1;
    course.ssp = changes ? 2 * each + 1 : 0;
    course.clocks = changes ? 3 * each : 2 * each;
    atomic_store(&course.may, changes ? each - 1 : course.clocks + 1);
    routes_start(&course.routes, options, NULL);
    canyon_client *client = victim_connect(course.routes.cluster);
    if (!changes)
        set_mode(client, "sync:sum", 1);
    for (unsigned w = 0; w < WORKERS; w++)
        open_all(&workers[w], w, options->servers == 1 && options->threads == 1);
    for (unsigned w = 0; w < WORKERS; w++) /* all are there before the first goes on */
        check(next_clock(&workers[w], 1) == 1);
    for (unsigned w = 0; w < WORKERS; w++)
        check(pthread_create(&threads[w], NULL, work, &workers[w]) == 0);
    if (changes) {
        turn(client, each / 2, "sync:sum", course.sync, 2 * each - 1);
        turn(client, course.sync + 1, "ssp:1", course.ssp, course.clocks + 1);
    }
    for (unsigned server = 0; !all_over(); server = (server + 1) % options->servers)
        strike(&course.strikes, course.routes.proxies[server]);
    for (unsigned w = 0; w < WORKERS; w++)
        check(pthread_join(threads[w], NULL) == 0);
    for (unsigned server = 0; server < options->servers; server++)
        strike_over(course.routes.proxies[server]);
    canyon_close(client);
    report_and_close();
    routes_stop(&course.routes);
}

static void synchronous_and_given_up(void **state) {
    (void)state;
    train(&(struct cluster_options){.servers = 1, .threads = 1, .lease_ms = LEASE_MS}, false);
}

static void synchronous_on_two_servers_in_plaintext(void **state) {
    (void)state;
    train(&(struct cluster_options){.servers = 2, .threads = 2, .plaintext = true, .lease_ms = LEASE_MS}, false);
}

static void from_asynchronous_to_synchronous_to_bounded(void **state) {
    (void)state;
    train(&(struct cluster_options){.servers = 2, .threads = 2, .lease_ms = LEASE_MS}, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        routes_test(synchronous_and_given_up),
        routes_test(synchronous_on_two_servers_in_plaintext),
        routes_test(from_asynchronous_to_synchronous_to_bounded),
    };
    return cmocka_run_group_tests_name("modes", tests, NULL, NULL);
}
