/* A server that has found its stride allocates nothing more: whatever a push, a pull or a push_pull needs is there from
 * the requests before it, of blocks and of rows, in every form.
 *
 * The server runs in this process, with its calls of malloc and its kin counted; the worker is this program again, in a
 * process of its own. Phases of many steps follow one another. What waits for a socket takes memory from a pool that
 * grows to what was ever needed, so an early phase may still add to it; an allocation for each request would show in
 * every phase, and a leak of the pool in their sum. */
#include "tests/allocation/fail.h"

#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "canyon.h"
#include "client/tools/keyring.h"
#include "common/random.h"
#include "server/optimizers/optimizer.h"
#include "server/server.h"

#define PHASES        4
#define STEPS         8 /* of a phase */
#define BLOCKS        6
#define BLOCK         65536 /* elements */
#define SMALL         12    /* tensors that share frames */
#define CODED         4     /* tensors and tables whose values travel in other forms, and as float32 */
#define CODED_BLOCKS  1
#define DIM           16
#define ROWS          2500 /* of a table, in a batch of more, some of them twice */
#define IDS           3000
#define POOL_HIGH     256 /* chunks and buffers that the pools of two threads may come to hold */
#define WORKER_FAILED 3

extern char **environ;

static const char *program;
static char directory[64];
static struct keyring keyring;

/* ---- the worker ---- */

static void insist(enum canyon_status status) {
    if (status != CANYON_OK) {
        fprintf(stderr, "worker: %s\n", canyon_error_text());
        exit(WORKER_FAILED);
    }
}

static canyon_tensor *tensor(canyon_client *client, const char *name, size_t elements) {
    struct canyon_tensor_spec spec;
    canyon_tensor *made = NULL;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.rank = 1;
    spec.dims[0] = elements;
    insist(canyon_tensor_spec_optimizer(&spec, "adam"));
    insist(canyon_tensor_create(client, &spec, 0, &made));
    return made;
}

/* What the worker trains. */
struct trained {
    canyon_client *client;
    canyon_tensor *large, *small[SMALL], *coded[CODED];
    canyon_table *tables[CODED];
    float *gradient, *weights; /* BLOCKS * BLOCK each */
    uint64_t ids[IDS];
};

static void create_all(struct trained *trained) {
    static const char *const forms[CODED][3] = {
        {"bf16", "bf16", "f16"}, {"int8", "int8", "bf16"}, {"topk:0.05", "f32", "int8"}, {"f32", "int8", "f32"}};
    struct canyon_table_spec spec;
    char name[32];
    trained->large = tensor(trained->client, "large", (size_t)BLOCKS * BLOCK);
    for (size_t i = 0; i < SMALL; i++) {
        snprintf(name, sizeof name, "small%zu", i);
        trained->small[i] = tensor(trained->client, name, 100);
    }
    for (size_t i = 0; i < CODED; i++) {
        snprintf(name, sizeof name, "coded%zu", i);
        trained->coded[i] = tensor(trained->client, name, (size_t)CODED_BLOCKS * BLOCK);
        insist(canyon_tensor_set_codec(trained->coded[i], forms[i][0], forms[i][1]));
        canyon_table_spec_init(&spec);
        snprintf(spec.name, sizeof spec.name, "table%zu", i);
        spec.dim = DIM;
        insist(canyon_table_spec_optimizer(&spec, "adam"));
        insist(canyon_table_create(trained->client, &spec, 0, &trained->tables[i]));
        insist(canyon_table_set_codec(trained->tables[i], forms[i][2], forms[i][2]));
    }
    for (uint64_t i = 0; i < IDS; i++) {
        trained->ids[i] = i % ROWS * 0x9e3779b97f4a7c15u;
    }
}

static void close_all(struct trained *trained) {
    for (size_t i = 0; i < SMALL; i++) {
        canyon_tensor_close(trained->small[i]);
    }
    for (size_t i = 0; i < CODED; i++) {
        canyon_tensor_close(trained->coded[i]);
        canyon_table_close(trained->tables[i]);
    }
    canyon_tensor_close(trained->large);
}

static void step(struct trained *trained) {
    struct canyon_item items[SMALL];
    memset(items, 0, sizeof items);
    for (size_t i = 0; i < SMALL; i++) {
        items[i].tensor = trained->small[i];
        items[i].gradient = trained->gradient + 100 * i;
        items[i].weights = trained->weights + 100 * i;
    }
    insist(canyon_step(trained->client, items, SMALL, 0));
    insist(canyon_push_pull(trained->large, trained->gradient, trained->weights, 0));
    insist(canyon_push(trained->large, trained->gradient, 0));
    insist(canyon_pull(trained->large, trained->weights, 0));
    for (size_t i = 0; i < CODED; i++) {
        insist(canyon_push_pull(trained->coded[i], trained->gradient, trained->weights, 0));
        insist(canyon_push(trained->coded[i], trained->gradient, 0));
        insist(canyon_pull(trained->coded[i], trained->weights, 0));
        insist(canyon_table_push_pull(trained->tables[i], trained->ids, IDS, trained->gradient, trained->weights, 0));
        insist(canyon_table_push(trained->tables[i], trained->ids + i, 100, trained->gradient, 0));
        insist(canyon_table_pull(trained->tables[i], trained->ids, IDS, trained->weights, 0));
    }
}

