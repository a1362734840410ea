/* Workers that are killed, stopped and continued in the middle of a job that counts clocks, and servers that stand
 * still: who lives is waited for, who does not is waited for as long as its lease, and what counts is what
 * proto/PROTOCOL.md says ("Clocks and modes").
 *
 * Leases are short. A worker is a puppet: a process that makes one call at a time. */
#include <stdio.h>
#include <string.h>

#include "tests/faults/puppet.h"
#include "tests/faults/routes.h"
#include "tests/unit/common/seed.h"

#define LEASE_MS 900u
#define BLOCK    16384u /* elements: so large that each has a frame of its own */
#define SMALL    100u
#define ROWS     120u
#define TROUPE   4u

static const uint32_t sizes[SUBJECT_KINDS] = {3 * BLOCK, SMALL, ROWS};

struct stage {
    struct routes routes;
    bool proxied;
    struct puppet *puppets[TROUPE];
    int connections[TROUPE][2]; /* of the proxy: the first of each, and the one behind its last */
    double sums[SUBJECT_KINDS];
};

/* ---- What puppets do ----------------------------------------------------------------------------------------------
 */

static const struct puppet_answer *must(struct puppet *puppet, struct puppet_order order) {
    const struct puppet_answer *answer = puppet_do(puppet, order);
    if (answer->status != CANYON_OK)
        check_fail("a call that must do well: %s, %s", canyon_status_name(answer->status), answer->text);
    return answer;
}

static uint64_t clock_of(struct puppet *puppet) {
    return must(puppet, (struct puppet_order){.call = PUPPET_CLOCK})->clock;
}

/* Of every kind, and what is answered counts. */
static void push_each(struct stage *stage, struct puppet *puppet, float value) {
    for (int kind = 0; kind < SUBJECT_KINDS; kind++) {
        (void)must(puppet, (struct puppet_order){.call = PUPPET_PUSH, .kind = (enum subject_kind)kind, .value = value});
        stage->sums[kind] += (double)value;
    }
}

static uint32_t elements_of(enum subject_kind kind) {
    return kind == SUBJECT_ROWS ? ROWS * SUBJECT_DIM : kind == SUBJECT_STEP ? SUBJECT_TENSORS * SMALL : sizes[kind];
}

static void expect_each(struct stage *stage, struct puppet *puppet, const char *what) {
    for (int kind = 0; kind < SUBJECT_KINDS; kind++) {
        const struct puppet_answer *answer =
            must(puppet, (struct puppet_order){.call = PUPPET_PULL, .kind = (enum subject_kind)kind});
        for (uint32_t i = 0; i < elements_of((enum subject_kind)kind); i++)
            if ((double)answer->weights[i] != -stage->sums[kind])
                check_fail("%s, %s: element %u says %g, not %g", what, subject_name((enum subject_kind)kind), i,
                           -(double)answer->weights[i], stage->sums[kind]);
    }
}

/* ---- The stage ----------------------------------------------------------------------------------------------------
 */

static void stage_open(struct stage *stage, const char *const names[TROUPE]) {
    *stage = (struct stage){0};
    for (unsigned i = 0; i < TROUPE && names[i]; i++)
        stage->puppets[i] = puppet_start(names[i], false, sizes);
}

static void stage_begin(struct stage *stage, const char *mode, bool proxied) {
    const struct cluster_options options = {.threads = 2, .block = BLOCK, .lease_ms = LEASE_MS};
    stage->proxied = proxied;
    if (proxied)
        routes_start(&stage->routes, &options, NULL);
    else
        stage->routes = (struct routes){.cluster = cluster_start(&options)};
    canyon_client *client = client_connect(cluster_servers(stage->routes.cluster));
    check_ok(canyon_consistency_set(client, mode, 1, PATIENCE_MS));
    canyon_close(client);
}

static void stage_end(struct stage *stage) {
    for (unsigned i = 0; i < TROUPE; i++)
        if (stage->puppets[i])
            puppet_stop(stage->puppets[i]);
    routes_stop(&stage->routes);
}

