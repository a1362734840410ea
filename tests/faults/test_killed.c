/* A worker's process that is killed in the middle of a push, and comes back with a new session: of the push that was
 * under way each block, and each shard's rows, has all or nothing, never twice; what is pushed later is exact.
 *
 * The connection stands still at a byte that a seed chooses, so that the push is under way when SIGKILL comes. What of
 * it was on the way arrives then, or never does. */
#include <stdio.h>

#include "tests/faults/routes.h"
#include "tests/faults/subject.h"
#include "tests/integration/process.h"
#include "tests/unit/common/seed.h"

#define BLOCK  16384u /* elements: so large that each has a frame of its own */
#define SMALL  1024u  /* of each tensor of a step */
#define ROWS   1000u
#define ROUNDS 8u
#define LATER  3u /* pushes of the one that came back */
#define AT     2u /* pushes before the one that is interrupted */

/* Shared by the test and its workers. These are forked before the test has threads, its proxy's among them, for who is
 * forked from a process with threads may find a lock of malloc's that nobody will ever open. Each waits for its turn.
 */
struct plan {
    _Atomic uint32_t turn;
    char servers[CLUSTER_ADDRESS_BYTES];
    bool plaintext;
    enum subject_kind kind;
    struct gate ready, go;
    _Atomic uint32_t done;     /* pushes that returned */
    double sums[SUBJECT_MOST]; /* of every element, as the last worker left it */
    double least, most;        /* by which the elements moved through the one that was killed */
};

static const uint32_t sizes[SUBJECT_KINDS] = {3 * BLOCK, SMALL, ROWS};
/* About how long a push is. */
static const uint32_t bytes[SUBJECT_KINDS] = {3 * BLOCK * sizeof(float), SUBJECT_TENSORS *SMALL * sizeof(float),
                                              ROWS *(8 + SUBJECT_DIM * sizeof(float))};

struct worker {
    struct plan *plan;
    uint32_t turn;
    pid_t process;
};

static struct worker workers[2 * ROUNDS];

static canyon_client *connect_in_turn(const struct worker *worker) {
    struct canyon_options options;
    canyon_client *client = NULL;
    for (uint64_t end = now_ms() + 4 * PATIENCE_MS; atomic_load(&worker->plan->turn) != worker->turn; sleep_ms(2))
        check(now_ms() < end);
    canyon_options_init(&options);
    options.servers = worker->plan->servers;
    options.insecure_plaintext = worker->plan->plaintext;
    options.connect_ms = PATIENCE_MS;
    check_ok(canyon_connect(&options, &client));
    return client;
}

static int push_until_killed(void *user) {
    struct plan *plan = ((struct worker *)user)->plan;
    static struct subject subject;
    canyon_client *client = connect_in_turn(user);
    subject_open(&subject, client, plan->kind, sizes[plan->kind]);
    for (uint32_t i = 0; i < AT; i++, atomic_fetch_add(&plan->done, 1))
        check_ok(subject_push(&subject, 1, false, PATIENCE_MS));
    gate_arrive(&plan->ready);
    gate_wait(&plan->go, 1);
    check_ok(subject_push(&subject, 1, false, 3 * PATIENCE_MS));
    atomic_fetch_add(&plan->done, 1);
    sleep_ms(3 * PATIENCE_MS); /* for the kill */
    return 3;
}

/* Until the server has seen the end of every connection but this client's: then nothing more comes. */
static void await_alone(canyon_client *client) {
    uint64_t connections = 0;
    for (uint64_t end = now_ms() + PATIENCE_MS; connections != 1 && now_ms() < end; sleep_ms(2)) {
        struct canyon_server_statistics *all = NULL;
        size_t count = 0;
        check_ok(canyon_statistics(client, PATIENCE_MS, &all, &count));
        connections = all[0].connections;
        canyon_free(all);
    }
    check(connections == 1);
}

/* Looks at what the killed one left, and pushes on. */
static int come_back(void *user) {
    struct plan *plan = ((struct worker *)user)->plan;
    static struct subject subject;
    canyon_client *client = connect_in_turn(user);
    subject_open(&subject, client, plan->kind, sizes[plan->kind]);
    await_alone(client);
    subject_pull(&subject);
    const uint32_t done = atomic_load(&plan->done);
    /* A table has one shard here, and so one run: all of its rows or none. */
    const uint32_t piece = plan->kind == SUBJECT_ROWS ? ROWS * SUBJECT_DIM : BLOCK;
    plan->least = (double)done + 1;
    plan->most = (double)done;
    for (uint32_t i = 0; i < subject.units * subject.unit; i++) {
        const double moved = -(double)subject.weights[i] - plan->sums[i];
        const uint32_t first = i - (i % subject.unit) % piece;
        if (moved != (double)done && moved != (double)done + 1)
            check_fail("%s: element %u moved by %g; %u pushes had returned", subject_name(plan->kind), i, moved, done);
        if (subject.weights[i] != subject.weights[plan->kind == SUBJECT_ROWS ? 0 : first])
            check_fail("%s: element %u is not as the first of its piece, %u", subject_name(plan->kind), i, first);
        plan->least = moved < plan->least ? moved : plan->least;
        plan->most = moved > plan->most ? moved : plan->most;
        plan->sums[i] += moved + LATER;
    }
    for (uint32_t i = 0; i < LATER; i++)
        check_ok(subject_push(&subject, 1, true, PATIENCE_MS));
    for (uint32_t i = 0; i < subject.units * subject.unit; i++)
        check(-(double)subject.weights[i] == plan->sums[i]);
    subject_close(&subject);
    canyon_close(client);
    return 0;
}

