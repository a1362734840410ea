/* A worker of the benchmark with a table: batches of rows through Canyon's public API and nothing else, told when by
 * its standard input as the limit programs are (limits/limit.h).
 *
 * First it makes all rows (pulls that create). By default a round then is a push_pull of every batch, so many of them
 * in flight for each thread, and its figures, in nanoseconds, are its time and this process's processor time; what it
 * says when it is ready begins with the rows of a round and the bytes that it sends and receives.
 *
 * With --growth N a round is another thing: a table of N rows of its own is pushed to, one batch after the other, first
 * while all rows are there and then, a quarter of each batch being new, until there are twice as many; its figures are
 * the 99.9 % quantiles of the times of both kinds. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canyon.h"
#include "client/simulator/counter.h"
#include "tests/bench/limits/limit.h"
#include "tests/bench/suite/row_batches.h"

#define PATIENCE_MS    60000
#define MOST_THREADS   16
#define MOST_IN_FLIGHT 64
#define FILL           8192 /* rows made at once */
#define NEW_SHARE      4    /* one row in so many */
#define STEADY         2000 /* pushes */

/* A batch under way, and its buffers. */
struct flight {
    struct canyon_batch batch;
    canyon_future *future;
    float *weights;
};

struct worker;

struct thread {
    struct worker *worker;
    size_t index;
    canyon_client *client;
    canyon_table *table;
    struct flight flights[MOST_IN_FLIGHT];
    pthread_t thread;
};

struct worker {
    struct canyon_options options;
    const char *optimizer, *name;
    uint64_t rows, growth;
    uint32_t dim;
    size_t threads, in_flight, grown;
    struct row_batches batches;
    float *gradient;
    struct thread each[MOST_THREADS];
    pthread_barrier_t start, done;
    int stop;
};

static void must(enum canyon_status status, const char *what) {
    if (status != CANYON_OK)
        limit_fail("%s: %s: %s", what, canyon_status_name(status), canyon_error_text());
}

/* ---- tables ---- */

static canyon_table *open_table(const struct worker *worker, canyon_client *client, const char *name) {
    struct canyon_table_spec spec;
    canyon_table *table = NULL;
    canyon_table_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.dim = worker->dim;
    spec.initializer = CANYON_UNIFORM;
    spec.a = -0.1;
    spec.b = 0.1;
    must(canyon_table_spec_optimizer(&spec, worker->optimizer), worker->optimizer);
    must(canyon_table_create(client, &spec, PATIENCE_MS, &table), "canyon_table_create");
    return table;
}

/* Makes rows first to first + count. */
static void fill(const struct worker *worker, canyon_table *table, uint64_t first, uint64_t count) {
    static uint64_t ids[FILL];
    const uint64_t step = row_batches_step(count);
    float *weights = limit_memory((size_t)FILL * worker->dim * sizeof(float));
    uint64_t at = 0;
    for (uint64_t made = 0; made < count;) {
        struct canyon_batch batch;
        canyon_batch_init(&batch);
        for (; batch.count < FILL && made < count; batch.count++, made++, at = (at + step) % count)
            ids[batch.count] = row_batches_id(first + at);
        batch.ids = ids;
        batch.weights = weights;
        batch.create = 1;
        must(canyon_table_step(table, &batch, PATIENCE_MS), "canyon_table_step");
    }
}

/* ---- steady rounds ---- */

static void begin(struct thread *thread, size_t which, const struct row_batch *rows) {
    struct flight *flight = &thread->flights[which];
    canyon_batch_init(&flight->batch);
    flight->batch.ids = rows->ids;
    flight->batch.count = rows->count;
    flight->batch.gradients = thread->worker->gradient;
    flight->batch.weights = flight->weights;
    must(canyon_table_step_async(thread->table, &flight->batch, PATIENCE_MS, &flight->future),
         "canyon_table_step_async");
}

static void end(struct flight *flight) {
    if (flight->future != NULL)
        must(canyon_future_wait(flight->future, UINT32_MAX), "a batch");
    canyon_future_release(flight->future);
    flight->future = NULL;
}

/* This thread's share of all batches, the oldest waited for when so many are under way. */
static void push_pull_share(struct thread *thread) {
    const struct worker *worker = thread->worker;
    size_t which = 0;
    for (size_t i = thread->index; i < worker->batches.count; i += worker->threads) {
        end(&thread->flights[which]);
        begin(thread, which, &worker->batches.items[i]);
        which = (which + 1) % worker->in_flight;
    }
    for (size_t i = 0; i < worker->in_flight; i++)
        end(&thread->flights[(which + i) % worker->in_flight]);
}

