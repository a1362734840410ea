/* A table part: the rows of one table that live in one shard, with their optimizer state.
 *
 * A row comes to be when it is first pushed to or touched. Its first weights depend on the table (seed and name) and
 * its id only (initializer.h), its first slots on the settings at that time; its step is 0. A push updates the rows it
 * names and no other: weight decay and averages of other rows stand still (the lazy rule, torch.optim.SparseAdam's).
 *
 * The step that an optimizer sees is the row's own count of pushes, a u32 that stays at 2^32 - 1 once it is there
 * (where every bias correction has been 1 for long); or, where the setting `steps` is `shard`, the count of pushes to
 * the table in this shard, with one set of the optimizer's scalars for all rows. A schedule's argument is the largest
 * clock that a push to the table in this shard had.
 *
 * An id that a batch has several times is one row: its gradients are added first, in the order in which they come, and
 * what is not finite in the sum is treated as the policy says. So it makes no difference whether a client adds them up.
 *
 * State is what table_digest covers: rows by id, and counts. Where rows lie, the order of places, the index and its
 * secret are not. Memory a row beyond weights and slots: index 14.5 bytes, step and clock 8, chunks not yet full: no
 * more than 24 bytes from about 1,000 rows in the shard on. Below that it is more, since the least index has 8 KiB and
 * the least chunk of marks 4 KiB.
 * Pure, not thread-safe. */
#ifndef CANYON_SERVER_TABLE_H
#define CANYON_SERVER_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/hash.h"
#include "common/job.h"
#include "common/tensor.h"
#include "server/directory.h"
#include "server/initializer.h"
#include "server/row_contributions.h"
#include "server/row_index.h"
#include "server/row_store.h"
#include "server/rule.h"
#include "server/workspace.h"

#define TABLE_NO_CAP UINT64_MAX

struct table {
    struct directory_key key;       /* id, and the name in spec */
    struct tensor_spec spec;        /* canonical, as defined */
    struct optimizer_spec settings; /* canonical, as they are now */
    uint64_t epoch;                 /* of the settings; 0 for those of the spec */
    struct rule rule;               /* the settings, read */
    struct initializer_recipe recipe;
    uint32_t shard;
    size_t dim;
    uint64_t cap;                      /* rows, at most; TABLE_NO_CAP */
    uint64_t version;                  /* pushes applied */
    uint64_t clock;                    /* the largest of a push */
    double scalars[OPTIMIZER_SCALARS]; /* where steps is shard */
    uint64_t kept, skipped, clipped;   /* elements, as of a dense part */
    struct workspace *workspace;       /* borrowed */
    struct row_index index;
    struct row_store store;
    uint64_t staleness; /* of the push that comes next: of its gradient's weights; no part of the state */
    struct row_contributions *contributions; /* of the clock that is open; made for the first one; NULL before */
    uint64_t *reserved;                      /* keys of rows that were made by table_reserve; no part of the state */
    size_t reserved_count;
};

/* Bytes that table_create takes for a canonical spec: an index for the shard's share of the capacity. */
uint64_t table_define_bytes(const struct job *job, const struct tensor_spec *spec);

/* Makes an empty part. `spec` is canonical (copied); the workspace is borrowed for the part's life. NULL when memory
 * cannot be had. */
struct table *table_create(const struct job *job, uint32_t shard, uint64_t id, const struct tensor_spec *spec,
                           struct workspace *workspace);
void table_destroy(struct table *table);

/* Takes other settings for the same optimizer and the same steps, canonical ones, from the next push on. */
void table_adjust(struct table *table, const struct optimizer_spec *settings, uint64_t epoch);

/* Rows; bytes of their weights and slots; bytes taken for them all in all. */
uint64_t table_rows(const struct table *table);
uint64_t table_value_bytes(const struct table *table);
uint64_t table_bytes(const struct table *table);

/* The most bytes that `rows` new rows can add to table_bytes. */
uint64_t table_room(const struct table *table, uint64_t rows);

/* ---- Operations on a batch of ids, of which there are at most LIMIT_BATCH_ROWS (table_batch.c) ---- */

