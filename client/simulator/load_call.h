/* The calls of a load process: places for those under way, their buffers, and what their ends are counted as. */
#ifndef CANYON_SIMULATOR_LOAD_CALL_H
#define CANYON_SIMULATOR_LOAD_CALL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "canyon.h"
#include "client/simulator/load_link.h"
#include "client/simulator/load_plan.h"
#include "client/simulator/load_share.h"
#include "client/simulator/load_worker.h"

struct load_calls;

/* A place for a call. While it is under way the library writes to its items and weights. */
struct load_place {
    struct load_calls *calls;
    struct load_place *next; /* free ones of a worker, or those that ended */
    uint32_t worker;         /* among the process's: its number is process + worker * processes */
    struct load_call call;
    enum canyon_status status;
    uint64_t ended; /* when */
    struct canyon_item *items;
    struct canyon_batch batch; /* of a table */
    uint64_t *ids;
    float *weights, *gradient; /* of all tensors, one after another; `gradient` when verifying, else NULL */
};

/* The places of a process. One thread uses it; the library's threads only put ended calls on its list. */
struct load_calls {
    const struct load_plan *plan;
    struct load_process *counts;
    struct load_link *link;
    uint32_t process;
    uint64_t blocks; /* of each tensor */
    uint32_t under_way;
    struct load_place *places; /* in_flight of each worker */
    uint32_t place_count;
    struct load_place **free; /* of each worker */
    struct canyon_item *items;
    float *gradient; /* of everybody, when not verifying */
    pthread_mutex_t lock;
    pthread_cond_t ended; /* on the monotonic clock */
    struct load_place *first, **last;
};

/* Makes places for `workers` workers. The link must be open and outlive it. False without memory; finish it in any
 * case, but not before every call has ended. */
bool load_calls_init(struct load_calls *calls, const struct load_plan *plan, struct load_process *counts,
                     struct load_link *link, uint32_t process, uint32_t workers);
void load_calls_finish(struct load_calls *calls);

/* Begins a call of one worker (counted within the process), which must have a free place. It ends by appearing on the
 * list, also when it could not be begun. `blocking`: it has ended when this returns. */
void load_calls_begin(struct load_calls *calls, uint32_t worker, const struct load_call *call, bool blocking);

/* Those that ended since the last look, oldest first, linked through `next`; NULL when `until` passed without any. */
struct load_place *load_calls_wait(struct load_calls *calls, uint64_t until);

/* The number of the worker of whom the call is. */
uint32_t load_place_worker(const struct load_place *place);

/* Keeps what a verified load must know of a push that did not go as it should. */
void load_calls_remember(struct load_calls *calls, const struct load_failure *failure);

/* Counts an ended call, measured from `measure` to `end`, and frees its place. True when its worker should do nothing
 * for LOAD_BACKOFF_MS: it failed. */
bool load_calls_settle(struct load_calls *calls, struct load_place *place, uint64_t measure, uint64_t end);

#endif