static void enter(struct stage *stage, unsigned number, uint64_t clock) {
    struct puppet *puppet = stage->puppets[number];
    puppet_aim(puppet, cluster_servers(stage->routes.cluster));
    stage->connections[number][0] = stage->proxied ? (int)proxy_count(stage->routes.proxies[0]) : 0;
    (void)must(puppet, (struct puppet_order){.call = PUPPET_CONNECT});
    stage->connections[number][1] = stage->proxied ? (int)proxy_count(stage->routes.proxies[0]) : 0;
    const uint64_t begins = clock_of(stage->puppets[number]);
    if (begins != clock)
        check_fail("puppet %u begins at clock %llu, not %llu", number, (unsigned long long)begins,
                   (unsigned long long)clock);
}

/* On what a puppet sends. */
static void fault(struct stage *stage, unsigned number, const char *text) {
    for (int connection = stage->connections[number][0]; connection < stage->connections[number][1]; connection++)
        routes_fault(&stage->routes, connection, PROXY_UP, text);
}

static void lose(struct stage *stage, unsigned number) {
    puppet_kill(stage->puppets[number]);
    stage->puppets[number] = NULL;
}

/* Waits as the mode has it, on all threads: so that what is pushed next is for a clock that is open. */
static void look(struct puppet *puppet) {
    for (int kind = 0; kind < SUBJECT_KINDS; kind++)
        (void)must(puppet, (struct puppet_order){.call = PUPPET_PULL, .kind = (enum subject_kind)kind});
}

/* One step of all that are there, in turns: they push, go on to the next clock, and look. */
static void step(struct stage *stage, uint64_t clock) {
    for (unsigned i = 0; i < TROUPE; i++)
        if (stage->puppets[i])
            push_each(stage, stage->puppets[i], (float)(1 + i));
    for (unsigned i = 0; i < TROUPE; i++)
        if (stage->puppets[i])
            check(clock_of(stage->puppets[i]) == clock + 1);
    for (unsigned i = 0; i < TROUPE; i++)
        if (stage->puppets[i])
            look(stage->puppets[i]);
}

static unsigned live_workers(const struct stage *stage) {
    canyon_client *client = client_connect(cluster_servers(stage->routes.cluster));
    struct canyon_consistency mode;
    check_ok(canyon_consistency_get(client, PATIENCE_MS, &mode));
    canyon_close(client);
    return mode.workers;
}

static void await_live(const struct stage *stage, unsigned count) {
    for (uint64_t end = now_ms() + PATIENCE_MS; live_workers(stage) != count; sleep_ms(10))
        check(now_ms() < end);
}

/* A pull that waits for `name`: says so at a deadline that is before the end of its lease, and goes through behind it.
 */
static void waits_for(struct puppet *puppet, const char *name, uint64_t since, uint64_t clock) {
    char who[64], where[64];
    const struct puppet_answer *answer =
        puppet_do(puppet, (struct puppet_order){.call = PUPPET_PULL, .timeout_ms = 100});
    snprintf(who, sizeof who, "'%s'", name);
    snprintf(where, sizeof where, "at clock %llu;", (unsigned long long)clock);
    if (now_ms() - since >= LEASE_MS / 2)
        print_message("the machine is so slow that the lease may be over: who is waited for was not looked at\n");
    else if (answer->status != CANYON_TIMEOUT || !strstr(answer->text, who) || !strstr(answer->text, where))
        check_fail("%s, \"%s\" instead of TIMEOUT that names %s %s", canyon_status_name(answer->status), answer->text,
                   who, where);
    look(puppet);
    const uint64_t took = now_ms() - since;
    if (took < LEASE_MS / 2 || took > LEASE_MS + SLACK_MS)
        check_fail("%s was waited for %llu ms, its lease is %u", name, (unsigned long long)took, LEASE_MS);
}

/* ---- Killed --------------------------------------------------------------------------------------------------------
 */

