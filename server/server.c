#include "server/server.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/random.h"
#include "server/acceptor.h"
#include "server/machine.h"
#include "server/reactor.h"

#define OWN_DESCRIPTORS 24 /* the three, the log's, the listening one, the acceptor's loop and reserve */
#define OWN_OF_A_THREAD 6  /* a loop's */
#define STRANGERS_LEAST 8

struct server {
    const struct config *config;
    struct listener *listener;
    struct greeting greeting;
    struct tally tally;
    struct census *census;
    struct acceptor *acceptor;
    uint32_t reactor_count; /* created */
    struct reactor *reactors[LIMIT_THREADS];
};

/* The greeting has checked that the thread is there. */
static void deliver(void *user, struct arrival *arrival) {
    struct server *server = user;
    reactor_deliver(server->reactors[arrival->thread], arrival);
}

/* Descriptors are shared out: some for ourselves; of the rest most may be strangers', who give way when somebody comes
 * and there is none left, and three quarters those of whoever is greeted. */
static void share_descriptors(const struct config *config, uint32_t *strangers, uint32_t *connections) {
    uint64_t all = machine_descriptors(), own = OWN_DESCRIPTORS + (uint64_t)OWN_OF_A_THREAD * config->threads;
    uint64_t rest = all > own ? all - own : 0;
    uint64_t few = rest / 8 * 5 < ACCEPTOR_STRANGERS ? rest / 8 * 5 : ACCEPTOR_STRANGERS;
    uint64_t many = rest - rest / 4 < CONFIG_CONNECTIONS_MAX ? rest - rest / 4 : CONFIG_CONNECTIONS_MAX;
    *strangers = few > STRANGERS_LEAST ? (uint32_t)few : STRANGERS_LEAST;
    *connections = config->connections > 0 ? config->connections : many > 0 ? (uint32_t)many : 1;
}

static enum canyon_status start_reactors(struct server *server, const struct trust *trust, const struct log *log,
                                         void (*stopped)(void *user), void *user, struct error *error) {
    const struct config *config = server->config;
    uint64_t memory = config_memory(config, machine_memory());
    for (uint32_t i = 0; i < config->threads; ++i) {
        struct reactor_options options = {.job = &config->job,
                                          .server = config->server,
                                          .thread = i,
                                          .threads = config->threads,
                                          .log = log,
                                          .state_limit = memory / config->threads,
                                          .lease_ms = config->lease,
                                          .allow = trust->allow,
                                          .tally = &server->tally,
                                          .congestion = config->congestion,
                                          .spin = config->spin,
                                          .stopped = stopped,
                                          .user = user};
        if (affinity_processor(config->pin, i, config->threads, &options.processor, error) != CANYON_OK) {
            return error->status;
        }
        server->reactors[i] = reactor_create(&options, error);
        if (server->reactors[i] == NULL) {
            return error->status;
        }
        ++server->reactor_count;
    }
    for (uint32_t i = 0; i < config->threads; ++i) {
        if (reactor_start(server->reactors[i], error) != CANYON_OK) {
            return error->status;
        }
    }
    return CANYON_OK;
}

struct server *server_start(const struct config *config, const struct trust *trust, struct listener *listener,
                            const struct log *log, void (*stopped)(void *user), void *user, struct error *error) {
    uint8_t boot[BOOT_BYTES];
    uint32_t strangers, connections;
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        error_set(error, CANYON_NO_MEMORY, "no memory to start");
        return NULL;
    }
    server->config = config;
    server->listener = listener;
    random_fill(boot, sizeof boot);
    greeting_init(&server->greeting, &config->job, config->server, config->threads, boot);
    share_descriptors(config, &strangers, &connections);
    server->census = census_create(connections, config->connections_per_key);
    if (server->census == NULL) {
        error_set(error, CANYON_NO_MEMORY, "no memory to start");
        goto failed;
    }
    if (start_reactors(server, trust, log, stopped, user, error) != CANYON_OK) {
        goto failed;
    }
    struct acceptor_options options = {.descriptor = listener->descriptor,
                                       .greeting = &server->greeting,
                                       .log = log,
                                       .key = trust->key,
                                       .census = server->census,
                                       .tally = &server->tally,
                                       .cipher = config->cipher,
                                       .strangers = strangers,
                                       .deliver = deliver,
                                       .user = server};
    server->acceptor = acceptor_start(&options, trust->allow, error);
    if (server->acceptor == NULL) {
        goto failed;
    }
    return server;

failed:
    server_stop(server);
    server_finish(server);
    return NULL;
}

void server_allow(struct server *server, struct allow *allow) {
    /* In this order: nobody is let in by a list that the threads have not been given. */
    for (uint32_t i = 0; i < server->reactor_count; ++i) {
        reactor_allow(server->reactors[i], allow);
    }
    acceptor_allow(server->acceptor, allow);
}

void server_stop(struct server *server) {
    acceptor_stop(server->acceptor);
    server->acceptor = NULL;
    listener_close(server->listener);
    uint64_t deadline = clock_now() + server->config->drain * 1000000000ull;
    for (uint32_t i = 0; i < server->reactor_count; ++i) {
        reactor_stop(server->reactors[i], deadline);
    }
}

void server_finish(struct server *server) {
    if (server == NULL) {
        return;
    }
    for (uint32_t i = 0; i < server->reactor_count; ++i) {
        reactor_join(server->reactors[i]);
        reactor_destroy(server->reactors[i]);
    }
    census_destroy(server->census);
    free(server);
}
