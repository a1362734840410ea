/* Workers that meet: creating the same tensor, dying while creating, waiting for one another. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/harness.h"
#include "tests/integration/process.h"
#include "tests/integration/raw.h"

#define RACERS   8
#define ELEMENTS 5000

struct shared {
    struct gate ready, arrived, passed, done;
    _Atomic uint32_t before; /* workers that have come to the barrier */
    float seen[RACERS];
    uint32_t ranks[RACERS], counts[RACERS];
};

struct racer {
    const char *servers;
    unsigned index;
    struct shared *shared;
};

static void spec_of(struct canyon_tensor_spec *spec, const char *name, const float *values) {
    canyon_tensor_spec_init(spec);
    snprintf(spec->name, sizeof spec->name, "%s", name);
    spec->rank = 1;
    spec->dims[0] = ELEMENTS;
    spec->initializer = CANYON_VALUES;
    spec->values = values;
}

/* Creates the tensor with all values `value`; returns what it then holds, which must be the same everywhere in it. */
static float create_filled(canyon_client *client, const char *name, float value) {
    float values[ELEMENTS];
    for (size_t i = 0; i < ELEMENTS; i++)
        values[i] = value;
    struct canyon_tensor_spec spec;
    spec_of(&spec, name, values);
    canyon_tensor *tensor = NULL;
    check_ok(canyon_tensor_create(client, &spec, PATIENCE_MS, &tensor));
    check_ok(canyon_pull(tensor, values, PATIENCE_MS));
    for (size_t i = 1; i < ELEMENTS; i++)
        check(values[i] == values[0]);
    canyon_tensor_close(tensor);
    return values[0];
}

static void start_racers(const struct cluster *cluster, struct shared *shared, unsigned count, process_body body,
                         struct racer racers[RACERS], pid_t processes[RACERS]) {
    for (unsigned r = 0; r < count; r++) {
        racers[r] = (struct racer){.servers = cluster_servers(cluster), .index = r, .shared = shared};
        processes[r] = process_start(body, &racers[r]);
    }
}

/* ---- Creating -------------------------------------------------------------------------------------------------- */

static int race_to_create(void *user) {
    const struct racer *racer = user;
    canyon_client *client = client_connect(racer->servers);
    gate_arrive(&racer->shared->ready);
    gate_wait(&racer->shared->ready, RACERS);
    racer->shared->seen[racer->index] = create_filled(client, "raced", (float)(racer->index + 1));
    canyon_close(client);
    return 0;
}

static void exactly_one_initialises(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 3, .threads = 2});
    struct shared *shared = shared_alloc(sizeof *shared);
    struct racer racers[RACERS];
    pid_t processes[RACERS];
    start_racers(cluster, shared, RACERS, race_to_create, racers, processes);
    for (unsigned r = 0; r < RACERS; r++)
        check(process_wait(processes[r], 2 * PATIENCE_MS) == 0);
    check(shared->seen[0] >= 1 && shared->seen[0] <= RACERS);
    for (unsigned r = 1; r < RACERS; r++)
        check(shared->seen[r] == shared->seen[0]);
    shared_free(shared, sizeof *shared);
    cluster_stop(cluster);
}

/* Becomes the creator, defines the parts of one server thread, assigns one of its blocks, and goes no further. */
static int create_half(void *user) {
    const struct racer *racer = user;
    struct raw raw;
    struct error error;
    raw_open(&raw, racer->servers, 0, NULL);
    struct message_create create = {.spec = raw_spec("orphan", ELEMENTS, true), .wait_ms = PATIENCE_MS};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    uint64_t request = raw_send(&raw, FRAME_CREATE, bytes, message_pack_create(&create, bytes), NULL, 0);
    struct frame frame;
    raw_expect(&raw, &frame, FRAME_CREATED, request);
    struct message_created created;
    check(message_unpack_created(frame.message, frame.header.message_bytes, &created, &error) == CANYON_OK);
    check(created.creator);
    if (racer->index > 0) {
        request = raw_send(&raw, FRAME_DEFINE, bytes, message_pack_define(&created.tensor, bytes), NULL, 0);
        raw_expect(&raw, &frame, FRAME_DEFINED, request);
    }
    gate_arrive(&racer->shared->ready);
    pause();
    return 1;
}