/* One worker killed after `offset` bytes of its push have passed, and the next. */
static void one_round(struct routes *routes, const struct worker pair[2], uint64_t offset, bool arrives) {
    struct plan *plan = pair[0].plan;
    char faults[64];
    struct proxy_view view = {0};
    plan->ready.arrived = plan->go.arrived = 0;
    atomic_store(&plan->done, 0);
    atomic_store(&plan->turn, pair[0].turn);
    gate_wait(&plan->ready, 1);
    const int connection = (int)proxy_count(routes->proxies[0]) - 1;
    check(proxy_look(routes->proxies[0], connection, &view) && view.live);
    const uint64_t passed = view.passed[PROXY_UP];
    snprintf(faults, sizeof faults, "stall=%llu", (unsigned long long)offset);
    routes_fault(routes, connection, PROXY_UP, faults);
    gate_arrive(&plan->go);
    /* Either that much has passed, or the push was shorter, and returned. */
    uint64_t end = now_ms() + PATIENCE_MS;
    while (view.passed[PROXY_UP] < passed + offset && atomic_load(&plan->done) == AT && now_ms() < end) {
        sleep_ms(1);
        check(proxy_look(routes->proxies[0], connection, &view));
    }
    check(view.passed[PROXY_UP] >= passed + offset || atomic_load(&plan->done) > AT);
    process_kill(pair[0].process);
    if (!arrives) /* what had not passed is lost with the connection */
        proxy_end(routes->proxies[0], connection, PROXY_SERVER, PROXY_RST);
    proxy_clear(routes->proxies[0]);
    atomic_store(&plan->turn, pair[1].turn);
    check(process_wait(pair[1].process, 3 * PATIENCE_MS) == 0);
}

static void killed_in_a_push(enum subject_kind kind, bool plaintext) {
    struct routes routes;
    uint64_t random = seed_begin("killed"), none = 0, some = 0;
    struct plan *plan = shared_alloc(sizeof *plan);
    plan->kind = kind;
    plan->plaintext = plaintext;
    for (uint32_t w = 0; w < 2 * ROUNDS; w++) {
        workers[w] = (struct worker){.plan = plan, .turn = w + 1};
        workers[w].process = process_start(w % 2 == 0 ? push_until_killed : come_back, &workers[w]);
    }
    routes_start(
        &routes,
        &(struct cluster_options){.plaintext = plaintext, .block = BLOCK, .shards = kind == SUBJECT_ROWS ? 1 : 16},
        NULL);
    snprintf(plan->servers, sizeof plan->servers, "%s", cluster_servers(routes.cluster));
    for (unsigned round = 0; round < ROUNDS; round++) {
        one_round(&routes, &workers[2 * (size_t)round], seed_below(&random, bytes[kind] + bytes[kind] / 16),
                  round % 2 != 0);
        none += plan->most == AT;
        some += plan->least < plan->most;
    }
    print_message("%s: of %u workers killed %llu left nothing of a push, %llu some of its pieces, %llu all\n",
                  subject_name(kind), ROUNDS, (unsigned long long)none, (unsigned long long)some,
                  (unsigned long long)(ROUNDS - none - some));
    routes_stop(&routes);
    shared_free(plan, sizeof *plan);
}

static void tensor_encrypted(void **state) {
    (void)state;
    killed_in_a_push(SUBJECT_VECTOR, false);
}

static void tensor_plaintext(void **state) {
    (void)state;
    killed_in_a_push(SUBJECT_VECTOR, true);
}

static void step_encrypted(void **state) {
    (void)state;
    killed_in_a_push(SUBJECT_STEP, false);
}

static void rows_encrypted(void **state) {
    (void)state;
    killed_in_a_push(SUBJECT_ROWS, false);
}

static void rows_plaintext(void **state) {
    (void)state;
    killed_in_a_push(SUBJECT_ROWS, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        routes_test(tensor_encrypted), routes_test(tensor_plaintext), routes_test(step_encrypted),
        routes_test(rows_encrypted),   routes_test(rows_plaintext),
    };
    return cmocka_run_group_tests_name("killed", tests, NULL, NULL);
}
