/* The limit of a push_pull of rows: the table's operation alone, in memory, without network, frames and client. It is
 * built on the server's own table modules, which makes it another kind of limit than those of limits/, in which there
 * is nothing of Canyon's; it obeys as they do (limits/limit.h).
 *
 * Each of T threads has a T-th of the shards, with tables of its own. A round is all batches, the same ones that the
 * worker has: each thread looks up those rows of a batch that are in its shards, all together as a server does with a
 * frame, pushes them, shard after shard, and takes the weights that come of it. Which rows are in which shard is found
 * out before.
 *
 * Figures of a round, in nanoseconds: its time, and this process's processor time. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/job.h"
#include "server/pages.h"
#include "server/shard.h"
#include "server/table_batch.h"
#include "server/table_found.h"
#include "tests/bench/limits/limit.h"
#include "tests/bench/suite/row_batches.h"

#define MOST_THREADS 16
#define FILL         256 /* rows of a shard made at once */

/* A thread's part of a batch: ids of its shards, those of one shard side by side. */
struct part {
    uint64_t *ids;
    size_t *begins; /* of each of its shards, and the end */
};

struct limit;

struct thread {
    struct limit *limit;
    size_t index, shards; /* shards of its own: index, index + T, ... */
    struct pages *pages;
    struct workspace *workspace;
    struct table **tables;
    struct part *parts; /* of each batch */
    float *out;
    uint64_t *keys; /* of a batch, and where its rows are, shard by shard */
    struct row_at *found_rows;
    struct table_found *found;
    pthread_t thread;
};

struct limit {
    struct job job;
    struct tensor_spec spec;
    size_t threads, dim;
    uint64_t rows;
    int first_core;
    struct row_batches batches;
    float *gradients;
    struct thread each[MOST_THREADS];
    pthread_barrier_t start, done;
    int stop;
};

/* Any hash does, but the one that ids are made with. */
static uint32_t shard_of(const struct limit *limit, uint64_t id) {
    return (uint32_t)((id * UINT64_C(0x9fb21c651e98df25)) >> 40) & (limit->job.shards - 1);
}

/* ---- preparing ---- */

static void make_tables(struct thread *thread) {
    static const uint8_t secret[ROWKEY_SECRET_BYTES] = {1, 2, 3};
    struct limit *limit = thread->limit;
    thread->shards = (limit->job.shards - thread->index + limit->threads - 1) / limit->threads;
    thread->pages = pages_create();
    thread->workspace = workspace_create(pages_memory(thread->pages), secret);
    thread->tables = calloc(thread->shards, sizeof thread->tables[0]);
    thread->out = limit_memory((limit->batches.most + 1) * limit->dim * sizeof(float));
    thread->keys = limit_memory((limit->batches.most + 1) * sizeof thread->keys[0]);
    thread->found_rows = limit_memory((limit->batches.most + 1) * sizeof thread->found_rows[0]);
    thread->found = calloc(thread->shards, sizeof thread->found[0]);
    limit_must(thread->workspace != NULL && thread->tables != NULL && thread->found != NULL, "memory");
    for (size_t i = 0; i < thread->shards; i++) {
        const uint32_t shard = (uint32_t)(thread->index + i * limit->threads);
        thread->tables[i] = table_create(&limit->job, shard, 1, &limit->spec, thread->workspace);
        limit_must(thread->tables[i] != NULL, "a table");
    }
}

static void touch(struct thread *thread, size_t place, const uint64_t *ids, size_t *held) {
    bool changed = false;
    struct error error = {.text = ""};
    if (*held > 0 && table_touch(thread->tables[place], ids, *held, 1, NULL, &changed, &error) != CANYON_OK)
        limit_fail("rows: %s", error.text);
    *held = 0;
}

/* Makes all its rows, in the order in which a worker makes them. */
static void fill_tables(struct thread *thread) {
    const struct limit *limit = thread->limit;
    const uint64_t step = row_batches_step(limit->rows);
    uint64_t *ids = calloc(thread->shards * FILL, sizeof ids[0]), at = 0;
    size_t *held = calloc(thread->shards, sizeof held[0]);
    limit_must(ids != NULL && held != NULL, "memory");
    for (uint64_t i = 0; i < limit->rows; i++, at = (at + step) % limit->rows) {
        const uint64_t id = row_batches_id(at);
        const uint32_t shard = shard_of(limit, id);
        const size_t place = shard / limit->threads;
        if (shard % limit->threads != thread->index)
            continue;
        ids[place * FILL + held[place]++] = id;
        if (held[place] == FILL)
            touch(thread, place, ids + place * FILL, &held[place]);
    }
    for (size_t place = 0; place < thread->shards; place++)
        touch(thread, place, ids + place * FILL, &held[place]);
    free(ids);
    free(held);
}

