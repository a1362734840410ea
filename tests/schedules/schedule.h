/* A schedule is what happens in one run of the simulator: events in virtual time, in an order that one number decides.
 *
 * Every choice is drawn from the generator here, and time passes only from event to event, so the same seed gives the
 * same run, bit for bit. What callbacks point to must live as long as the schedule. Single-threaded. */
#ifndef CANYON_TESTS_SCHEDULES_SCHEDULE_H
#define CANYON_TESTS_SCHEDULES_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MICROSECOND 1000ull
#define MILLISECOND 1000000ull
#define SECOND      1000000000ull

typedef void (*schedule_event)(void *user, uint64_t argument);

struct schedule_entry {
    uint64_t time, order;
    schedule_event event;
    void *user;
    uint64_t argument;
};

struct schedule {
    uint64_t seed, random;
    uint64_t now;                /* virtual nanoseconds */
    uint64_t order;              /* events that were ever planned */
    uint64_t executed;           /* and carried out */
    bool verbose;                /* trace to stdout */
    bool failed;                 /* something was found to be wrong: */
    char failure[512];           /* the first thing */
    struct schedule_entry *heap; /* owned; by time, then by order of planning */
    size_t count, room;
};

void schedule_init(struct schedule *schedule, uint64_t seed, bool verbose);
void schedule_finish(struct schedule *schedule);

/* Plans `event` for `time`, or for now when that is past. */
void schedule_at(struct schedule *schedule, uint64_t time, schedule_event event, void *user, uint64_t argument);

/* Carries out the next event; false when there is none. */
bool schedule_step(struct schedule *schedule);

/* 0 <= x < limit, which is above 0. */
uint64_t schedule_below(struct schedule *schedule, uint64_t limit);
/* low <= x <= high. */
uint64_t schedule_between(struct schedule *schedule, uint64_t low, uint64_t high);
/* True in `permille` of 1,000 cases. */
bool schedule_chance(struct schedule *schedule, unsigned permille);
void schedule_bytes(struct schedule *schedule, void *bytes, size_t count);

/* A line of the trace. */
void schedule_trace(struct schedule *schedule, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The run has failed: the first text is kept. */
void schedule_fail(struct schedule *schedule, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Memory that is there: a simulation without it cannot go on. */
void *schedule_memory(void *memory);

#endif