static int create_after(void *user) {
    const struct racer *racer = user;
    canyon_client *client = client_connect(racer->servers);
    gate_arrive(&racer->shared->arrived);
    racer->shared->seen[racer->index] = create_filled(client, "orphan", (float)(racer->index + 1));
    gate_arrive(&racer->shared->done);
    canyon_close(client);
    return 0;
}

/* A creator is killed at two points of its work; of the workers that wait one takes over, and the others see its
 * values. */
static void a_waiter_takes_over(void **state) {
    (void)state;
    for (unsigned point = 0; point < 2; point++) {
        struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2});
        struct shared *shared = shared_alloc(sizeof *shared);
        struct racer first = {.servers = cluster_address(cluster, 0), .index = point, .shared = shared};
        pid_t creator = process_start(create_half, &first);
        gate_wait(&shared->ready, 1);
        struct racer racers[RACERS];
        pid_t processes[RACERS];
        start_racers(cluster, shared, 3, create_after, racers, processes);
        gate_wait(&shared->arrived, 3);
        sleep_ms(300);
        check(atomic_load(&shared->done.arrived) == 0); /* they wait as long as the creator lives */
        process_kill(creator);
        for (unsigned r = 0; r < 3; r++)
            check(process_wait(processes[r], 2 * PATIENCE_MS) == 0);
        check(shared->seen[0] >= 1 && shared->seen[0] <= 3);
        check(shared->seen[1] == shared->seen[0] && shared->seen[2] == shared->seen[0]);
        shared_free(shared, sizeof *shared);
        cluster_stop(cluster);
    }
}

static int create_until_killed(void *user) {
    const struct racer *racer = user;
    canyon_client *client = client_connect(racer->servers);
    gate_arrive(&racer->shared->ready);
    create_filled(client, "struck", 7.0f);
    gate_arrive(&racer->shared->done);
    pause();
    return 1;
}

/* A real creator is killed after a time that grows from try to try: whenever it is, the next one completes the tensor
 * or finds it complete, and never a mixture. */
static void killed_at_any_time(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 3, .threads = 1});
    for (uint32_t attempt = 0; attempt < 12; attempt++) {
        struct shared *shared = shared_alloc(sizeof *shared);
        struct racer racer = {.servers = cluster_servers(cluster), .shared = shared};
        pid_t creator = process_start(create_until_killed, &racer);
        gate_wait(&shared->ready, 1);
        usleep(attempt * 250);
        process_kill(creator);
        bool complete = atomic_load(&shared->done.arrived) > 0;
        canyon_client *client = client_connect(cluster_servers(cluster));
        float value = create_filled(client, "struck", 9.0f);
        check(value == 7.0f || (value == 9.0f && !complete));
        check_ok(canyon_tensor_drop(client, "struck", PATIENCE_MS));
        canyon_close(client);
        shared_free(shared, sizeof *shared);
    }
    cluster_stop(cluster);
}

