/* The director changes the job's mode now and then, from a clock ahead of all workers on, as client/consistency.c does:
 * asks all threads, then tells each of them, one after another. */
#ifndef CANYON_TESTS_SCHEDULES_DIRECTOR_H
#define CANYON_TESTS_SCHEDULES_DIRECTOR_H

#include "tests/schedules/host.h"

#define DIRECTOR_THREADS 8

struct director {
    struct schedule *schedule;
    struct host *hosts;
    uint32_t host_count;
    struct inner inner;
    uint64_t highest;                    /* of all clocks that it ever heard of */
    struct consistency last;             /* mode that it drew */
    struct message_consistency message;  /* what it sets just now */
    unsigned restarts[DIRECTOR_THREADS]; /* of hosts, when it asked */
    bool refused;                        /* somebody did not take it: */
    bool disagreed;                      /* so threads may differ, and it knows */
    uint64_t pause;                      /* between two changes, at most */
    bool done;
    uint64_t changes, conflicts;
};

/* At the first clock, before anybody comes. */
void director_found(struct director *director, struct schedule *schedule, struct host *hosts, uint32_t host_count);
/* Plans its changes, so long apart at most; until director_stop. */
void director_begin(struct director *director, uint64_t pause);
void director_stop(struct director *director);
/* The schedule fails where threads differ and nobody was told. */
void director_judge(struct director *director);
void director_finish(struct director *director);

#endif
