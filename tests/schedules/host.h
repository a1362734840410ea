/* A host is a virtual server process: real handlers and shards, one handler a thread, behind links instead of sockets.
 *
 * It keeps what a log would: every command that took a sequence number, in each shard's order, as its canonical bytes.
 * It can be killed and come back with its state, rebuilt from those, or without: with the parameters as they were
 * defined and nothing since. */
#ifndef CANYON_TESTS_SCHEDULES_HOST_H
#define CANYON_TESTS_SCHEDULES_HOST_H

#include "common/job.h"
#include "server/greeting.h"
#include "server/handler.h"
#include "tests/schedules/network.h"
#include "tests/schedules/oracle.h"
#include "tests/schedules/pace.h"
#include "tests/schedules/witness.h"

#define HOST_THREADS 4
#define HOST_SHARDS  16

struct seat;

/* Commands of one shard, each with its length before it. */
struct host_log {
    struct host *host;
    uint32_t shard;
    uint8_t *bytes; /* owned */
    size_t used, room;
    size_t settled;            /* bytes up to where the parameters were defined, */
    struct oracle_shard modes; /* and what the oracle knew then, in a paced world */
};

struct host {
    struct schedule *schedule;
    const struct job *job;
    uint32_t index, threads;
    struct handler *handlers[HOST_THREADS]; /* NULL while it is down */
    struct handler_environment environment;
    struct greeting greeting;
    struct host_log logs[HOST_SHARDS]; /* of its own shards */
    struct seat *seats;                /* connections of this life, */
    struct seat *spent;                /* and those that are over */
    unsigned era;                      /* how often it came back without its state */
    unsigned restarts;
    uint64_t frames;
    bool stopped; /* the process is not let run */
    uint64_t stops;
    struct oracle *oracle; /* NULL but in a paced world; then there is a witness for each thread */
    struct witness witnesses[HOST_THREADS];
};

void host_init(struct host *host, struct schedule *schedule, const struct job *job, uint32_t index, uint32_t threads);
void host_finish(struct host *host);

/* In a paced world, where leases are so long: before anything is asked of it. */
void host_pace(struct host *host, struct oracle *oracle, uint32_t lease_ms);

/* What is defined by now is there whenever the host starts. */
void host_settle(struct host *host);

static inline bool host_is_up(const struct host *host) {
    return host->handlers[0] != NULL;
}

static inline struct age host_age(const struct host *host) {
    return (struct age){.era = host->era, .restarts = host->restarts};
}

/* network_connect's: a host that is down takes nobody. `user` is the host. */
bool host_accept(void *user, struct link *link);

/* The process is gone, with all its connections; and comes back. */
void host_kill(struct host *host);
void host_start(struct host *host, bool with_state);
/* The process does nothing for a while; what arrives waits for it. */
void host_stop(struct host *host, uint64_t duration);
void host_go_on(struct host *host);

/* The schedule fails unless handlers that are rebuilt from the log have the digests of these. */
void host_check_log(struct host *host);

/* Who asks from within, as an admin who is there: to define parameters and to read them. Zeroed it has no payload;
 * free `bytes` in the end. */
struct inner {
    struct handler_peer peer; /* first */
    const void *payload;      /* 64-byte aligned */
    uint32_t payload_bytes;
    uint8_t *bytes; /* the last reply: owned */
    size_t count, room;
};

struct host_reply {
    struct frame_header header;
    const uint8_t *message, *payload; /* in the asker's bytes */
};

/* One request that is answered at once; the schedule fails when it is refused. */
void host_ask(struct host *host, struct inner *inner, uint32_t thread, unsigned type, const uint8_t *message,
              size_t message_bytes, struct host_reply *reply);

/* The same; a refusal goes to *error, and nothing fails. */
enum canyon_status host_try(struct host *host, struct inner *inner, uint32_t thread, unsigned type,
                            const uint8_t *message, size_t message_bytes, struct host_reply *reply,
                            struct error *error);

#endif