static void split(const struct thread *thread, const struct row_batch *batch, struct part *part) {
    const struct limit *limit = thread->limit;
    part->ids = calloc(batch->count + 1, sizeof part->ids[0]);
    part->begins = calloc(thread->shards + 1, sizeof part->begins[0]);
    size_t *at = calloc(thread->shards + 1, sizeof at[0]);
    limit_must(part->ids != NULL && part->begins != NULL && at != NULL, "memory");
    for (size_t i = 0; i < batch->count; i++) {
        const uint32_t shard = shard_of(limit, batch->ids[i]);
        if (shard % limit->threads == thread->index)
            part->begins[shard / limit->threads + 1]++;
    }
    for (size_t place = 0; place < thread->shards; place++) {
        part->begins[place + 1] += part->begins[place];
        at[place] = part->begins[place];
    }
    for (size_t i = 0; i < batch->count; i++) {
        const uint32_t shard = shard_of(limit, batch->ids[i]);
        if (shard % limit->threads == thread->index)
            part->ids[at[shard / limit->threads]++] = batch->ids[i];
    }
    free(at);
}

static void prepare(struct thread *thread) {
    const struct limit *limit = thread->limit;
    make_tables(thread);
    fill_tables(thread);
    thread->parts = calloc(limit->batches.count, sizeof thread->parts[0]);
    limit_must(thread->parts != NULL, "memory");
    for (size_t i = 0; i < limit->batches.count; i++)
        split(thread, &limit->batches.items[i], &thread->parts[i]);
}

static void finish(struct thread *thread) {
    for (size_t i = 0; i < thread->limit->batches.count; i++) {
        free(thread->parts[i].ids);
        free(thread->parts[i].begins);
    }
    for (size_t place = 0; place < thread->shards; place++)
        table_destroy(thread->tables[place]);
    free(thread->parts);
    free(thread->found);
    free(thread->tables);
    workspace_destroy(thread->workspace);
    pages_destroy(thread->pages);
}

/* ---- rounds ---- */

/* Looks up a batch's rows of all the thread's shards. */
static void find(struct thread *thread, const struct part *part) {
    const size_t all = part->begins[thread->shards];
    rowkey_of(&thread->workspace->rowkey, part->ids, all, thread->keys);
    for (size_t place = 0; place < thread->shards; place++) {
        const size_t first = part->begins[place], end = part->begins[place + 1];
        thread->found[place] = (struct table_found){.table = thread->tables[place],
                                                    .ids = part->ids + first,
                                                    .keys = thread->keys + first,
                                                    .rows = thread->found_rows + first,
                                                    .count = end - first,
                                                    .behind = all - end,
                                                    .asked = first > 0};
    }
    table_find(thread->found, thread->shards);
}

static void push_all(struct thread *thread) {
    const struct limit *limit = thread->limit;
    for (size_t b = 0; b < limit->batches.count; b++) {
        const struct part *part = &thread->parts[b];
        find(thread, part);
        for (size_t place = 0; place < thread->shards; place++) {
            const size_t first = part->begins[place], count = part->begins[place + 1] - first;
            thread->workspace->found = &thread->found[place];
            if (count > 0 &&
                table_push(thread->tables[place], part->ids + first, count, limit->gradients + first * limit->dim, 2,
                           thread->out + first * limit->dim, NULL) != CANYON_OK)
                limit_fail("a push was refused");
        }
    }
}

static void *drive(void *user) {
    struct thread *thread = user;
    limit_pin(thread->limit->first_core, thread->index);
    prepare(thread);
    pthread_barrier_wait(&thread->limit->done);
    for (;;) {
        pthread_barrier_wait(&thread->limit->start);
        if (thread->limit->stop)
            break;
        push_all(thread);
        pthread_barrier_wait(&thread->limit->done);
    }
    finish(thread);
    return NULL;
}

static void round_of(void *user, double *figures) {
    struct limit *limit = user;
    const uint64_t processor = limit_cpu(), begin = limit_now();
    pthread_barrier_wait(&limit->start);
    push_all(&limit->each[0]);
    pthread_barrier_wait(&limit->done);
    figures[0] = (double)(limit_now() - begin);
    figures[1] = (double)(limit_cpu() - processor);
}

