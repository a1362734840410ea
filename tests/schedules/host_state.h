/* What the files of a host offer each other: host.c (life), seat.c (connections), host_log.c (the log). */
#ifndef CANYON_TESTS_SCHEDULES_HOST_STATE_H
#define CANYON_TESTS_SCHEDULES_HOST_STATE_H

#include "tests/schedules/host.h"

#define SEAT_READER "reader" /* names that begin so have no other role */
#define SEAT_RECORD 8192     /* bytes that are recorded of a connection, at most */

/* One connection, as server/connection.c has it: frames in, replies out, in bytes. */
struct seat {
    struct handler_peer peer; /* first */
    struct host *host;
    struct link *link;
    uint32_t thread;
    struct frame_reader reader;
    bool greeted, over;
    bool closing;    /* when all is written */
    bool left;       /* its session is over */
    bool lost;       /* while the host was stopped */
    uint64_t waited; /* the last stop of the host after which it had a turn */
    bool echoes;     /* plays again what another sent: only beside one of the same session, which lives */
    uint8_t *record; /* owned: its greeting, and requests that have numbers or change nothing, as they came */
    size_t record_bytes;
    uint8_t *out; /* owned; what the link did not take yet */
    size_t out_bytes, out_room;
    struct seat *next;
};

/* All that has waited while the host was stopped. */
void seats_go_on(struct host *host);
/* What is due on a thread, and what comes of it. */
void seats_tick(struct host *host, uint32_t thread);

void seat_destroy(struct seat *seat);
/* The process is gone: its connections with it. */
void seats_abandon(struct host *host);

/* From now on what the shards do is logged. */
void host_watch(struct host *host);
/* Brings fresh handlers to where the log ends. */
void host_replay(struct host *host, struct handler *const *handlers);
/* Of the log only what was defined is left. */
void host_forget(struct host *host);

#endif