static void mismatch_names_both(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(NULL);
    canyon_client *client = client_connect(cluster_servers(cluster));
    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "w");
    spec.rank = 2;
    spec.dims[0] = 3;
    spec.dims[1] = 4;
    canyon_tensor *tensor = NULL, *other = NULL;
    check_ok(canyon_tensor_spec_optimizer(&spec, "adam:lr=0.25"));
    check_ok(canyon_tensor_create(client, &spec, PATIENCE_MS, &tensor));
    /* The same, its defaults spelled out, opens. */
    check_ok(canyon_tensor_spec_optimizer(&spec, "adam:beta2=0.999,lr=0.25"));
    check_ok(canyon_tensor_create(client, &spec, PATIENCE_MS, &other));
    canyon_tensor_close(other);

    spec.dims[0] = 4;
    spec.dims[1] = 3;
    check_status(canyon_tensor_create(client, &spec, PATIENCE_MS, &other), CANYON_MISMATCH);
    check_text("[3, 4]");
    check_text("[4, 3]");
    spec.dims[0] = 3;
    spec.dims[1] = 4;
    check_ok(canyon_tensor_spec_optimizer(&spec, "rmsprop"));
    check_status(canyon_tensor_create(client, &spec, PATIENCE_MS, &other), CANYON_MISMATCH);
    check_text("adam");
    check_text("rmsprop");
    check_ok(canyon_tensor_spec_optimizer(&spec, "adam:lr=0.75"));
    check_status(canyon_tensor_create(client, &spec, PATIENCE_MS, &other), CANYON_MISMATCH);
    check_text("0.25");
    check_text("0.75");
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- Opening --------------------------------------------------------------------------------------------------- */

static int open_when_there(void *user) {
    const struct racer *racer = user;
    canyon_client *client = client_connect(racer->servers);
    gate_arrive(&racer->shared->ready);
    canyon_tensor *tensor = NULL;
    check_ok(canyon_tensor_open(client, "awaited", PATIENCE_MS, &tensor));
    float weights[ELEMENTS];
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    for (size_t i = 0; i < ELEMENTS; i++)
        check(weights[i] == 3.0f);
    canyon_tensor_close(tensor);
    canyon_close(client);
    return 0;
}

static void open_waits_until_complete(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2});
    struct shared *shared = shared_alloc(sizeof *shared);
    struct racer racers[RACERS];
    pid_t processes[RACERS];
    start_racers(cluster, shared, 3, open_when_there, racers, processes);
    gate_wait(&shared->ready, 3);
    sleep_ms(200);
    canyon_client *client = client_connect(cluster_servers(cluster));
    check(create_filled(client, "awaited", 3.0f) == 3.0f);
    for (unsigned r = 0; r < 3; r++)
        check(process_wait(processes[r], PATIENCE_MS) == 0);
    canyon_close(client);
    shared_free(shared, sizeof *shared);
    cluster_stop(cluster);
}

static void open_says_what_is_missing(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2});
    struct shared *shared = shared_alloc(sizeof *shared);
    struct racer racer = {.servers = cluster_address(cluster, 0), .index = 1, .shared = shared};
    pid_t creator = process_start(create_half, &racer);
    gate_wait(&shared->ready, 1);
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = NULL;
    uint64_t begun = now_ms();
    check_status(canyon_tensor_open(client, "nowhere", 300, &tensor), CANYON_TIMEOUT);
    check_text("nowhere");
    check_text("no tensor");
    check(now_ms() - begun >= 290);
    check_status(canyon_tensor_open(client, "orphan", 300, &tensor), CANYON_TIMEOUT);
    check_text("orphan");
    check_text("being created");
    check(now_ms() - begun < 600 + 2 * SLACK_MS);
    /* What is being created is listed as such. */
    struct canyon_tensor_info *infos = NULL;
    size_t count = 0;
    check_ok(canyon_tensor_list(client, PATIENCE_MS, &infos, &count));
    check(count == 1 && strcmp(infos[0].name, "orphan") == 0 && infos[0].complete == 0);
    canyon_free(infos);
    process_kill(creator);
    /* It is nobody's now: it can be dropped, and made anew with another shape. */
    check_ok(canyon_tensor_drop(client, "orphan", PATIENCE_MS));
    canyon_tensor_close(client_vector(client, "orphan", 10, "adam"));
    canyon_close(client);
    shared_free(shared, sizeof *shared);
    cluster_stop(cluster);
}

/* ---- Ranks and barriers ---------------------------------------------------------------------------------------- */

#define ROUNDS 5

