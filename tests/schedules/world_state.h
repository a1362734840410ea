/* What a world is made of: world.c (what happens), idling.c (a time in which nothing does), founding.c (its parameters,
 * and reading them in the end). */
#ifndef CANYON_TESTS_SCHEDULES_WORLD_STATE_H
#define CANYON_TESTS_SCHEDULES_WORLD_STATE_H

#include "tests/schedules/director.h"
#include "tests/schedules/host.h"
#include "tests/schedules/intruder.h"
#include "tests/schedules/network.h"
#include "tests/schedules/oracle.h"
#include "tests/schedules/rogue.h"
#include "tests/schedules/worker.h"

#define STRIKES       6
#define WORLD_HOSTS   2
#define WORLD_WORKERS 4
#define WORLD_TENSORS 8
#define WORLD_DROPPED 7 /* the tensor that is dropped meanwhile */

struct world {
    struct schedule schedule;
    struct network network;
    struct oracle oracle;
    struct stage stage;
    struct job job;
    struct host hosts[WORLD_HOSTS];
    struct worker workers[WORLD_WORKERS];
    unsigned worker_count;
    struct rogue rogue; /* zeroed where there is none */
    struct tensor_info tensors[WORLD_TENSORS];
    struct inner inner;        /* who asks from within */
    unsigned strikes[STRIKES]; /* permille of each kind */
    bool paced;                /* workers count clocks, and there are modes */
    bool fickle;               /* now and then nobody lives, and the mode changes often */
    uint32_t lease_ms;
    struct director director;
    struct intruder intruder;
    bool forgetful; /* servers forget sessions soon */
    uint64_t longest_stop;
    bool healed;
    struct worker *doomed; /* dies after the idle time, NULL: has died */
    bool idle;
    uint64_t kills, losses, stops, idles;
};

/* A job, its servers, its tensors and tables, and the oracle's cells. */
void world_found(struct world *world);
/* Plans that a tensor is dropped, on one thread after another. */
void world_drop(struct world *world);
void world_demolish(struct world *world);

/* With everybody gone the servers have nothing to do for an hour; then all have work again, and one dies in the midst
 * of it. Of a paced world that is healed. */
void world_idle(struct world *world);

/* Reads every cell, and lets the oracle judge; replays the logs. */
void world_judge(struct world *world);

#endif