/* Makes the rows of these ids that are not there, so that of a push or a touch nothing can fail any more but what
 * concerns gradients. TOO_LARGE when there would be more than the cap, NO_MEMORY, and BUSY when ids crowd one place of
 * the index (row_index.h); no row was made then. The push or touch is to follow before anything else is done with the
 * table, or else table_release, which unmakes them. */
enum canyon_status table_reserve(struct table *table, const uint64_t *ids, size_t count, struct error *error);
void table_release(struct table *table);

/* Updates the rows of these ids by `gradients` [count x dim]. `out` receives the rows' weights afterwards, [count x
 * dim] in the order of ids; or is NULL. NOT_FINITE, where the policy is to refuse, names rows; otherwise errors of
 * table_reserve. On an error no row has changed and none was made. */
enum canyon_status table_push(struct table *table, const uint64_t *ids, size_t count, const float *gradients,
                              uint64_t clock, float *out, struct error *error);

/* Makes the rows that are not there and notes for all that they were touched at this clock; *changed says whether that
 * made any difference. `out` as above. Errors of table_reserve. */
enum canyon_status table_touch(struct table *table, const uint64_t *ids, size_t count, uint64_t clock, float *out,
                               bool *changed, struct error *error);

/* Whose contribution, and how those of a clock are added up. */
struct giving {
    uint32_t rank;
    enum consistency_order order;
};

/* As table_push and table_reserve, but the gradients are kept until table_close; the rows that are not there are made
 * now, with a step of 0. Errors of table_push, and NO_MEMORY where the gradients cannot be kept. After it closing needs
 * no memory. (table_contribute.c) */
enum canyon_status table_contribute(struct table *table, const uint64_t *ids, size_t count, const float *gradients,
                                    const struct giving *giving, float *out, struct error *error);
enum canyon_status table_reserve_contribution(struct table *table, const uint64_t *ids, size_t count,
                                              const struct giving *giving, struct error *error);

/* Bytes that contributions take, which are among table_bytes; the most by which one can let them grow, `exact` as of
 * shard_growth (NO_MEMORY). Gives them back where nothing is contributed. */
uint64_t table_contributed(const struct table *table);
enum canyon_status table_contribution_room(struct table *table, const uint64_t *ids, size_t count,
                                           const struct giving *giving, bool exact, uint64_t *bytes,
                                           struct error *error);
void table_trim(struct table *table);

/* Applies what is contributed as one push of this clock, which has each row once: nothing where there is none. */
void table_close(struct table *table, uint64_t clock, enum consistency_combine combine);

/* Removes rows, and what was contributed to them; *erased receives how many were there. Their places are used again;
 * their ids begin anew when they come again. NO_MEMORY, when nothing has changed. */
enum canyon_status table_erase(struct table *table, const uint64_t *ids, size_t count, uint64_t *erased,
                               struct error *error);

/* How many of these ids have no row, each counted once. NO_MEMORY. */
enum canyon_status table_missing(struct table *table, const uint64_t *ids, size_t count, uint64_t *missing,
                                 struct error *error);

/* ---- Reading (table_read.c); changes nothing ---- */

/* Copies the rows' weights to `out` [count x dim]; a row that is not there has its initial ones. NO_MEMORY. */
enum canyon_status table_pull(const struct table *table, const uint64_t *ids, size_t count, float *out,
                              struct error *error);

/* A row as it is; pointers are borrowed until the table changes. */
struct table_row {
    uint64_t id;
    uint32_t step, clock;
    const float *values; /* weights, then each slot (server/row_store.h) */
    const double *scalars;
};

/* False when there is none of that id. */
bool table_row(const struct table *table, uint64_t id, struct table_row *row);

/* Walks through the rows in order of their ids: the lowest `room` ids from `from` on, of which *count says how many
 * there are. Takes one pass over the index, whatever the room: ask for thousands at a time. */
void table_next(const struct table *table, uint64_t from, size_t room, uint64_t *ids, size_t *count);

/* Adds everything but the table's id to the hash: spec, settings, counts, and the sum (of 64-bit words) over all rows
 * of BLAKE2b-256 of id, step, clock, values and scalars. The sum has no order, so neither has the digest. */
void table_digest(const struct table *table, struct hash *hash);

/* That sum alone, which is also the same however many shards the rows are spread over. */
void table_sum(const struct table *table, uint64_t sum[HASH_BYTES / 8]);

#endif
