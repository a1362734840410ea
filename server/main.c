/* canyon-server: settings, signals and exit codes around a server. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/codec.h"
#include "common/random.h"
#include "server/config.h"
#include "server/help.h"
#include "server/machine.h"
#include "server/optimizers/optimizer.h"
#include "server/server.h"

#define EXIT_SETTINGS   2
#define STUCK_SECONDS   2 /* beyond the drain time: then a thread hangs */
#define SECOND          1000000000ull
#define SIGNAL_FINISHED SIGUSR1 /* to ourselves: a server thread has ended */

/* One line for a person at the terminal who made a mistake; logs begin when the settings are good. */
static int complain(const struct error *error, int code) {
    fprintf(stderr, "canyon-server: %s\n", error->text);
    return code;
}

static enum canyon_status listen_as_asked(const struct config *config, struct listener *listener, struct error *error) {
    return config->listen_descriptor >= 0 ? listener_inherit(config->listen_descriptor, listener, error)
                                          : listener_open(&config->listen_address, listener, error);
}

static void block_signals(sigset_t *set) {
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGNAL_FINISHED);
    pthread_sigmask(SIG_BLOCK, set, NULL); /* threads started later inherit it */
    signal(SIGPIPE, SIG_IGN);
}

/* On each server thread, as its last act. The signal wakes main; the counter says how many, since signals merge. */
static void on_thread_stopped(void *user) {
    atomic_uint *ended = user;
    atomic_fetch_add(ended, 1);
    kill(getpid(), SIGNAL_FINISHED);
}

/* SIGHUP: the allow-list may have changed. A bad one changes nothing. */
static void reload(const struct config *config, struct trust *trust, struct server *server, const struct log *log) {
    struct error error;
    char quoted[2 * ERROR_TEXT_BYTES];
    if (trust->key == NULL) {
        log_event(log, LOG_INFO, "reload", "reason=\"a plaintext server has no allow-list\"");
    } else if (trust_reload(config, trust, &error) != CANYON_OK) {
        log_event(log, LOG_ERROR, "allow-list-refused", "reason=%s consequence=\"the one before stays\"",
                  log_quote(error.text, quoted, sizeof quoted));
    } else {
        server_allow(server, trust->allow);
        log_event(log, LOG_INFO, "allow-list", "allowed=%zu", allow_count(trust->allow));
    }
}

/* Waits for SIGTERM or SIGINT. */
static int wait_for_signal(const sigset_t *set, const struct config *config, struct trust *trust, struct server *server,
                           const struct log *log) {
    int number = 0;
    while (number != SIGTERM && number != SIGINT) {
        if (sigwait(set, &number) != 0) {
            number = 0;
        } else if (number == SIGHUP) {
            reload(config, trust, server, log);
        }
    }
    return number;
}

/* Waits until all threads have ended after server_stop; false when a second signal came first, or a thread hangs. */
static bool wait_for_end(const struct config *config, const sigset_t *set, atomic_uint *ended, const struct log *log) {
    uint64_t deadline = clock_now() + (config->drain + STUCK_SECONDS) * SECOND;
    while (atomic_load(ended) < config->threads) {
        uint64_t now = clock_now();
        uint64_t left = deadline > now ? deadline - now : 0;
        struct timespec patience = {.tv_sec = (time_t)(left / SECOND), .tv_nsec = (long)(left % SECOND)};
        int number = sigtimedwait(set, NULL, &patience);
        if (number == SIGTERM || number == SIGINT) {
            log_event(log, LOG_WARNING, "killed", "reason=\"a second signal\"");
            return false;
        }
        if (left == 0) {
            log_event(log, LOG_ERROR, "killed", "reason=\"a server thread does not end\"");
            return false;
        }
    }
    return true;
}

/* No key, and no parameter, is left in a file when the process dies, nor shown to another process of the same user. */
static void keep_memory_private(void) {
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* From a good configuration to the end of the process; returns its exit code. */
static int serve(struct config *config) {
    struct log log = {.threshold = config->log_level, .descriptor = STDERR_FILENO};
    struct listener listener = {.descriptor = -1};
    struct trust trust = {.key = NULL};
    struct error error;
    atomic_uint ended = 0;
    sigset_t set;
    char text[LIMIT_ADDRESS_BYTES];
    int code = EXIT_FAILURE;

    block_signals(&set);
    (void)machine_descriptors();
    keep_memory_private();
    if (random_start(&error) != CANYON_OK) {
        return complain(&error, EXIT_FAILURE);
    }
    if (trust_load(config, &trust, &error) != CANYON_OK) {
        return complain(&error, EXIT_SETTINGS);
    }
    if (listen_as_asked(config, &listener, &error) != CANYON_OK) {
        code = complain(&error, error.status == CANYON_CONFIGURATION ? EXIT_SETTINGS : EXIT_FAILURE);
        goto no_listener;
    }
    if (config_check_reach(config, listener.loopback, &error) != CANYON_OK ||
        config_place(config, &listener.address, &error) != CANYON_OK) {
        code = complain(&error, EXIT_SETTINGS);
        goto no_server;
    }
    log_event(&log, LOG_INFO, "starting", "version=%s pid=%ld instructions=%s", CANYON_VERSION_TEXT, (long)getpid(),
              optimizer_set_name(optimizer_set_chosen()));
    trust_log(config, &trust, &log);
    struct server *server = server_start(config, &trust, &listener, &log, on_thread_stopped, &ended, &error);
    if (server == NULL) {
        code = complain(&error, error.status == CANYON_CONFIGURATION ? EXIT_SETTINGS : EXIT_FAILURE);
        goto no_server;
    }
    log_event(&log, LOG_INFO, "listening",
              "address=%s advertise=%s threads=%u job=%s shards=%u block=%u servers=%u server=%u",
              address_text(&listener.address, text, sizeof text), config->advertise, config->threads, config->job.name,
              config->job.shards, config->job.block, config->job.server_count, config->server);
    int number = wait_for_signal(&set, config, &trust, server, &log);
    log_event(&log, LOG_INFO, "stopping", "signal=%s drain=%u", number == SIGTERM ? "TERM" : "INT", config->drain);
    server_stop(server);
    if (!wait_for_end(config, &set, &ended, &log)) {
        _exit(EXIT_FAILURE);
    }
    server_finish(server);
    log_event(&log, LOG_INFO, "stopped", "cpu_ms=%llu", (unsigned long long)(clock_cpu() / 1000000));
    code = EXIT_SUCCESS;
no_server:
    listener_close(&listener);
no_listener:
    trust_finish(&trust);
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* nothing secret is left; leak checkers want to look */
    return code;
}

int main(int argc, char **argv) {
    struct config config;
    struct error error;
    enum config_action action = CONFIG_RUN;
    int code = EXIT_SUCCESS;
    config_init(&config);
    if (config_arguments(&config, argc, argv, &action, &error) != CANYON_OK) {
        code = complain(&error, EXIT_SETTINGS);
    } else if (action == CONFIG_HELP) {
        fputs(help_text(), stdout);
    } else if (action == CONFIG_VERSION) {
        puts("canyon-server " CANYON_VERSION_TEXT);
    } else if (config.listen_descriptor < 0 && config_place(&config, &config.listen_address, &error) != CANYON_OK) {
        code = complain(&error, EXIT_SETTINGS);
    } else if (action == CONFIG_CHECK) {
        config_write(&config, stdout);
    } else {
        optimizer_start();
        codec_start();
        code = serve(&config);
    }
    config_finish(&config);
    return code;
}
