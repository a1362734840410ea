/* An intruder listens to the connections of a server and opens others: with the session of somebody who is there, and
 * another key; or with what was sent over a connection that is still there, sent once more. Neither may change
 * anything, or end anybody's connection.
 *
 * What it plays again is the greeting and what has numbers or only reads: who can play a RESUME or LEAVE again has
 * broken the channel, whose affair that is. */
#ifndef CANYON_TESTS_SCHEDULES_INTRUDER_H
#define CANYON_TESTS_SCHEDULES_INTRUDER_H

#include "tests/schedules/host.h"

#define INTRUDER_NAME  "intruder" /* of the other key */
#define INTRUDER_LINES 32

struct intruder_line {
    struct intruder *intruder;
    struct host *host;
    struct link *link;
    bool replays;
    uint8_t *bytes; /* owned: what it sends */
    size_t count, sent;
};

struct intruder {
    struct schedule *schedule;
    struct network *network;
    struct host *hosts;
    uint32_t host_count;
    struct intruder_line lines[INTRUDER_LINES];
    unsigned line_count;
    bool done;
    uint64_t pretended, replayed;
};

/* Plans what it does, until intruder_stop. */
void intruder_begin(struct intruder *intruder, struct schedule *schedule, struct network *network, struct host *hosts,
                    uint32_t host_count);
void intruder_stop(struct intruder *intruder);
void intruder_finish(struct intruder *intruder);

#endif
