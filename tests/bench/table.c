/* How fast rows of a table are updated in memory, beside the limit that memory sets; what a row costs; and what growth
 * does to the slowest pushes.
 *
 *     bench_table [--json] [--rounds N] [--rows N] [--shards N] [--uniform]
 *
 * 10 million rows of dim 16 with Adam, made in an order that has nothing to do with how often they are drawn. A batch
 * is 4,096 draws by Zipf's law (1.05), merged to unique ids before anything is timed (about 2,300). Enough batches are
 * drawn that what they touch is far larger than caches. A push returns the rows; those of all shards are looked up
 * together first, as a server does with a frame.
 *
 * The limit is a loop over the same batches that knows where everything is: for each row it reads the first
 * line of its search, reads and writes its marks and its record, reads the gradient, and writes the row out; it neither
 * permutes ids, nor searches, nor computes. Both ask for memory ahead. Time is the thread's own, and the two take
 * turns.
 *
 * Growth: pushes while the rows of a table double, from a million, beside pushes to the same table that find all rows
 * there; in one kind of push a tenth of the rows is new, in the other all are. Its figures are 99.9 % quantiles. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/job.h"
#include "server/pages.h"
#include "server/shard.h"
#include "server/table_batch.h"
#include "tests/bench/measure.h"

#define DIM     16
#define DRAWS   4096
#define BATCHES 400
#define AHEAD   12

struct options {
    bool json, uniform;
    unsigned rounds;
    uint64_t rows;
    uint32_t shards;
};

/* Unique ids, those of one shard side by side. */
struct batch {
    size_t count;
    size_t *begins; /* of each shard, and the end */
    uint64_t *ids;
    const void **lines; /* of the index, and records and marks of the rows: for the limit */
    void **records, **marks;
};

struct bench {
    struct options options;
    struct job job;
    struct pages *pages;
    struct workspace *workspace;
    struct tensor_spec spec;
    struct table **tables;
    struct batch batches[BATCHES];
    float *gradients, *out;
    uint64_t *keys; /* of a batch, and where its rows are, shard by shard */
    struct row_at *rows;
    struct table_found *found;
    uint64_t state;
};

