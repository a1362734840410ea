/* A server is its listening socket, its acceptor and its reactors, from starting to stopping. */
#ifndef CANYON_SERVER_SERVER_H
#define CANYON_SERVER_SERVER_H

#include "common/log.h"
#include "server/config.h"
#include "server/listener.h"
#include "server/trust.h"

struct server;

/* Starts all threads. `config` must be placed, and `trust` loaded by it; both, `log` and the listener are borrowed for
 * the server's life (the listener is closed by server_stop). Signals must be blocked before. `stopped` is called once
 * from every server thread when it has ended after server_stop. NULL with a text in `error`. */
struct server *server_start(const struct config *config, const struct trust *trust, struct listener *listener,
                            const struct log *log, void (*stopped)(void *user), void *user, struct error *error);

/* From now on this allow-list says who may come and do what, for connections that are open too. Not after server_stop.
 */
void server_allow(struct server *server, struct allow *allow);

/* Stops accepting and begins to end the server threads, which answer what they received: at the latest after
 * config->drain seconds. Returns soon; `stopped` tells the rest. */
void server_stop(struct server *server);

/* Waits for the threads and frees everything. Safe on NULL. */
void server_finish(struct server *server);

#endif
