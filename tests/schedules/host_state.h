/* What the files of a host offer each other: host.c (life), seat.c (connections), host_log.c (the log). */
#ifndef CANYON_TESTS_SCHEDULES_HOST_STATE_H
#define CANYON_TESTS_SCHEDULES_HOST_STATE_H

#include "tests/schedules/host.h"

/* One connection, as server/connection.c has it: frames in, replies out, in bytes. */
struct seat {
    struct handler_peer peer; /* first */
    struct host *host;
    struct link *link;
    uint32_t thread;
    struct frame_reader reader;
    bool greeted, over;
    bool closing; /* when all is written */
    uint8_t *out; /* owned; what the link did not take yet */
    size_t out_bytes, out_room;
    struct seat *next;
};

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