static double seconds_now(void) {
    struct timespec now;
    bench_must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0, "a clock");
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static uint64_t mixed(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static double draw(struct bench *bench) {
    return (double)(mixed(bench->state += UINT64_C(0x9e3779b97f4a7c15)) >> 11) * 0x1p-53;
}

/* The id of the row that is drawn most often, second most, ... */
static uint64_t id_of(uint64_t rank) {
    return mixed(rank * UINT64_C(0x9e3779b97f4a7c15) + 12345);
}

static uint32_t shard_of(const struct bench *bench, uint64_t id) {
    return (uint32_t)(mixed(id) & (bench->options.shards - 1));
}

/* ---- Tables ---- */

static void make_tables(struct bench *bench) {
    bench->tables = calloc(bench->options.shards, sizeof(struct table *));
    bench->found = calloc(bench->options.shards, sizeof *bench->found);
    bench->keys = calloc(DRAWS, sizeof *bench->keys);
    bench->rows = calloc(DRAWS, sizeof *bench->rows);
    bench_must(bench->tables != NULL && bench->found != NULL && bench->keys != NULL && bench->rows != NULL, "memory");
    for (uint32_t shard = 0; shard < bench->options.shards; shard++) {
        bench->tables[shard] = table_create(&bench->job, shard, 1, &bench->spec, bench->workspace);
        bench_must(bench->tables[shard] != NULL, "a table");
    }
}

static void drop_tables(struct bench *bench) {
    for (uint32_t shard = 0; shard < bench->options.shards; shard++) {
        table_destroy(bench->tables[shard]);
    }
    free(bench->tables);
    free(bench->found);
    free(bench->keys);
    free(bench->rows);
}

/* Makes rows first to first + count in an order of its own. */
static void fill_tables(struct bench *bench, uint64_t first, uint64_t count) {
    uint64_t step = count / 2 + 1, at = 0;
    size_t *held = calloc(bench->options.shards, sizeof *held);
    uint64_t *ids = malloc(bench->options.shards * (size_t)256 * sizeof *ids);
    bool changed;
    bench_must(held != NULL && ids != NULL, "memory");
    for (uint64_t a = step, b = count; b != 0;) { /* a step without a divisor in common meets every row once */
        uint64_t rest = a % b;
        a = b;
        b = rest;
        if (b == 0 && a != 1) {
            a = ++step;
            b = count;
        }
    }
    for (uint64_t i = 0; i <= count; i++, at = (at + step) % count) {
        uint64_t id = id_of(first + at);
        uint32_t shard = i < count ? shard_of(bench, id) : 0;
        if (i < count) {
            ids[shard * (size_t)256 + held[shard]++] = id;
        }
        for (uint32_t s = i < count ? shard : 0; s < (i < count ? shard + 1 : bench->options.shards); s++) {
            if (held[s] == 256 || i == count) {
                bench_must_ok(table_touch(bench->tables[s], ids + s * (size_t)256, held[s], 1, NULL, &changed, NULL),
                              "rows");
                held[s] = 0;
            }
        }
    }
    free(held);
    free(ids);
}

/* ---- Batches ---- */

static int by_number(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return a < b ? -1 : a > b;
}

/* Sorts ids by shard, keeping their order within. */
static void split(struct bench *bench, struct batch *batch, const uint64_t *ids) {
    const uint32_t shards = bench->options.shards;
    size_t *begins = calloc(shards + 1, sizeof *begins), *at = calloc(shards + 1, sizeof *at);
    batch->ids = malloc((batch->count + 1) * sizeof *batch->ids);
    bench_must(begins != NULL && at != NULL && batch->ids != NULL, "memory");
    for (size_t i = 0; i < batch->count; i++) {
        begins[shard_of(bench, ids[i]) + 1]++;
    }
    for (uint32_t s = 0; s < shards; s++) {
        begins[s + 1] += begins[s];
        at[s] = begins[s];
    }
    for (size_t i = 0; i < batch->count; i++) {
        batch->ids[at[shard_of(bench, ids[i])]++] = ids[i];
    }
    batch->begins = begins;
    free(at);
}

static void free_batch(struct batch *batch) {
    free(batch->begins);
    free(batch->ids);
    free(batch->lines);
    free(batch->records);
    free(batch->marks);
}

static void draw_batches(struct bench *bench) {
    const uint64_t rows = bench->options.rows;
    double *sums = malloc((size_t)rows * sizeof *sums), sum = 0;
    bench_must(sums != NULL, "memory");
    for (uint64_t i = 0; i < rows; i++) {
        sums[i] = sum += bench->options.uniform ? 1.0 : pow((double)(i + 1), -1.05);
    }
    for (size_t b = 0; b < BATCHES; b++) {
        uint64_t ranks[DRAWS], ids[DRAWS];
        struct batch *batch = &bench->batches[b];
        for (size_t i = 0; i < DRAWS; i++) {
            double wanted = draw(bench) * sum;
            uint64_t low = 0, high = rows - 1;
            while (low < high) {
                uint64_t middle = (low + high) / 2;
                if (sums[middle] > wanted) {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            ranks[i] = id_of(low);
        }
        qsort(ranks, DRAWS, sizeof ranks[0], by_number); /* ids: their order is nobody's */
        batch->count = 0;
        for (size_t i = 0; i < DRAWS; i++) {
            if (i == 0 || ranks[i] != ranks[i - 1]) {
                ids[batch->count++] = ranks[i];
            }
        }
        split(bench, batch, ids);
    }
    free(sums);
}

/* ---- What is measured ---- */

static void push(struct bench *bench, const struct batch *batch) {
    const uint32_t shards = bench->options.shards;
    rowkey_of(&bench->workspace->rowkey, batch->ids, batch->count, bench->keys);
    for (uint32_t s = 0; s < shards; s++) {
        const size_t first = batch->begins[s], end = batch->begins[s + 1];
        bench->found[s] = (struct table_found){.table = bench->tables[s],
                                               .ids = batch->ids + first,
                                               .keys = bench->keys + first,
                                               .rows = bench->rows + first,
                                               .count = end - first,
                                               .behind = batch->count - end,
                                               .asked = first > 0};
    }
    table_find(bench->found, shards);
    for (uint32_t s = 0; s < shards; s++) {
        size_t first = batch->begins[s], count = batch->begins[s + 1] - first;
        if (count > 0) {
            bench->workspace->found = &bench->found[s];
            bench_must_ok(table_push(bench->tables[s], batch->ids + first, count, bench->gradients + first * DIM, 2,
                                     bench->out + first * DIM, NULL),
                          "a push");
        }
    }
}

static void find_memory(struct bench *bench, struct batch *batch) {
    batch->lines = malloc(batch->count * sizeof(void *));
    batch->records = malloc(batch->count * sizeof(void *));
    batch->marks = malloc(batch->count * sizeof(void *));
    bench_must(batch->lines != NULL && batch->records != NULL && batch->marks != NULL, "memory");
    for (size_t i = 0; i < batch->count; i++) {
        struct table *table = bench->tables[shard_of(bench, batch->ids[i])];
        uint64_t key;
        rowkey_of(&bench->workspace->rowkey, &batch->ids[i], 1, &key);
        uint32_t place = row_index_find(&table->index, key);
        uint64_t line = 0;
        bench_must(place != ROW_NONE, "a row");
        const struct row_lines *array = row_index_begin(&table->index, key, &line);
        batch->lines[i] = row_lines_at(array, line);
        batch->records[i] = row_store_at(&table->store, place);
        batch->marks[i] = row_store_marks(&table->store, place);
    }
}

/* The limit: nothing but the memory. */
static void pass(struct bench *bench, const struct batch *batch) {
    for (size_t i = 0; i < batch->count; i++) {
        if (i + 2 * AHEAD < batch->count) {
            __builtin_prefetch(batch->lines[i + 2 * AHEAD]);
        }
        if (i + AHEAD < batch->count) {
            const char *record = batch->records[i + AHEAD];
            __builtin_prefetch(batch->marks[i + AHEAD], 1);
            __builtin_prefetch(record, 1);
            __builtin_prefetch(record + 64, 1);
            __builtin_prefetch(record + 128, 1);
        }
        float *record = batch->records[i];
        const float *gradient = bench->gradients + i * DIM;
        for (size_t slot = 0; slot < 3; slot++) {
            for (size_t k = 0; k < DIM; k++) {
                record[slot * DIM + k] += 1e-30f * gradient[k];
            }
        }
        struct row_marks *marks = batch->marks[i];
        marks->step += ((const struct row_line *)batch->lines[i])->places[0] < ROW_NONE;
        marks->clock++;
        memcpy(bench->out + i * DIM, record, DIM * sizeof(float));
    }
}

/* Nanoseconds a row. */
static double time_of(struct bench *bench, void (*work)(struct bench *, const struct batch *)) {
    uint64_t rows = 0;
    double begin = seconds_now();
    for (size_t b = 0; b < BATCHES; b++) {
        work(bench, &bench->batches[b]);
        rows += bench->batches[b].count;
    }
    return (seconds_now() - begin) * 1e9 / (double)rows;
}

static double resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size = 0, resident = 0;
    bench_must(file != NULL && fscanf(file, "%lu %lu", &size, &resident) == 2, "/proc/self/statm");
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

/* ---- Growth ---- */

/* Rows of known ranks, then new ones. */
static void grown_batch(struct bench *bench, struct batch *batch, uint64_t *known, size_t count, size_t fresh) {
    uint64_t ids[DRAWS];
    for (size_t i = 0; i < count; i++) {
        ids[i] = id_of(i < fresh ? *known + i : (uint64_t)(draw(bench) * (double)*known));
    }
    qsort(ids, count, sizeof ids[0], by_number);
    batch->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || ids[i] != ids[i - 1]) {
            ids[batch->count++] = ids[i];
        }
    }
    split(bench, batch, ids);
    *known += fresh;
}

/* The 99.9 % quantile of single pushes, in microseconds. */
static double slow_push(struct bench *bench, uint64_t *known, size_t count, size_t fresh, size_t pushes) {
    double *times = malloc(pushes * sizeof *times);
    bench_must(times != NULL, "memory");
    for (size_t i = 0; i < pushes; i++) {
        struct batch batch = {.count = count};
        grown_batch(bench, &batch, known, count, fresh);
        double begin = seconds_now();
        push(bench, &batch);
        times[i] = (seconds_now() - begin) * 1e6;
        free_batch(&batch);
    }
    double slow = measure_quantile(times, pushes, 0.999);
    free(times);
    return slow;
}

static void growth(struct bench *bench, double quantiles[4]) {
    enum { COUNT = 2302, FEW = 230 };
    const uint64_t start = 1000000;
    for (size_t kind = 0; kind < 2; kind++) {
        size_t fresh = kind == 0 ? FEW : COUNT;
        uint64_t known = start;
        make_tables(bench);
        fill_tables(bench, 0, start);
        quantiles[2 * kind] = slow_push(bench, &known, COUNT, 0, 2000);
        quantiles[2 * kind + 1] = slow_push(bench, &known, COUNT, fresh, (size_t)(start / fresh));
        drop_tables(bench);
    }
}

/* ---- The program ---- */

static uint64_t number_after(int argc, char **argv, int *at) {
    char *end = NULL;
    errno = 0;
    uint64_t number = *at + 1 < argc ? strtoull(argv[*at + 1], &end, 10) : 0;
    if (*at + 1 >= argc || errno != 0 || *end != '\0' || number == 0) {
        bench_fail("%s wants a number above zero", argv[*at]);
    }
    ++*at;
    return number;
}

static void read_options(struct options *options, int argc, char **argv) {
    *options = (struct options){.rounds = 7, .rows = 10000000, .shards = 256};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            options->json = true;
        } else if (strcmp(argv[i], "--uniform") == 0) {
            options->uniform = true;
        } else if (strcmp(argv[i], "--rounds") == 0) {
            options->rounds = (unsigned)number_after(argc, argv, &i);
        } else if (strcmp(argv[i], "--rows") == 0) {
            options->rows = number_after(argc, argv, &i);
        } else if (strcmp(argv[i], "--shards") == 0) {
            options->shards = (uint32_t)number_after(argc, argv, &i);
        } else {
            bench_fail("bench_table [--json] [--rounds N] [--rows N] [--shards N] [--uniform]");
        }
    }
    bench_must((options->shards & (options->shards - 1)) == 0, "a power of two of shards");
    bench_must(options->rows >= DRAWS, "more rows");
}

