/* Rows of several tables, looked up together before anything is done with them.
 *
 * A frame has rows of many shards, a handful of each. Looking them up one shard after another would wait for memory at
 * the beginning of every one, and once more when their rows are updated. So whoever has several operations to carry out
 * looks up the rows of all first, which reads the indexes of all shards as if they were one, and lends each operation
 * what was found (struct command, `found`); an operation then asks for the rows of the next one while it works on its
 * own.
 *
 * What was found of a table is true until the table changes: no table may come twice among operations that are looked
 * up together. Not thread-safe. */
#ifndef CANYON_SERVER_TABLE_FOUND_H
#define CANYON_SERVER_TABLE_FOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/row_store.h"

struct table;

/* The rows of one operation. Keys and rows are the caller's memory. */
struct table_found {
    const struct table *table;
    const uint64_t *ids;   /* `count` of them, at most LIMIT_BATCH_ROWS; and */
    const uint64_t *keys;  /* of the workspace's secret (server/rowkey.h) */
    struct row_at *rows;   /* receives where they are; an operation that makes rows puts in what it made */
    size_t count, missing; /* rows[i].values is NULL for `missing` of the ids; such an id may come twice */
    size_t behind;         /* entries that follow the last one of `rows` in memory: those of later operations, where
                            * NULL stands for none */
    bool asked;            /* the first rows were asked for already, by the operation before */
};

/* Looks all rows up: fills `rows` and `missing` of each. */
void table_find(struct table_found *found, size_t operations);

#endif