/* Joins, then passes barriers; nobody may pass one before all have come to it. */
static int join_and_meet(void *user) {
    const struct racer *racer = user;
    struct shared *shared = racer->shared;
    canyon_client *client = client_connect(racer->servers);
    check_ok(canyon_join(client, PATIENCE_MS, &shared->ranks[racer->index], &shared->counts[racer->index]));
    gate_arrive(&shared->ready);
    gate_wait(&shared->ready, 4);
    uint32_t rank, count;
    check_ok(canyon_join(client, PATIENCE_MS, &rank, &count));
    check(rank == shared->ranks[racer->index] && count == 4);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        atomic_fetch_add(&shared->before, 1);
        check_ok(canyon_barrier(client, "round", round % 2 ? 0 : 4, PATIENCE_MS));
        check(atomic_load(&shared->before) >= 4 * round);
    }
    gate_arrive(&shared->done);
    gate_wait(&shared->done, 4);
    canyon_close(client);
    return 0;
}

static void ranks_and_barriers(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2});
    struct shared *shared = shared_alloc(sizeof *shared);
    struct racer racers[RACERS];
    pid_t processes[RACERS];
    start_racers(cluster, shared, 4, join_and_meet, racers, processes);
    for (unsigned r = 0; r < 4; r++)
        check(process_wait(processes[r], 2 * PATIENCE_MS) == 0);
    uint32_t ranks = 0, counts = 0;
    for (unsigned r = 0; r < 4; r++) {
        ranks |= 1u << shared->ranks[r];
        counts |= 1u << shared->counts[r];
    }
    check(ranks == 0xf);
    check(counts == 0x1e); /* the first saw one worker, the last four */
    shared_free(shared, sizeof *shared);
    cluster_stop(cluster);
}

/* Joins in the order of the indices, waits at a barrier of those that have joined; the middle one never comes. */
static int join_and_wait(void *user) {
    const struct racer *racer = user;
    struct shared *shared = racer->shared;
    canyon_client *client = client_connect(racer->servers);
    gate_wait(&shared->ready, racer->index);
    uint32_t rank, count;
    check_ok(canyon_join(client, PATIENCE_MS, &rank, &count));
    check(rank == racer->index);
    gate_arrive(&shared->ready);
    gate_wait(&shared->ready, 3);
    if (racer->index == 1)
        pause();
    check_status(canyon_barrier(client, "three", 3, 400), CANYON_TIMEOUT);
    check_text("three");
    gate_arrive(&shared->arrived);
    check_ok(canyon_barrier(client, "all", 0, PATIENCE_MS));
    gate_arrive(&shared->passed);
    gate_wait(&shared->done, 1);
    canyon_close(client);
    return 0;
}

/* A worker that dies frees its rank, and those that wait for "as many as have joined" no longer wait for it. */
static void a_worker_dies(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(NULL);
    struct shared *shared = shared_alloc(sizeof *shared);
    struct racer racers[RACERS];
    pid_t processes[RACERS];
    start_racers(cluster, shared, 3, join_and_wait, racers, processes);
    gate_wait(&shared->arrived, 2);
    sleep_ms(200);
    check(atomic_load(&shared->passed.arrived) == 0);
    process_kill(processes[1]);
    gate_wait(&shared->passed, 2);
    canyon_client *client = client_connect(cluster_servers(cluster));
    uint32_t rank = 0, count = 0;
    check_ok(canyon_join(client, PATIENCE_MS, &rank, &count));
    check(rank == 1 && count == 3);
    gate_arrive(&shared->done);
    check(process_wait(processes[0], PATIENCE_MS) == 0);
    check(process_wait(processes[2], PATIENCE_MS) == 0);
    canyon_close(client);
    shared_free(shared, sizeof *shared);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(exactly_one_initialises),   integration_test(a_waiter_takes_over),
        integration_test(killed_at_any_time),        integration_test(mismatch_names_both),
        integration_test(open_waits_until_complete), integration_test(open_says_what_is_missing),
        integration_test(ranks_and_barriers),        integration_test(a_worker_dies),
    };
    return cmocka_run_group_tests_name("races", tests, NULL, NULL);
}