/* In the middle of a push, at a byte that a seed chooses. Every block of it has all or nothing; how much, the survivor
 * tells. */
static void kill_in_a_push(struct stage *stage, unsigned doomed, uint64_t *random) {
    char faults[64];
    const uint64_t offset = seed_below(random, (uint64_t)sizes[SUBJECT_VECTOR] * sizeof(float) / 2);
    snprintf(faults, sizeof faults, "stall=%llu", (unsigned long long)offset);
    fault(stage, doomed, faults);
    puppet_begin(stage->puppets[doomed], (struct puppet_order){.call = PUPPET_PUSH, .value = 100});
    sleep_ms(50);
    lose(stage, doomed);
}

/* The vector has, in each block, what is known, or that and 100; from now on that is what is known of it. */
static void take_pieces(struct puppet *puppet, const double known, double more[3]) {
    const struct puppet_answer *answer = must(puppet, (struct puppet_order){.call = PUPPET_PULL});
    for (uint32_t i = 0; i < sizes[SUBJECT_VECTOR]; i++) {
        const double extra = -(double)answer->weights[i] - known;
        if ((extra != 0 && extra != 100) || (i % BLOCK > 0 && extra != more[i / BLOCK]))
            check_fail("element %u has %g beside %g", i, extra, known);
        more[i / BLOCK] = extra;
    }
}

static void expect_vector(struct puppet *puppet, double known, const double more[3]) {
    double again[3] = {0};
    take_pieces(puppet, known, again);
    check(memcmp(again, more, sizeof again) == 0);
}

/* A worker dies in a push of clock 2, of which it had pushed whole before. The others go on when its lease ends; later
 * it comes back as a new session, at the clock of the others. */
static void killed_in_a_push(const char *mode) {
    struct stage stage;
    uint64_t random = seed_begin(mode);
    double more[3];
    stage_open(&stage, (const char *const[TROUPE]){"heir", "widow", "doomed", "doomed"});
    stage_begin(&stage, mode, true);
    struct puppet *back = stage.puppets[3];
    stage.puppets[3] = NULL;
    for (unsigned i = 0; i < 3; i++)
        enter(&stage, i, 1);
    step(&stage, 1);
    push_each(&stage, stage.puppets[2], 50);
    const uint64_t since = now_ms();
    kill_in_a_push(&stage, 2, &random);
    for (unsigned i = 0; i < 2; i++) {
        push_each(&stage, stage.puppets[i], 5);
        check(clock_of(stage.puppets[i]) == 3);
    }
    waits_for(stage.puppets[0], "doomed", since, 2);
    take_pieces(stage.puppets[1], stage.sums[SUBJECT_VECTOR], more);
    print_message("%s: of the push it was killed in %g, %g and %g came of each block\n", mode, more[0], more[1],
                  more[2]);
    stage.puppets[3] = back;
    enter(&stage, 3, 3);
    step(&stage, 3);
    step(&stage, 4);
    expect_vector(stage.puppets[3], stage.sums[SUBJECT_VECTOR], more);
    stage_end(&stage);
}

static void killed_in_a_push_of_a_synchronous_clock(void **state) {
    (void)state;
    killed_in_a_push("sync:sum");
}

static void killed_in_a_push_of_a_bounded_clock(void **state) {
    (void)state;
    killed_in_a_push("ssp:0");
}

/* Without a proxy. It comes back, under the rank it had, while the clock that it contributed to is still open: it
 * begins at the next one, so that two never count as one, and what it left counts. */
