/* Batches of ids for what measures tables: draws by Zipf's law, each batch merged to its unique ids before anything is
 * timed. The same numbers give the same batches in every program. Missing memory ends the program. */
#ifndef TESTS_BENCH_SUITE_ROW_BATCHES_H
#define TESTS_BENCH_SUITE_ROW_BATCHES_H

#include <stddef.h>
#include <stdint.h>

#define ROW_BATCHES_EXPONENT 1.05

struct row_batch {
    uint64_t *ids; /* unique, in an order that has nothing to do with how often they are drawn */
    size_t count;
};

struct row_batches {
    struct row_batch *items;
    size_t count;
    size_t rows; /* of all batches together: a row counts in each that has it */
    size_t most; /* of a batch */
};

/* The id of the row that is drawn most often, second most, ... */
uint64_t row_batches_id(uint64_t rank);

/* A step through 0 to rows - 1 that meets every number once and goes far each time: rows are made in the order of
 * 0, step, 2 step, ... modulo rows, so that those that are drawn often do not lie side by side. */
uint64_t row_batches_step(uint64_t rows);

/* `count` batches of `draws` draws from `rows` rows. */
void row_batches_make(struct row_batches *batches, uint64_t rows, size_t draws, size_t count);
void row_batches_finish(struct row_batches *batches);

#endif
