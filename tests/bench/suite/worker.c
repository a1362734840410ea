/* A worker of the benchmark: push_pulls of one tensor through Canyon's public API and nothing else, told when by its
 * standard input as the limit programs are (limits/limit.h).
 *
 * By default a round is one push_pull, and its figures, in nanoseconds, are its time and this process's processor time.
 * With --batch N a round is N of them, and its figures are the median of their times and the 99th percentile; what it
 * says when it is ready begins with the bytes that one of them sends and receives. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canyon.h"
#include "tests/bench/limits/limit.h"

#define PATIENCE_MS 30000
#define MOST_BATCH  100000
#define SAMPLE      100 /* push_pulls whose bytes are counted */

struct worker {
    canyon_client *client;
    canyon_tensor *tensor;
    float *gradient, *weights;
    size_t batch;
    double *times;
};

static void must(enum canyon_status status, const char *what) {
    if (status != CANYON_OK)
        limit_fail("%s: %s: %s", what, canyon_status_name(status), canyon_error_text());
}

static void push_pull(struct worker *worker) {
    must(canyon_push_pull(worker->tensor, worker->gradient, worker->weights, PATIENCE_MS), "canyon_push_pull");
}

static void once(void *user, double *figures) {
    const uint64_t processor = limit_cpu(), begin = limit_now();
    push_pull(user);
    figures[0] = (double)(limit_now() - begin);
    figures[1] = (double)(limit_cpu() - processor);
}

static void often(void *user, double *figures) {
    struct worker *worker = user;
    for (size_t i = 0; i < worker->batch; i++) {
        const uint64_t begin = limit_now();
        push_pull(worker);
        worker->times[i] = (double)(limit_now() - begin);
    }
    figures[0] = limit_median(worker->times, worker->batch); /* sorts */
    figures[1] = worker->times[worker->batch * 99 / 100];
}

/* Bytes that the servers received and sent so far. */
static void count_bytes(struct worker *worker, uint64_t *in, uint64_t *out) {
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    must(canyon_statistics(worker->client, PATIENCE_MS, &servers, &count), "canyon_statistics");
    *in = *out = 0;
    for (size_t i = 0; i < count; i++) {
        *in += servers[i].bytes_in;
        *out += servers[i].bytes_out;
    }
    canyon_free(servers);
}

/* Of one push_pull; asking for statistics has its own bytes, which two questions in a row show. */
static void measure_frames(struct worker *worker, uint64_t *request, uint64_t *reply) {
    uint64_t in[3], out[3];
    count_bytes(worker, &in[0], &out[0]);
    count_bytes(worker, &in[1], &out[1]);
    for (int i = 0; i < SAMPLE; i++)
        push_pull(worker);
    count_bytes(worker, &in[2], &out[2]);
    *request = (in[2] - in[1] - (in[1] - in[0]) + SAMPLE / 2) / SAMPLE;
    *reply = (out[2] - out[1] - (out[1] - out[0]) + SAMPLE / 2) / SAMPLE;
}

static void open_tensor(struct worker *worker, uint64_t bytes, const char *optimizer) {
    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "w");
    spec.rank = 1;
    spec.dims[0] = bytes / sizeof(float);
    must(canyon_tensor_spec_optimizer(&spec, optimizer), optimizer);
    must(canyon_tensor_create(worker->client, &spec, PATIENCE_MS, &worker->tensor), "canyon_tensor_create");
    worker->gradient = limit_memory(bytes);
    worker->weights = limit_memory(bytes);
    for (size_t i = 0; i < spec.dims[0]; i++)
        worker->gradient[i] = worker->weights[i] = (float)(i % 251) * 0.001f - 0.1f;
}

int main(int argc, char **argv) {
    enum { SERVER, KEY, KNOWN, BYTES, OPTIMIZER, BATCH, SPIN, CONGESTION, ROUNDS, OPTIONS };
    struct limit_option options[OPTIONS] = {
        [SERVER] = {"server", "127.0.0.1:7077", "HOST:PORT"},
        [KEY] = {"key", "", "file of the secret key; none: in plaintext"},
        [KNOWN] = {"known", "", "file of the servers' keys"},
        [BYTES] = {"bytes", "67108864", "of the tensor, a multiple of 4"},
        [OPTIMIZER] = {"optimizer", "adam:lr=0.000001", "with its settings"},
        [BATCH] = {"batch", "0", "push_pulls in a round, whose quantiles are its figures"},
        [SPIN] = {"spin", "0", "microseconds that waiting looks for an answer before it sleeps"},
        [CONGESTION] = {"congestion", "auto", "of TCP, as canyon_options has it"},
        [ROUNDS] = {"rounds", "0", "rounds to do"},
    };
    static const char *const names[2][2] = {{"push_pull", "CPU"}, {"p50", "p99"}};
    static struct worker worker;
    struct canyon_options canyon;
    limit_options(options, OPTIONS, argc, argv, "canyon-bench-worker: push_pulls of one tensor, told when");
    canyon_options_init(&canyon);
    canyon.servers = options[SERVER].value;
    canyon.timeout_ms = canyon.connect_ms = PATIENCE_MS;
    canyon.congestion = options[CONGESTION].value;
    canyon.spin_us = (uint32_t)limit_number(&options[SPIN], 0, 1000000);
    canyon.insecure_plaintext = options[KEY].value[0] == '\0';
    canyon.key_file = canyon.insecure_plaintext ? NULL : options[KEY].value;
    canyon.known_servers_file = canyon.insecure_plaintext ? NULL : options[KNOWN].value;
    worker.batch = limit_number(&options[BATCH], 0, MOST_BATCH);
    worker.times = calloc(worker.batch + 1, sizeof worker.times[0]);
    limit_must(worker.times != NULL, "memory");
    must(canyon_connect(&canyon, &worker.client), "canyon_connect");
    open_tensor(&worker, limit_number(&options[BYTES], 4, (uint64_t)1 << 36) / 4 * 4, options[OPTIMIZER].value);
    if (worker.batch > 0) {
        uint64_t request = 0, reply = 0;
        measure_frames(&worker, &request, &reply);
        printf("ready %llu %llu bytes a request and a reply\n", (unsigned long long)request, (unsigned long long)reply);
    } else {
        printf("ready %s\n", canyon.insecure_plaintext ? "in plaintext" : "encrypted");
    }
    limit_serve(worker.batch > 0 ? often : once, &worker, names[worker.batch > 0], 2,
                limit_number(&options[ROUNDS], 0, LIMIT_ROUNDS));
    canyon_tensor_close(worker.tensor);
    canyon_close(worker.client);
    free(worker.times);
    return 0;
}