/* The calling thread is the first of them. */
static void open_threads(struct limit *limit) {
    limit_must(pthread_barrier_init(&limit->start, NULL, (unsigned)limit->threads) == 0 &&
                   pthread_barrier_init(&limit->done, NULL, (unsigned)limit->threads) == 0,
               "a barrier");
    for (size_t i = 0; i < limit->threads; i++) {
        limit->each[i] = (struct thread){.limit = limit, .index = i};
        if (i > 0)
            limit_must(pthread_create(&limit->each[i].thread, NULL, drive, &limit->each[i]) == 0, "a thread");
    }
    limit_pin(limit->first_core, 0);
    prepare(&limit->each[0]);
    pthread_barrier_wait(&limit->done);
}

static void close_threads(struct limit *limit) {
    limit->stop = 1;
    pthread_barrier_wait(&limit->start);
    for (size_t i = 1; i < limit->threads; i++)
        pthread_join(limit->each[i].thread, NULL);
    finish(&limit->each[0]);
    pthread_barrier_destroy(&limit->start);
    pthread_barrier_destroy(&limit->done);
}

static void make_spec(struct limit *limit, const char *optimizer) {
    struct error error = {.text = ""};
    optimizer_start();
    limit->spec.kind = TENSOR_TABLE;
    limit->spec.shape = (struct shape){1, {limit->dim}};
    limit->spec.initializer = (struct initializer){.kind = INITIALIZER_UNIFORM, .a = -0.1, .b = 0.1};
    snprintf(limit->spec.name, sizeof limit->spec.name, "rows");
    if (optimizer_spec_parse(optimizer, &limit->spec.optimizer, &error) != CANYON_OK ||
        shard_canonical_spec(&limit->spec, &error) != CANYON_OK)
        limit_fail("%s: %s", optimizer, error.text);
}

int main(int argc, char **argv) {
    enum { ROWS, DIM, DRAWS, BATCHES, OPTIMIZER, SHARDS, THREADS, CORE, ROUNDS, OPTIONS };
    struct limit_option options[OPTIONS] = {
        [ROWS] = {"rows", "10000000", "of the table"},
        [DIM] = {"dim", "16", "elements of a row"},
        [DRAWS] = {"draws", "4096", "of a batch, by Zipf's law (1.05), before they are merged"},
        [BATCHES] = {"batches", "400", "in a round"},
        [OPTIMIZER] = {"optimizer", "adam:lr=0.000001", "with its settings"},
        [SHARDS] = {"shards", "256", "a power of two, as of a server"},
        [THREADS] = {"threads", "1", "among which the shards are spread"},
        [CORE] = {"core", "", "core to pin the first thread to, the next ones to the next"},
        [ROUNDS] = {"rounds", "0", "rounds to do"},
    };
    static const char *const names[] = {"push_pull", "CPU"};
    static struct limit limit;
    limit_options(options, OPTIONS, argc, argv, "limit_table: rows pushed to a table in memory");
    limit.rows = limit_number(&options[ROWS], 1, 1u << 28);
    limit.dim = limit_number(&options[DIM], 1, 16384);
    limit.threads = limit_number(&options[THREADS], 1, MOST_THREADS);
    limit.first_core = limit_core(&options[CORE]);
    job_init(&limit.job);
    limit.job.shards = (uint32_t)limit_number(&options[SHARDS], limit.threads, 65536);
    limit_must((limit.job.shards & (limit.job.shards - 1)) == 0, "a power of two of shards");
    make_spec(&limit, options[OPTIMIZER].value);
    const size_t batches = limit_number(&options[BATCHES], 1, 100000);
    row_batches_make(&limit.batches, limit.rows, limit_number(&options[DRAWS], 1, 1u << 20), batches);
    limit.gradients = limit_memory((limit.batches.most + 1) * limit.dim * sizeof(float));
    for (size_t i = 0; i < limit.batches.most * limit.dim; i++)
        limit.gradients[i] = (float)(i % 251) * 0.001f - 0.1f;
    open_threads(&limit);
    printf("ready %zu rows in a round, %s\n", limit.batches.rows, optimizer_set_name(optimizer_set_chosen()));
    limit_serve(round_of, &limit, names, 2, limit_number(&options[ROUNDS], 0, LIMIT_ROUNDS));
    close_threads(&limit);
    row_batches_finish(&limit.batches);
    job_finish(&limit.job);
    return 0;
}
