/* A whole encrypting server in this process, with every allocation of its life failing once, on whichever thread: it
 * does not start, or the program that comes to use it is turned away or loses its connection; then the same is asked
 * for again, and is done as if nothing had failed. The clients are other processes: their memory is not this test's. */
#include "tests/allocation/fail.h"

#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/tools/keyring.h"
#include "common/random.h"
#include "server/optimizers/optimizer.h"
#include "server/server.h"

#define TRACE CANYON_BINARY_DIR "/bin/canyon-sim"
#define TRIES 3
/* sgd with lr=1 from 1, 2: what is left after two steps of these gradients. Exact in binary. */
#define STEPS  "printf '0.5 0.25\\n0.5 0.25\\n' | "
#define RESULT "0 1.5"

extern char **environ;

static char directory[64];
static struct keyring keyring;

/* A server with two threads on a port of its own. */
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

/* False when it could not be started for the lack of memory. */
static bool start(struct running *running) {
    static const struct address any = {.host = "127.0.0.1", .port = 0};
    struct error error;
    memset(running, 0, sizeof *running);
    running->log = (struct log){.threshold = LOG_SILENT, .descriptor = -1};
    running->listener.descriptor = -1;
    config_init(&running->config);
    must(config_set(&running->config, "key", keyring.server_key, &error), &error);
    must(config_set(&running->config, "allow", keyring.allow, &error), &error);
    must(config_set(&running->config, "threads", "2", &error), &error);
    must(config_set(&running->config, "shards", "4", &error), &error);
    must(config_set(&running->config, "drain", "1", &error), &error);
    must(listener_open(&any, &running->listener, &error), &error);
    must(config_place(&running->config, &running->listener.address, &error), &error);
    fail_arm();
    enum canyon_status status = trust_load(&running->config, &running->trust, &error);
    if (status == CANYON_OK) {
        running->server =
            server_start(&running->config, &running->trust, &running->listener, &running->log, ignore, NULL, &error);
        status = running->server != NULL ? CANYON_OK : error.status;
    }
    if (status != CANYON_OK) {
        fail_disarm();
        assert_true(fail_happened());
        assert_int_equal(status, CANYON_NO_MEMORY);
        assert_true(error.text[0] != '\0');
    }
    return status == CANYON_OK;
}

static void stop(struct running *running) {
    if (running->server != NULL) {
        server_stop(running->server);
        server_finish(running->server);
        fail_disarm();
    }
    listener_close(&running->listener);
    trust_finish(&running->trust);
    config_finish(&running->config);
}

/* Runs a shell command line; true when it exits with 0. */
static bool run(char *command) {
    char shell[] = "sh", option[] = "-c", *const arguments[] = {shell, option, command, NULL};
    pid_t child;
    int status = 0;
    assert_int_equal(posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Creates a tensor, steps, reads it and drops it, through the door and both threads. */
static bool train(const struct running *running) {
    char command[1024];
    snprintf(command, sizeof command,
             STEPS "CANYON_HOME=%s " TRACE " trace --servers %s --optimizer sgd:lr=1 --init 1,2 2>%s/errors"
                   " | tail -n 1 | grep -q -x '" RESULT "'",
             directory, running->config.advertise, directory);
    return run(command);
}

static void scenario(size_t nth) {
    struct running running;
    int tries = 0;
    fail_begin(nth);
    while (!start(&running)) {
        stop(&running);
        assert_true(++tries < TRIES);
    }
    for (tries = 0; !train(&running); tries++) {
        if (!fail_happened() || tries == TRIES) {
            fail_msg("not done, with %s (see %s/errors)", fail_happened() ? fail_place() : "nothing failed", directory);
        }
    }
    stop(&running);
}

static void each_allocation_fails_once(void **state) {
    (void)state;
    fail_each("server", scenario, 2000);
}

static int setup(void **state) {
    char text[1024];
    sigset_t set;
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/canyon-allocation-XXXXXX");
    if (mkdtemp(directory) == NULL || random_start(NULL) != CANYON_OK) {
        return -1;
    }
    sigfillset(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    optimizer_start();
    return keyring_make(&keyring, directory, NULL, text, sizeof text) == CANYON_OK ? 0 : -1;
}

static int teardown(void **state) {
    char errors[96];
    (void)state;
    snprintf(errors, sizeof errors, "%s/errors", directory);
    unlink(errors);
    keyring_remove(&keyring);
    return rmdir(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_fails_once)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
