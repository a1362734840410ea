#include "tests/bench/suite/row_batches.h"

#include <stdlib.h>

#include "client/simulator/counter.h"
#include "client/simulator/draws.h"
#include "client/simulator/load_rows.h"
#include "tests/bench/limits/limit.h"

#define SEED 20240607

uint64_t row_batches_id(uint64_t rank) {
    return load_row_id(rank);
}

static uint64_t common_divisor(uint64_t a, uint64_t b) {
    while (b != 0) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

uint64_t row_batches_step(uint64_t rows) {
    uint64_t step = rows / 2 + 1;
    while (common_divisor(step, rows) != 1)
        step++;
    return step;
}

static int by_number(const void *one, const void *other) {
    const uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

static void make_batch(struct row_batch *batch, const struct draws *law, uint64_t stream, size_t draws) {
    batch->ids = malloc(draws * sizeof batch->ids[0]);
    limit_must(batch->ids != NULL, "memory");
    for (size_t i = 0; i < draws; i++)
        batch->ids[i] = row_batches_id(draws_of(law, counter_bits(SEED, stream, i)));
    qsort(batch->ids, draws, sizeof batch->ids[0], by_number); /* ids are like hashes: their order is nobody's */
    batch->count = 0;
    for (size_t i = 0; i < draws; i++) {
        if (i == 0 || batch->ids[i] != batch->ids[batch->count - 1])
            batch->ids[batch->count++] = batch->ids[i];
    }
}

void row_batches_make(struct row_batches *batches, uint64_t rows, size_t draws, size_t count) {
    struct draws law;
    limit_must(draws_make(&law, rows, ROW_BATCHES_EXPONENT), "memory");
    *batches = (struct row_batches){.items = calloc(count, sizeof batches->items[0]), .count = count};
    limit_must(batches->items != NULL, "memory");
    for (size_t i = 0; i < count; i++) {
        make_batch(&batches->items[i], &law, i, draws);
        batches->rows += batches->items[i].count;
        batches->most = batches->items[i].count > batches->most ? batches->items[i].count : batches->most;
    }
    draws_finish(&law);
}

void row_batches_finish(struct row_batches *batches) {
    for (size_t i = 0; i < batches->count; i++)
        free(batches->items[i].ids);
    free(batches->items);
    *batches = (struct row_batches){.items = NULL};
}
