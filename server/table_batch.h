/* A batch of ids on its way through a table: looked up, each row once, with its gradient.
 *
 * Private to server/table_*.c. Everything stands in the workspace's scratch room, until the next batch. */
#ifndef CANYON_SERVER_TABLE_BATCH_H
#define CANYON_SERVER_TABLE_BATCH_H

#include "server/table.h"

/* Searches and rows are asked for so many ids ahead of their use: measured (tests/bench/table.c); memory answers that
 * late. */
#define BATCH_AHEAD_INDEX 32
#define BATCH_AHEAD_ROWS  12

/* In the place of an index entry, while a batch is under way: its row was met in this batch. */
#define BATCH_MET ROW_PLACES

struct table_batch {
    size_t count;               /* rows, each once */
    const uint64_t *ids;        /* of them */
    struct row_entry **entries; /* NULL where there is no row; borrowed until the index changes */
    const float *gradients;     /* [count x dim], or NULL */
    const uint32_t *which;      /* of each id that was given: its row's place in here; NULL where they are the same */
    size_t given, missing;
    bool marked; /* the entries are */
};

/* Looks ids up and adds up what is there twice. NO_MEMORY; NOT_FINITE where gradients are given, are not finite after
 * that, and the table refuses them. No entry is left marked then. */
enum canyon_status batch_begin(struct table *table, const uint64_t *ids, size_t count, const float *gradients,
                               struct table_batch *batch, struct error *error);

/* Makes the missing rows; errors as of table_reserve, and none was made. */
enum canyon_status batch_create(struct table *table, struct table_batch *batch, struct error *error);

/* Removes a row. False when it is not there. */
bool batch_unmake(struct table *table, uint64_t key);

/* Takes the marks off, if there are any, for those who do not do so in passing. */
void batch_unmark(struct table_batch *batch);

/* Weights and slots of a row that is asked for, ahead of time. */
static inline __attribute__((always_inline)) void batch_prefetch(const struct table *table,
                                                                 const struct row_entry *entry) {
    uint32_t place = entry->place & ~BATCH_MET;
    const char *record = (const char *)row_store_at(&table->store, place);
    __builtin_prefetch(row_store_clock(&table->store, place), 1);
    for (size_t at = 0; at < table->store.layout.record && at < 512; at += 64) {
        __builtin_prefetch(record + at, 1);
    }
}
/* The weights alone, to read them. */
static inline __attribute__((always_inline)) void batch_prefetch_weights(const struct table *table,
                                                                         const struct row_entry *entry) {
    const char *record = (const char *)row_store_at(&table->store, entry->place);
    for (size_t at = 0; at < table->dim * sizeof(float) && at < 512; at += 64) {
        __builtin_prefetch(record + at);
    }
}

#endif
