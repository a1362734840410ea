/* A batch of ids on its way through a table: looked up, each row once, with its gradient.
 *
 * Private to server/table_*.c. Everything stands in the workspace's scratch room, until the next batch. */
#ifndef CANYON_SERVER_TABLE_BATCH_H
#define CANYON_SERVER_TABLE_BATCH_H

#include "server/table.h"
#include "server/table_found.h"

/* Searches and rows are asked for so many ids ahead of their use: measured (tests/bench/table.c); memory answers that
 * late. */
#define BATCH_AHEAD_INDEX 32
#define BATCH_AHEAD_ROWS  16
#define BATCH_AHEAD_NEW   6

struct table_batch {
    size_t count;        /* rows, each once */
    const uint64_t *ids; /* of them */
    const uint64_t *keys;
    struct row_at *rows;    /* NULLs where there is no row */
    const float *gradients; /* [count x dim], or NULL */
    const uint32_t *which;  /* of each id that was given: its row's number in here; NULL where they are the same */
    size_t given, missing;
    size_t behind; /* entries of `rows` that follow those of this batch; and whether the first of its own were asked
                    * for: see server/table_found.h */
    bool asked;
};

/* Looks ids up, or takes what was found already, and adds up what is there twice. NO_MEMORY; NOT_FINITE where gradients
 * are given, are not finite after that, and the table refuses them. */
enum canyon_status batch_begin(struct table *table, const uint64_t *ids, size_t count, const float *gradients,
                               struct table_batch *batch, struct error *error);

/* Makes the missing rows, and puts them where they are missing, whose keys workspace->scratch.made then has, *new of
 * them. Errors as of table_reserve, and none was made. */
enum canyon_status batch_create(struct table *table, struct table_batch *batch, size_t *new, struct error *error);

/* Says of the rows that were missing where they were made; the batch began with what was found. */
void batch_tell(const struct table_batch *batch, struct table_found *found);

/* What was reserved is the table's from now on. */
void batch_keep(struct table *table);

/* Removes a row. False when it is not there. */
bool batch_unmake(struct table *table, uint64_t key);

/* Weights and slots of a row that is asked for, ahead of time. */
ROW_AHEAD batch_prefetch(const struct table *table, struct row_at row) {
    const char *record = (const char *)row.values;
    if (record == NULL) {
        return;
    }
    __builtin_prefetch(row.marks, 1);
    for (size_t at = 0; at < table->store.layout.record && at < 512; at += 64) {
        __builtin_prefetch(record + at, 1);
    }
}
/* The weights alone, to read them. */
ROW_AHEAD batch_prefetch_weights(const struct table *table, struct row_at row) {
    const char *record = (const char *)row.values;
    if (record == NULL) {
        return;
    }
    for (size_t at = 0; at < table->dim * sizeof(float) && at < 512; at += 64) {
        __builtin_prefetch(record + at);
    }
}
/* To read them and to note that they were touched. */
ROW_AHEAD batch_prefetch_touch(const struct table *table, struct row_at row) {
    __builtin_prefetch(row.marks, 1);
    batch_prefetch_weights(table, row);
}

#endif