/* Steps through a phase for every byte of standard input, and answers it with one. */
static int work(const char *servers, const char *home) {
    struct canyon_options options;
    static struct trained trained;
    char byte;
    trained.gradient = calloc((size_t)BLOCKS * BLOCK, sizeof *trained.gradient);
    trained.weights = calloc((size_t)BLOCKS * BLOCK, sizeof *trained.weights);
    if (trained.gradient == NULL || trained.weights == NULL) {
        return WORKER_FAILED;
    }
    canyon_options_init(&options);
    options.servers = servers;
    options.timeout_ms = 60000;
    options.insecure_plaintext = home[0] == '\0';
    insist(canyon_connect(&options, &trained.client));
    create_all(&trained);
    while (read(STDIN_FILENO, &byte, 1) == 1) {
        for (int i = 0; i < STEPS; i++) {
            step(&trained);
        }
        if (write(STDOUT_FILENO, &byte, 1) != 1) {
            return WORKER_FAILED;
        }
    }
    close_all(&trained);
    canyon_close(trained.client);
    free(trained.gradient);
    free(trained.weights);
    return 0;
}

/* ---- the server ---- */

struct running {
    struct config config;
    struct trust trust;
    struct listener listener;
    struct log log;
    struct server *server;
};

static void ignore(void *user) {
    (void)user;
}

static void must(enum canyon_status status, const struct error *error) {
    if (status != CANYON_OK) {
        fail_msg("%s", error->text);
    }
}

static void start(struct running *running, bool encrypted) {
    static const struct address any = {.host = "127.0.0.1", .port = 0};
    struct error error;
    memset(running, 0, sizeof *running);
    running->log = (struct log){.threshold = LOG_WARNING, .descriptor = STDERR_FILENO};
    running->listener.descriptor = -1;
    config_init(&running->config);
    must(config_set(&running->config, "key", keyring.server_key, &error), &error);
    must(config_set(&running->config, "allow", keyring.allow, &error), &error);
    must(config_set(&running->config, "threads", "2", &error), &error);
    must(config_set(&running->config, "insecure-plaintext", encrypted ? "no" : "yes", &error), &error);
    must(listener_open(&any, &running->listener, &error), &error);
    must(config_place(&running->config, &running->listener.address, &error), &error);
    must(trust_load(&running->config, &running->trust, &error), &error);
    running->server =
        server_start(&running->config, &running->trust, &running->listener, &running->log, ignore, NULL, &error);
    if (running->server == NULL) {
        fail_msg("%s", error.text);
    }
}

static void stop(struct running *running) {
    server_stop(running->server);
    server_finish(running->server);
    listener_close(&running->listener);
    trust_finish(&running->trust);
    config_finish(&running->config);
}

/* The worker's process, and both ends of what is said to it and by it. */
struct worker {
    pid_t process;
    int to, from;
};

static void spawn(struct worker *worker, const struct running *running, bool encrypted) {
    char word[] = "work", servers[LIMIT_ADDRESS_BYTES], home[80], path[256], setting[96];
    int to[2], from[2];
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    snprintf(servers, sizeof servers, "%s", running->config.advertise);
    snprintf(home, sizeof home, "%s", encrypted ? directory : "");
    snprintf(path, sizeof path, "%s", program);
    snprintf(setting, sizeof setting, "%s", directory);
    assert_int_equal(setenv("CANYON_HOME", setting, 1), 0);
    char *const arguments[] = {path, word, servers, home, NULL};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    const int ends[] = {to[0], to[1], from[0], from[1]};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        posix_spawn_file_actions_addclose(&actions, ends[i]);
    }
    assert_int_equal(posix_spawn(&worker->process, path, &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    worker->to = to[1];
    worker->from = from[0];
}

/* One phase; returns how often the server asked for memory in it. */
static size_t phase(const struct worker *worker) {
    char byte = 'p';
    fail_begin(0);
    fail_arm();
    bool good = write(worker->to, &byte, 1) == 1 && read(worker->from, &byte, 1) == 1;
    fail_disarm();
    assert_true(good);
    return fail_count();
}

static void settles(bool encrypted) {
    struct running running;
    struct worker worker;
    size_t all = 0, least = SIZE_MAX;
    int status = 0;
    start(&running, encrypted);
    spawn(&worker, &running, encrypted);
    (void)phase(&worker); /* connecting and creating are in it */
    for (int i = 0; i < PHASES; i++) {
        size_t asked = phase(&worker);
        all += asked;
        least = asked < least ? asked : least;
    }
    close(worker.to);
    close(worker.from);
    assert_int_equal(waitpid(worker.process, &status, 0), worker.process);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    stop(&running);
    printf("%s: %d phases of %d steps: %zu allocations, at least %zu in each\n", encrypted ? "encrypted" : "plaintext",
           PHASES, STEPS, all, least);
    assert_int_equal(least, 0);
    assert_true(all <= POOL_HIGH);
}

static void a_plaintext_server_settles(void **state) {
    (void)state;
    settles(false);
}

static void an_encrypting_server_settles(void **state) {
    (void)state;
    settles(true);
}

static int setup(void **state) {
    char text[1024];
    sigset_t set;
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/canyon-steady-XXXXXX");
    if (mkdtemp(directory) == NULL || random_start(NULL) != CANYON_OK) {
        return -1;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    optimizer_start();
    return keyring_make(&keyring, directory, NULL, text, sizeof text) == CANYON_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    keyring_remove(&keyring);
    return rmdir(directory);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plaintext_server_settles),
        cmocka_unit_test(an_encrypting_server_settles),
    };
    program = argv[0];
    if (argc == 4 && strcmp(argv[1], "work") == 0) {
        return work(argv[2], argv[3]);
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
