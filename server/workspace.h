/* A workspace is what the tables of a thread share, none of it state: the secret of their row keys, the pool of their
 * memory, the scratch room of one operation, and prepared constants.
 *
 * Whoever owns the shards makes one and lends it to them (shard_lend). One thread uses it. */
#ifndef CANYON_SERVER_WORKSPACE_H
#define CANYON_SERVER_WORKSPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/memory.h"
#include "server/pool.h"
#include "server/prepared.h"
#include "server/row_store.h"
#include "server/rowkey.h"

struct table_found;

#define WORKSPACE_PREPARED 8 /* sets of prepared constants kept at a time, 100 KiB each */

/* Room for an operation on `rows` ids; see server/table_batch.h for what stands there. */
struct workspace_scratch {
    size_t rows, floats, slots; /* how many there is room for */
    uint64_t *keys;
    struct row_at *at;
    uint32_t *which, *table;
    uint64_t *ids, *made;
    float *values;
};

struct workspace {
    struct pool *pool;
    struct rowkey rowkey;
    struct workspace_scratch scratch;
    struct table_found *found; /* rows of the operation that is next, which takes it; NULL: it looks them up */
    float *row;
    size_t row_floats;
    struct prepared *prepared[WORKSPACE_PREPARED];
    uint64_t uses;
};

/* `secret` is ROWKEY_SECRET_BYTES random bytes, which nobody who names rows may know. `memory` is borrowed. NULL when
 * memory cannot be had. */
struct workspace *workspace_create(const struct memory *memory, const uint8_t *secret);
/* Every table that used it is gone. Safe on NULL. */
void workspace_destroy(struct workspace *workspace);

/* Room for as many ids, and for gradients that are added up. False when memory cannot be had. */
bool workspace_rows(struct workspace *workspace, size_t rows);
bool workspace_floats(struct workspace *workspace, size_t floats);

/* Room for one more row of so many numbers, valid until it is asked for again. NULL when memory cannot be had;
 * for what there was room before there is again. */
float *workspace_row(struct workspace *workspace, size_t dim);

/* The set for an optimizer under these hyperparameters (OPTIMIZER_HYPERPARAMETERS of them, zeros behind), perhaps made
 * anew in place of the one used longest ago. NULL when memory cannot be had. */
struct prepared *workspace_prepared(struct workspace *workspace, const struct optimizer *optimizer,
                                    const double *hyper);

/* The same without taking memory, in place of the set used longest ago, which may be equal to what is asked for. NULL
 * where no set was made yet. */
struct prepared *workspace_displace(struct workspace *workspace, const struct optimizer *optimizer,
                                    const double *hyper);

#endif
