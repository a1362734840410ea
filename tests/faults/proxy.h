/* A TCP proxy that does to connections what networks do: for tests.
 *
 * It listens on a port of its own, connects every client on to one address, and passes bytes both ways on a thread of
 * its own. What it does to them is a struct proxy_faults for each direction (pipe.h), for one connection, for all, or
 * for those to come, and may be changed at any time. Connections are numbered from 0 in the order they were accepted.
 *
 *     struct proxy *proxy = proxy_start(&(struct proxy_options){.to = "127.0.0.1:7077"}, text);
 *     struct proxy_faults faults;
 *     proxy_faults_init(&faults);
 *     faults.cut_after = 100;
 *     proxy_set(proxy, PROXY_EVERY, PROXY_UP, &faults);
 *     ... a client connects to proxy_address(proxy) ...
 *     proxy_stop(proxy);
 *
 * Clients of Canyon learn the addresses of servers from the servers: start those with --advertise and --servers naming
 * the proxy (tests/faults/routes.h does it), and all connections come through it.
 *
 * Every call may be made from any thread; when it returns it is so, and nothing passes under what was before. */
#ifndef TESTS_FAULTS_PROXY_H
#define TESTS_FAULTS_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/faults/pipe.h"

#define PROXY_ADDRESS_BYTES 96
#define PROXY_TEXT_BYTES    256

/* Instead of a connection's number. */
#define PROXY_EVERY  (-1) /* those there are and those to come */
#define PROXY_COMING (-2) /* those to come */
#define PROXY_LIVE   (-3) /* those there are */

enum proxy_side { PROXY_CLIENT = 0, PROXY_SERVER = 1 };

struct proxy;

struct proxy_options {
    const char *to;     /* "HOST:PORT", a literal address. Copied. */
    const char *listen; /* NULL for "127.0.0.1:0", a port that the system chooses */
    int socket_bytes;   /* of the sockets' buffers, which hold what a stalled proxy has not taken; 0: the system's */
    bool record;        /* keep a transcript of what passes on every connection */
};

/* NULL, and why in `text`, when it cannot listen or start its thread. */
struct proxy *proxy_start(const struct proxy_options *options, char text[PROXY_TEXT_BYTES]);

/* Resets what is connected, joins the thread and frees. Safe on NULL. */
void proxy_stop(struct proxy *proxy);

/* Where it listens. Valid until proxy_stop. */
const char *proxy_address(const struct proxy *proxy);

/* From now on. Offsets count from now, on connections to come from their beginning. */
void proxy_set(struct proxy *proxy, int which, enum proxy_way way, const struct proxy_faults *faults);

/* For the next `count` connections to come; those behind them are left alone. However long that takes, no more than so
 * many are treated so. */
void proxy_set_next(struct proxy *proxy, unsigned count, enum proxy_way way, const struct proxy_faults *faults);

/* No faults any more: on no connection, nor on those to come. What was held passes. */
void proxy_clear(struct proxy *proxy);

/* Connections to come are for this address. */
void proxy_aim(struct proxy *proxy, const char *to);

/* While it refuses, its port is closed (and stays its own). */
void proxy_refuse(struct proxy *proxy, bool refuse);

/* Ends one side of a connection as if the other had, and leaves the other side open: what came from the ended side and
 * is held can still pass later. PROXY_EVERY and PROXY_LIVE mean all there are. */
void proxy_end(struct proxy *proxy, int which, enum proxy_side side, enum proxy_end end);

/* How many connections there were, and how many there are. */
unsigned proxy_count(struct proxy *proxy);
unsigned proxy_live(struct proxy *proxy);

struct proxy_view {
    bool live;                                             /* at least one side is open */
    bool open[2];                                          /* by side */
    uint64_t came[2], passed[2], swallowed[2], flipped[2]; /* by way */
    size_t queued[2];
};

/* A connection as it is, or was at its end. False when there was none of this number. */
bool proxy_look(struct proxy *proxy, int number, struct proxy_view *view);

/* Waits until the bytes that came this way on a connection are at least `bytes`; false when they are not in time. */
bool proxy_await(struct proxy *proxy, int number, enum proxy_way way, uint64_t bytes, uint32_t wait_ms);

/* Waits until no connection is live. */
bool proxy_await_end(struct proxy *proxy, uint32_t wait_ms);

/* A copy of the transcript, owned by the caller; false when there is none. */
bool proxy_transcript(struct proxy *proxy, int number, struct transcript *transcript);

#endif
