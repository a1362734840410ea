/* When a load's calls are due, and what each of them is. Pure arithmetic: every process knows every worker's schedule.
 *
 * A logical worker is a number. In a closed loop it keeps `in_flight` calls under way: when one ends it thinks for
 * `think` and begins the next. In an open loop the calls of all workers together are due at a fixed rate, evenly: call
 * n of worker w of W is the (n * W + w)-th of all and due at that many rate-ths of a second after the beginning,
 * whether or not earlier ones have ended. What cannot begin when it is due waits its turn; nothing is left out. */
#ifndef CANYON_SIMULATOR_LOAD_PACE_H
#define CANYON_SIMULATOR_LOAD_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define LOAD_IN_FLIGHT_HIGH 64
#define LOAD_NEVER          UINT64_MAX

enum load_kind { LOAD_PUSH_PULL, LOAD_PUSH, LOAD_PULL };
#define LOAD_KINDS 3

/* Times are nanoseconds. */
struct load_pace {
    uint32_t workers;
    uint32_t in_flight;       /* calls that a worker has under way at most: 1 to LOAD_IN_FLIGHT_HIGH */
    double rate;              /* calls a second of all workers together; 0: a closed loop */
    uint64_t think;           /* of a closed loop: between a call's end and the next one's beginning */
    uint32_t stragglers;      /* so many workers, those with the lowest numbers, are slow: */
    uint64_t straggle;        /* they begin every call so much later */
    uint64_t seed;            /* of the mix */
    uint32_t mix[LOAD_KINDS]; /* how many calls in a hundred are of each kind; 100 together */
};

/* When call `number` of a worker is due, counted from the beginning; of an open loop only. */
uint64_t load_pace_due(const struct load_pace *pace, uint32_t worker, uint64_t number);

/* How many calls of a worker are due before `time`, counted from the beginning; of an open loop only. */
uint64_t load_pace_due_before(const struct load_pace *pace, uint32_t worker, uint64_t time);

/* How much later than others this worker begins a call. */
uint64_t load_pace_delay(const struct load_pace *pace, uint32_t worker);

/* What a call is: drawn from the mix by (seed, worker, number) alone. */
enum load_kind load_pace_kind(const struct load_pace *pace, uint32_t worker, uint64_t number);

/* "push_pull", "push", "pull". */
const char *load_kind_name(enum load_kind kind);
static inline bool load_kind_pushes(enum load_kind kind) {
    return kind != LOAD_PULL;
}
static inline bool load_kind_pulls(enum load_kind kind) {
    return kind != LOAD_PUSH;
}

#endif
