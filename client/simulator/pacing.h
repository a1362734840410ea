/* How a run's workers keep together: the words of --consistency, --staleness-policy and --straggle.
 *
 * Without a mode workers do not count clocks: they push, and go on with what comes back. With one a step is: clock,
 * pull, compute, push; the servers let pulls wait. */
#ifndef CANYON_SIMULATOR_PACING_H
#define CANYON_SIMULATOR_PACING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACING_WORKERS_HIGH 256
#define PACING_DELAY_HIGH   60000 /* milliseconds */
#define PACING_BOUND_HIGH   1000000000
#define PACING_TEXT_BYTES   256

/* Begin with zeros: no mode, the servers' policy, nobody is slow. */
struct pacing {
    const char *mode;                       /* as canyon_options.consistency; NULL: no clocks are counted */
    bool sync;                              /* it is synchronous */
    char policy[32];                        /* as it was asked for, "refuse:8"; "" for none */
    char staleness[64];                     /* the same as an optimizer's settings, "" for none */
    uint32_t delay_ms[PACING_WORKERS_HIGH]; /* how long each worker sleeps in every step */
    bool slows;                             /* one of them does */
};

/* "async", "ssp:S", or "sync" with ":" and words: mean or sum, arrival or rank, minimum=N. `text` is kept. False, with
 * `why`, for anything else. What servers make of it is theirs to say. */
bool pacing_mode(struct pacing *pacing, const char *text, char *why, size_t bytes);

/* "accept", "scale" or "refuse:N". False with `why` for anything else. */
bool pacing_policy(struct pacing *pacing, const char *text, char *why, size_t bytes);

/* "K:MS" or a list of such, "0:20,3:5": worker K, counted from 0 and below `workers`, sleeps MS milliseconds more in
 * every step; several for one worker add up. False with `why` for anything else. */
bool pacing_straggle(struct pacing *pacing, const char *text, uint32_t workers, char *why, size_t bytes);

/* Sleeps as long as that worker does in a step. */
void pacing_sleep(const struct pacing *pacing, uint32_t worker);

#endif