static void start(struct bench *bench) {
    static const uint8_t secret[ROWKEY_SECRET_BYTES] = {1, 2, 3};
    struct error error;
    optimizer_start();
    job_init(&bench->job);
    bench->job.shards = bench->options.shards;
    bench->pages = pages_create();
    bench->workspace = workspace_create(pages_memory(bench->pages), secret);
    bench->spec.kind = TENSOR_TABLE;
    bench->spec.shape = (struct shape){1, {DIM}};
    bench->spec.initializer = (struct initializer){.kind = INITIALIZER_UNIFORM, .a = -0.1, .b = 0.1};
    snprintf(bench->spec.name, sizeof bench->spec.name, "embedding");
    bench_must_ok(optimizer_spec_parse("adam", &bench->spec.optimizer, &error), "adam");
    bench_must_ok(shard_canonical_spec(&bench->spec, &error), error.text);
    bench->gradients = malloc(DRAWS * DIM * sizeof(float));
    bench->out = malloc(DRAWS * DIM * sizeof(float));
    bench_must(bench->gradients != NULL && bench->out != NULL && bench->workspace != NULL, "memory");
    for (size_t i = 0; i < DRAWS * DIM; i++) {
        bench->gradients[i] = (float)draw(bench) - 0.5f;
    }
}

