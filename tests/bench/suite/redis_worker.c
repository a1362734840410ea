/* What Redis does with rows: for every batch an MGET of its unique ids and an MSET of as many values of 64 bytes (16
 * float32), so many batches in flight, through hiredis, to a redis-server process of its own on loopback that keeps
 * nothing on disk. Obeys as the limit programs do (limits/limit.h).
 *
 * It only stores: the optimizer's step would be the worker's, and is left out. Figures of a round, in nanoseconds: its
 * time, and this process's processor time. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/limits/limit.h"
#include "tests/bench/suite/row_batches.h"

#define VALUE_BYTES 64
#define PATIENCE    200 /* tries to connect, 50 ms apart */

struct worker {
    struct row_batches batches;
    size_t in_flight;
    redisContext *redis;
    const char **words;
    size_t *lengths;
    char value[VALUE_BYTES];
    pid_t server;
};

/* A port that is free now. */
static uint16_t free_port(void) {
    uint16_t port = 0;
    close(limit_listen(&port, NULL));
    return port;
}

static void become_server(uint16_t port) {
    char text[16];
    const int nothing = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(text, sizeof text, "%u", port);
    dup2(nothing, STDIN_FILENO);
    dup2(nothing, STDOUT_FILENO);
    dup2(nothing, STDERR_FILENO);
    execlp("redis-server", "redis-server", "--bind", "127.0.0.1", "--port", text, "--save", "", "--appendonly", "no",
           "--dir", "/tmp", (char *)NULL);
    _exit(127);
}

static void open_redis(struct worker *worker) {
    const uint16_t port = free_port();
    fflush(stdout);
    worker->server = fork();
    limit_must(worker->server >= 0, "fork");
    if (worker->server == 0)
        become_server(port);
    for (int i = 0; i < PATIENCE && worker->redis == NULL; i++) {
        usleep(50000);
        worker->redis = redisConnect("127.0.0.1", port);
        if (worker->redis != NULL && worker->redis->err != 0) {
            redisFree(worker->redis);
            worker->redis = NULL;
        }
    }
    limit_must(worker->redis != NULL, "redis-server does not answer");
}

/* Both commands of a batch, behind those that wait to be sent already. */
static void append(struct worker *worker, const struct row_batch *batch) {
    worker->words[0] = "MGET";
    worker->lengths[0] = 4;
    for (size_t i = 0; i < batch->count; i++) {
        worker->words[1 + i] = (const char *)&batch->ids[i];
        worker->lengths[1 + i] = sizeof batch->ids[i];
    }
    limit_must(redisAppendCommandArgv(worker->redis, (int)(1 + batch->count), worker->words, worker->lengths) ==
                   REDIS_OK,
               "MGET");
    worker->words[0] = "MSET";
    for (size_t i = 0; i < batch->count; i++) {
        worker->words[1 + 2 * i] = (const char *)&batch->ids[i];
        worker->lengths[1 + 2 * i] = sizeof batch->ids[i];
        worker->words[2 + 2 * i] = worker->value;
        worker->lengths[2 + 2 * i] = VALUE_BYTES;
    }
    limit_must(redisAppendCommandArgv(worker->redis, (int)(1 + 2 * batch->count), worker->words, worker->lengths) ==
                   REDIS_OK,
               "MSET");
}

static void take(struct worker *worker, const struct row_batch *batch) {
    redisReply *reply = NULL;
    for (int i = 0; i < 2; i++) {
        limit_must(redisGetReply(worker->redis, (void **)&reply) == REDIS_OK && reply->type != REDIS_REPLY_ERROR,
                   "a reply of Redis");
        limit_must(i == 1 || reply->elements == batch->count, "as many values as ids");
        freeReplyObject(reply);
    }
}

static void all_batches(void *user, double *figures) {
    struct worker *worker = user;
    const struct row_batches *batches = &worker->batches;
    const uint64_t processor = limit_cpu(), from = limit_now();
    for (size_t i = 0; i < batches->count + worker->in_flight; i++) {
        if (i >= worker->in_flight)
            take(worker, &batches->items[i - worker->in_flight]);
        if (i < batches->count)
            append(worker, &batches->items[i]);
    }
    figures[0] = (double)(limit_now() - from);
    figures[1] = (double)(limit_cpu() - processor);
}

int main(int argc, char **argv) {
    enum { ROWS, DRAWS, BATCHES, IN_FLIGHT, ROUNDS, OPTIONS };
    struct limit_option options[OPTIONS] = {
        [ROWS] = {"rows", "10000000", "from which ids are drawn; they are made as they come"},
        [DRAWS] = {"draws", "4096", "of a batch, by Zipf's law (1.05), before they are merged"},
        [BATCHES] = {"batches", "40", "in a round"},
        [IN_FLIGHT] = {"in-flight", "8", "batches under way"},
        [ROUNDS] = {"rounds", "0", "rounds to do"},
    };
    static const char *const names[] = {"MGET and MSET", "CPU"};
    static struct worker worker;
    double figures[LIMIT_FIGURES];
    int status = 0;
    limit_options(options, OPTIONS, argc, argv, "canyon-bench-redis: rows in Redis");
    worker.in_flight = limit_number(&options[IN_FLIGHT], 1, 64);
    row_batches_make(&worker.batches, limit_number(&options[ROWS], 1, 1u << 28),
                     limit_number(&options[DRAWS], 1, 1u << 20), limit_number(&options[BATCHES], 1, 100000));
    worker.words = calloc(2 * worker.batches.most + 1, sizeof worker.words[0]);
    worker.lengths = calloc(2 * worker.batches.most + 1, sizeof worker.lengths[0]);
    limit_must(worker.words != NULL && worker.lengths != NULL, "memory");
    memset(worker.value, 1, sizeof worker.value);
    open_redis(&worker);
    all_batches(&worker, figures); /* makes the rows */
    printf("ready %zu rows in a round\n", worker.batches.rows);
    limit_serve(all_batches, &worker, names, 2, limit_number(&options[ROUNDS], 0, LIMIT_ROUNDS));
    redisFree(worker.redis);
    kill(worker.server, SIGTERM);
    waitpid(worker.server, &status, 0);
    free(worker.words);
    free(worker.lengths);
    row_batches_finish(&worker.batches);
    return 0;
}