static void *drive(void *user) {
    struct thread *thread = user;
    for (;;) {
        pthread_barrier_wait(&thread->worker->start);
        if (thread->worker->stop)
            return NULL;
        push_pull_share(thread);
        pthread_barrier_wait(&thread->worker->done);
    }
}

static void steady(void *user, double *figures) {
    struct worker *worker = user;
    const uint64_t processor = limit_cpu(), from = limit_now();
    pthread_barrier_wait(&worker->start);
    push_pull_share(&worker->each[0]);
    pthread_barrier_wait(&worker->done);
    figures[0] = (double)(limit_now() - from);
    figures[1] = (double)(limit_cpu() - processor);
}

/* Clients of all threads, and the threads but the first, which is the caller. */
static void open_threads(struct worker *worker) {
    limit_must(pthread_barrier_init(&worker->start, NULL, (unsigned)worker->threads) == 0 &&
                   pthread_barrier_init(&worker->done, NULL, (unsigned)worker->threads) == 0,
               "a barrier");
    for (size_t i = 0; i < worker->threads; i++) {
        struct thread *thread = &worker->each[i];
        *thread = (struct thread){.worker = worker, .index = i};
        must(canyon_connect(&worker->options, &thread->client), "canyon_connect");
        thread->table = worker->growth == 0 ? open_table(worker, thread->client, worker->name) : NULL;
        for (size_t f = 0; f < worker->in_flight; f++)
            thread->flights[f].weights = limit_memory((worker->batches.most + 1) * worker->dim * sizeof(float));
        if (i > 0)
            limit_must(pthread_create(&thread->thread, NULL, drive, thread) == 0, "a thread");
    }
}

static void close_threads(struct worker *worker) {
    worker->stop = 1;
    pthread_barrier_wait(&worker->start);
    for (size_t i = 0; i < worker->threads; i++) {
        if (i > 0)
            pthread_join(worker->each[i].thread, NULL);
        canyon_table_close(worker->each[i].table);
        canyon_close(worker->each[i].client);
    }
    pthread_barrier_destroy(&worker->start);
    pthread_barrier_destroy(&worker->done);
}

/* Bytes that the servers received and sent so far. */
static void count_bytes(const struct worker *worker, uint64_t bytes[2]) {
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    must(canyon_statistics(worker->each[0].client, PATIENCE_MS, &servers, &count), "canyon_statistics");
    bytes[0] = bytes[1] = 0;
    for (size_t i = 0; i < count; i++) {
        bytes[0] += servers[i].bytes_in;
        bytes[1] += servers[i].bytes_out;
    }
    canyon_free(servers);
}

static void prepare_steady(struct worker *worker) {
    double figures[LIMIT_FIGURES];
    uint64_t before[2], after[2];
    fill(worker, worker->each[0].table, 0, worker->rows);
    count_bytes(worker, before);
    steady(worker, figures);
    count_bytes(worker, after);
    printf("ready %zu rows, %llu bytes to servers, %llu bytes from them in a round\n", worker->batches.rows,
           (unsigned long long)(after[0] - before[0]), (unsigned long long)(after[1] - before[1]));
}

/* ---- growth ---- */

/* Pushes of `count` rows each, `fresh` of them new, the others any of the `known` ones. */
static double slow_push(const struct worker *worker, canyon_table *table, uint64_t *known, size_t fresh,
                        size_t pushes) {
    const size_t count = worker->batches.most;
    uint64_t *ids = calloc(count, sizeof ids[0]);
    double *times = calloc(pushes, sizeof times[0]);
    limit_must(ids != NULL && times != NULL, "memory");
    for (size_t push = 0; push < pushes; push++) {
        for (size_t i = 0; i < count; i++)
            ids[i] = row_batches_id(
                i < fresh ? *known + i
                          : (uint64_t)((double)(counter_bits(push, 2, i) >> 11) * 0x1p-53 * (double)*known));
        *known += fresh;
        const uint64_t from = limit_now();
        must(canyon_table_push(table, ids, count, worker->gradient, PATIENCE_MS), "canyon_table_push");
        times[push] = (double)(limit_now() - from);
    }
    (void)limit_median(times, pushes);                          /* sorts */
    const double slow = times[(pushes * 999 + 999) / 1000 - 1]; /* as many as that are no slower */
    free(ids);
    free(times);
    return slow;
}