int main(int argc, char **argv) {
    static struct bench bench;
    double pushes[99], limits[99], ratios[99], quantiles[4], rows = 0;
    read_options(&bench.options, argc, argv);
    const struct options *options = &bench.options;
    const unsigned rounds = options->rounds < 99 ? options->rounds : 99;
    start(&bench);
    growth(&bench, quantiles);
    make_tables(&bench);
    double before = resident_bytes(), begin = seconds_now();
    fill_tables(&bench, 0, options->rows);
    double made = (seconds_now() - begin) * 1e9 / (double)options->rows;
    double beyond = (resident_bytes() - before) / (double)options->rows - 3.0 * DIM * sizeof(float);
    draw_batches(&bench);
    for (size_t b = 0; b < BATCHES; b++) {
        find_memory(&bench, &bench.batches[b]);
        rows += (double)bench.batches[b].count / BATCHES;
    }
    (void)time_of(&bench, push);
    for (unsigned round = 0; round < rounds; round++) {
        double first = time_of(&bench, pass);
        pushes[round] = time_of(&bench, push);
        limits[round] = (first + time_of(&bench, pass)) / 2;
        ratios[round] = limits[round] / pushes[round];
    }
    double time = measure_median(pushes, rounds), limit = measure_median(limits, rounds);
    if (options->json) {
        printf("{\"mrows_s\": %.2f, \"limit_mrows_s\": %.2f, \"limit_ratio\": %.3f, \"unique_rows\": %.0f, "
               "\"bytes_per_row\": %.2f, \"new_row_ns\": %.0f, \"growth_p999_ratio\": %.2f, "
               "\"growth_all_new_p999_ratio\": %.2f}\n",
               1e3 / time, 1e3 / limit, measure_median(ratios, rounds), rows, beyond, made, quantiles[1] / quantiles[0],
               quantiles[3] / quantiles[2]);
    } else {
        printf("%" PRIu64 " rows of dim %d with Adam in %u shards, batches of %.0f unique rows, %s\n", options->rows,
               DIM, options->shards, rows, optimizer_set_name(optimizer_set_chosen()));
        printf("push_pull           %6.1f M rows/s  (%.1f ns a row)\n", 1e3 / time, time);
        printf("memory alone        %6.1f M rows/s  (%.1f ns a row), ratio %.2f\n", 1e3 / limit, limit,
               measure_median(ratios, rounds));
        printf("new rows            %6.1f M rows/s  (%.0f ns a row)\n", 1e3 / made, made);
        printf("bytes a row         %6.2f beyond weights and slots\n", beyond);
        printf("slow pushes (99.9 %%): %.0f us with all rows there, %.0f us with a tenth new while the table doubles "
               "(ratio %.1f), %.0f us with all new (ratio %.1f)\n",
               quantiles[0], quantiles[1], quantiles[1] / quantiles[0], quantiles[3], quantiles[3] / quantiles[2]);
    }
    for (size_t b = 0; b < BATCHES; b++) {
        free_batch(&bench.batches[b]);
    }
    drop_tables(&bench);
    workspace_destroy(bench.workspace);
    pages_destroy(bench.pages);
    job_finish(&bench.job);
    free(bench.gradients);
    free(bench.out);
    return 0;
}