static void back_while_its_clock_is_open(void **state) {
    (void)state;
    struct stage stage;
    stage_open(&stage, (const char *const[TROUPE]){"doomed", "doomed", "heir", NULL});
    stage_begin(&stage, "sync:sum", false);
    struct puppet *back = stage.puppets[1];
    stage.puppets[1] = NULL;
    enter(&stage, 0, 1);
    enter(&stage, 2, 1);
    step(&stage, 1);
    push_each(&stage, stage.puppets[0], 70);
    const uint64_t since = now_ms();
    lose(&stage, 0);
    /* A connection that ends is not the end of a worker. */
    check(live_workers(&stage) == 2 || now_ms() - since >= LEASE_MS / 2);
    await_live(&stage, 1);
    check(now_ms() - since >= LEASE_MS / 2);
    stage.puppets[1] = back;
    enter(&stage, 1, 3);
    push_each(&stage, stage.puppets[2], 1);
    check(clock_of(stage.puppets[2]) == 3);
    expect_each(&stage, stage.puppets[1], "what a dead worker left");
    step(&stage, 3);
    expect_each(&stage, stage.puppets[2], "and what it pushed when it was back");
    stage_end(&stage);
}

/* ---- The server stands still ---------------------------------------------------------------------------------------
 */

/* Two jobs, so that both stand still in the same time. */
static const char *const modes[] = {"sync:sum", "ssp:0"};

/* For longer than leases, with signs of life of all workers unread: nobody is declared dead when it goes on. */
static void a_server_that_stands_still_forgets_nobody(void **state) {
    (void)state;
    static const uint32_t pauses[] = {LEASE_MS + 400, LEASE_MS + 1600};
    struct stage stages[2];
    for (unsigned s = 0; s < 2; s++)
        stage_open(&stages[s], (const char *const[TROUPE]){"one", "two", NULL, NULL});
    for (unsigned s = 0; s < 2; s++) {
        stage_begin(&stages[s], modes[s], false);
        enter(&stages[s], 0, 1);
        enter(&stages[s], 1, 1);
        step(&stages[s], 1);
    }
    uint64_t clock = 2;
    for (unsigned pause = 0; pause < sizeof pauses / sizeof pauses[0]; pause++, clock += 2) {
        for (unsigned s = 0; s < 2; s++) {
            /* The second is a clock behind, in the middle of a push, and waited for. */
            push_each(&stages[s], stages[s].puppets[0], 3);
            check(clock_of(stages[s].puppets[0]) == clock + 1);
            puppet_begin(stages[s].puppets[0], (struct puppet_order){.call = PUPPET_PULL});
            sleep_ms(20);
            cluster_pause(stages[s].routes.cluster, 0);
            puppet_begin(stages[s].puppets[1], (struct puppet_order){.call = PUPPET_PUSH, .value = 4});
            stages[s].sums[SUBJECT_VECTOR] += 4;
        }
        sleep_ms(pauses[pause]);
        for (unsigned s = 0; s < 2; s++)
            cluster_resume(stages[s].routes.cluster, 0);
        for (unsigned s = 0; s < 2; s++) {
            const struct puppet_answer *answer = puppet_end(stages[s].puppets[1]);
            if (answer->status != CANYON_OK)
                check_fail("%s after %u ms: %s, %s", modes[s], pauses[pause], canyon_status_name(answer->status),
                           answer->text);
            sleep_ms(100);
            check(!puppet_is_done(stages[s].puppets[0])); /* the other lives, and is waited for */
            check(live_workers(&stages[s]) == 2);
            check(clock_of(stages[s].puppets[1]) == clock + 1);
            check(puppet_end(stages[s].puppets[0])->status == CANYON_OK);
            expect_each(&stages[s], stages[s].puppets[0], modes[s]);
            step(&stages[s], clock + 1);
        }
    }
    for (unsigned s = 0; s < 2; s++) {
        expect_each(&stages[s], stages[s].puppets[1], modes[s]);
        stage_end(&stages[s]);
    }
}

/* ---- A worker stands still ------------------------------------------------------------------------------------------
 */

static void expect_late(const struct puppet_answer *answer) {
    if (answer->status != CANYON_LATE || !strstr(answer->text, "clock 2 is closed"))
        check_fail("%s, \"%s\" instead of LATE", canyon_status_name(answer->status), answer->text);
}