static void grow(void *user, double *figures) {
    struct worker *worker = user;
    const size_t fresh = worker->batches.most / NEW_SHARE + 1;
    uint64_t known = worker->growth;
    char name[32];
    snprintf(name, sizeof name, "growing.%zu", worker->grown++);
    canyon_client *client = worker->each[0].client;
    canyon_table *table = open_table(worker, client, name);
    fill(worker, table, 0, known);
    const size_t pushes = worker->growth / fresh + 1;
    figures[0] = slow_push(worker, table, &known, 0, pushes < STEADY ? pushes : STEADY);
    figures[1] = slow_push(worker, table, &known, fresh, pushes);
    canyon_table_close(table);
    must(canyon_tensor_drop(client, name, PATIENCE_MS), "canyon_tensor_drop");
}

/* ---- the program ---- */

int main(int argc, char **argv) {
    enum {
        SERVER,
        NAME,
        ROWS,
        DIM,
        DRAWS,
        BATCHES,
        OPTIMIZER,
        THREADS,
        IN_FLIGHT,
        GROWTH,
        CONGESTION,
        ROUNDS,
        OPTIONS
    };
    struct limit_option options[OPTIONS] = {
        [SERVER] = {"server", "127.0.0.1:7077", "HOST:PORT, in plaintext"},
        [NAME] = {"name", "rows", "of the table"},
        [ROWS] = {"rows", "10000000", "of the table"},
        [DIM] = {"dim", "16", "elements of a row"},
        [DRAWS] = {"draws", "4096", "of a batch, by Zipf's law (1.05), before they are merged"},
        [BATCHES] = {"batches", "400", "in a round"},
        [OPTIMIZER] = {"optimizer", "adam:lr=0.000001", "with its settings"},
        [THREADS] = {"threads", "1", "each with a client of its own"},
        [IN_FLIGHT] = {"in-flight", "8", "batches under way of each thread"},
        [GROWTH] = {"growth", "0", "rows of a table that doubles; 0: steady rounds"},
        [CONGESTION] = {"congestion", "auto", "of TCP, as canyon_options has it"},
        [ROUNDS] = {"rounds", "0", "rounds to do"},
    };
    static const char *const names[2][2] = {{"push_pull", "CPU"}, {"steady p99.9", "growing p99.9"}};
    static struct worker worker;
    limit_options(options, OPTIONS, argc, argv, "canyon-bench-rows: batches of rows of one table, told when");
    canyon_options_init(&worker.options);
    worker.options.servers = options[SERVER].value;
    worker.options.timeout_ms = worker.options.connect_ms = PATIENCE_MS;
    worker.options.congestion = options[CONGESTION].value;
    worker.options.insecure_plaintext = 1;
    worker.name = options[NAME].value;
    worker.optimizer = options[OPTIMIZER].value;
    worker.growth = limit_number(&options[GROWTH], 0, 1u << 30);
    worker.rows = limit_number(&options[ROWS], 1, 1u << 28);
    worker.dim = (uint32_t)limit_number(&options[DIM], 1, CANYON_MAX_DIM);
    worker.threads = worker.growth > 0 ? 1 : limit_number(&options[THREADS], 1, MOST_THREADS);
    worker.in_flight = limit_number(&options[IN_FLIGHT], 1, MOST_IN_FLIGHT);
    const size_t batches = limit_number(&options[BATCHES], 1, 100000);
    row_batches_make(&worker.batches, worker.rows, limit_number(&options[DRAWS], 1, 1u << 20),
                     worker.growth > 0 ? 1 : batches);
    worker.gradient = limit_memory(worker.batches.most * worker.dim * sizeof(float));
    for (size_t i = 0; i < worker.batches.most * worker.dim; i++)
        worker.gradient[i] = (float)(i % 251) * 0.001f - 0.1f;
    open_threads(&worker);
    if (worker.growth == 0)
        prepare_steady(&worker);
    else
        printf("ready %llu rows that double, %zu rows in a push\n", (unsigned long long)worker.growth,
               worker.batches.most);
    limit_serve(worker.growth > 0 ? grow : steady, &worker, names[worker.growth > 0], 2,
                limit_number(&options[ROUNDS], 0, LIMIT_ROUNDS));
    close_threads(&worker);
    row_batches_finish(&worker.batches);
    return 0;
}
