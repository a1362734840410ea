#include "server/server.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/random.h"
#include "server/acceptor.h"
#include "server/machine.h"
#include "server/reactor.h"

struct server {
    const struct config *config;
    struct listener *listener;
    struct greeting greeting;
    struct acceptor *acceptor;
    uint32_t reactor_count; /* created */
    struct reactor *reactors[LIMIT_THREADS];
};

/* The greeting has checked that the thread is there. */
static void deliver(void *user, struct arrival *arrival) {
    struct server *server = user;
    reactor_deliver(server->reactors[arrival->thread], arrival);
}

static enum canyon_status start_reactors(struct server *server, const struct log *log, void (*stopped)(void *user),
                                         void *user, struct error *error) {
    const struct config *config = server->config;
    uint64_t memory = config_memory(config, machine_memory());
    for (uint32_t i = 0; i < config->threads; ++i) {
        struct reactor_options options = {.job = &config->job,
                                          .server = config->server,
                                          .thread = i,
                                          .threads = config->threads,
                                          .log = log,
                                          .state_limit = memory / config->threads,
                                          .stopped = stopped,
                                          .user = user};
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

struct server *server_start(const struct config *config, struct listener *listener, const struct log *log,
                            void (*stopped)(void *user), void *user, struct error *error) {
    uint8_t boot[BOOT_BYTES];
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        error_set(error, CANYON_NO_MEMORY, "no memory to start");
        return NULL;
    }
    server->config = config;
    server->listener = listener;
    random_fill(boot, sizeof boot);
    greeting_init(&server->greeting, &config->job, config->server, config->threads, boot);
    if (start_reactors(server, log, stopped, user, error) != CANYON_OK) {
        goto failed;
    }
    struct acceptor_options options = {.descriptor = listener->descriptor,
                                       .greeting = &server->greeting,
                                       .log = log,
                                       .deliver = deliver,
                                       .user = server};
    server->acceptor = acceptor_start(&options, error);
    if (server->acceptor == NULL) {
        goto failed;
    }
    return server;

failed:
    server_stop(server);
    server_finish(server);
    return NULL;
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
    free(server);
}