/* At clock 2, and for longer than its lease, it stands still, or what it sends does, a push among it. The others wait
 * for it so long and go on; when it goes on itself, its gradient of the clock that is closed is LATE, and it counts
 * again from the next one on. */
static void late(bool network) {
    struct stage stage;
    stage_open(&stage, (const char *const[TROUPE]){"awake", "asleep", NULL, NULL});
    stage_begin(&stage, "sync:sum", true);
    enter(&stage, 0, 1);
    enter(&stage, 1, 1);
    step(&stage, 1);
    push_each(&stage, stage.puppets[0], 3);
    check(clock_of(stage.puppets[0]) == 3);
    const uint64_t since = now_ms();
    if (network) {
        fault(&stage, 1, "stall=0");
        puppet_begin(stage.puppets[1], (struct puppet_order){.call = PUPPET_PUSH, .value = 1000});
    } else {
        puppet_pause(stage.puppets[1]);
    }
    waits_for(stage.puppets[0], "asleep", since, 2);
    check(live_workers(&stage) == 1);
    push_each(&stage, stage.puppets[0], 3);
    check(clock_of(stage.puppets[0]) == 4);
    if (network) {
        check(!puppet_is_done(stage.puppets[1]));
        fault(&stage, 1, "");
        expect_late(puppet_end(stage.puppets[1]));
    } else {
        puppet_resume(stage.puppets[1]);
    }
    for (int kind = 0; kind < SUBJECT_KINDS; kind++)
        expect_late(
            puppet_do(stage.puppets[1],
                      (struct puppet_order){.call = PUPPET_PUSH, .kind = (enum subject_kind)kind, .value = 1000}));
    check(clock_of(stage.puppets[1]) == 4);
    expect_each(&stage, stage.puppets[1], "what was late does not count");
    step(&stage, 4);
    expect_each(&stage, stage.puppets[0], "after it came back");
    stage_end(&stage);
}

static void a_worker_that_stands_still_is_late(void **state) {
    (void)state;
    late(false);
}

static void a_worker_whose_network_stands_still_is_late(void **state) {
    (void)state;
    late(true);
}

/* Where nobody has passed its clock meanwhile, that is still open when it goes on, and it contributes to it. With
 * bounded staleness nothing is late. */
static void a_worker_that_stands_still_goes_on(void **state) {
    (void)state;
    struct stage stages[2];
    for (unsigned s = 0; s < 2; s++)
        stage_open(&stages[s], (const char *const[TROUPE]){"awake", "asleep", NULL, NULL});
    for (unsigned s = 0; s < 2; s++) {
        stage_begin(&stages[s], modes[s], false);
        enter(&stages[s], 0, 1);
        enter(&stages[s], 1, 1);
        step(&stages[s], 1);
        push_each(&stages[s], stages[s].puppets[0], 3);
        puppet_pause(stages[s].puppets[1]);
    }
    for (unsigned s = 0; s < 2; s++) {
        await_live(&stages[s], 1);
        puppet_resume(stages[s].puppets[1]);
        push_each(&stages[s], stages[s].puppets[1], 1000);
        await_live(&stages[s], 2);
        check(clock_of(stages[s].puppets[0]) == 3 && clock_of(stages[s].puppets[1]) == 3);
        expect_each(&stages[s], stages[s].puppets[0], modes[s]);
        step(&stages[s], 3);
        expect_each(&stages[s], stages[s].puppets[1], modes[s]);
        stage_end(&stages[s]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        routes_test(killed_in_a_push_of_a_synchronous_clock),
        routes_test(killed_in_a_push_of_a_bounded_clock),
        routes_test(back_while_its_clock_is_open),
        routes_test(a_server_that_stands_still_forgets_nobody),
        routes_test(a_worker_that_stands_still_is_late),
        routes_test(a_worker_whose_network_stands_still_is_late),
        routes_test(a_worker_that_stands_still_goes_on),
    };
    return cmocka_run_group_tests_name("leases", tests, NULL, NULL);
}
