#include "tests/schedules/host_state.h"

#include <stdlib.h>
#include <string.h>

#include "common/endian.h"
#include "server/command.h"

#define PREFIX 8 /* bytes of a length: commands stay aligned as they have to be */

static size_t aligned(size_t bytes) {
    return (bytes + 7) / 8 * 8;
}

/* A shard's watcher: the command took a place in its order. */
static void note(void *user, const struct command *command) {
    struct host_log *log = user;
    const size_t bytes = command_bytes(command), more = PREFIX + aligned(bytes);
    if (log->used + more > log->room) {
        log->room = (log->used + more) * 2;
        log->bytes = schedule_memory(realloc(log->bytes, log->room));
    }
    store_u64(log->bytes + log->used, bytes);
    command_encode(command, log->bytes + log->used + PREFIX);
    log->used += more;
    if (log->host->oracle != NULL) {
        const uint32_t thread = job_thread_of(log->host->job, log->shard, log->host->threads);
        witness_noted(&log->host->witnesses[thread], log->shard, command);
        pace_noted(log->host->oracle, log->shard, log->host->era, command);
    }
}

static uint32_t thread_of(const struct host *host, uint32_t shard) {
    return job_thread_of(host->job, shard, host->threads);
}

static bool owns(const struct host *host, uint32_t shard) {
    return job_server_of(host->job, shard) == host->index;
}

void host_watch(struct host *host) {
    for (uint32_t shard = 0; shard < host->job->shards; shard++) {
        host->logs[shard].host = host;
        host->logs[shard].shard = shard;
        if (owns(host, shard) &&
            !handler_watch(host->handlers[thread_of(host, shard)], shard, note, &host->logs[shard])) {
            schedule_fail(host->schedule, "shard %u is not where it should be", shard);
        }
    }
}

static void replay(struct host *host, struct handler *handler, const struct host_log *log) {
    for (size_t at = 0; at < log->used;) {
        const size_t bytes = (size_t)load_u64(log->bytes + at);
        struct tensor_spec spec;
        struct command command;
        struct error error;
        if (command_decode(log->bytes + at + PREFIX, bytes, &spec, &command, &error) != CANYON_OK ||
            handler_replay(handler, log->shard, &command, &error) != CANYON_OK) {
            schedule_fail(host->schedule, "shard %u of server %u: a command of its log cannot be replayed: %s",
                          log->shard, host->index, error.text);
            return;
        }
        at += PREFIX + aligned(bytes);
    }
}

void host_replay(struct host *host, struct handler *const *handlers) {
    for (uint32_t shard = 0; shard < host->job->shards; shard++) {
        if (owns(host, shard)) {
            replay(host, handlers[thread_of(host, shard)], &host->logs[shard]);
        }
    }
}

void host_settle(struct host *host) {
    for (uint32_t shard = 0; shard < host->job->shards; shard++) {
        host->logs[shard].settled = host->logs[shard].used;
        if (host->oracle != NULL) {
            host->logs[shard].modes = host->oracle->shards[shard];
        }
    }
}

void host_forget(struct host *host) {
    for (uint32_t shard = 0; shard < host->job->shards; shard++) {
        host->logs[shard].used = host->logs[shard].settled;
        if (host->oracle != NULL && owns(host, shard)) {
            pace_lost(host->oracle, shard, &host->logs[shard].modes);
        }
    }
}

/* ---- the same again ---- */

/* The digests of a thread's shards: owned. */
static uint8_t *digests_of(struct host *host, struct handler *handler, struct inner *inner, size_t *count) {
    struct handler *const kept = host->handlers[0];
    struct host_reply reply;
    host->handlers[0] = handler;
    host_ask(host, inner, 0, FRAME_DIGEST, NULL, 0, &reply);
    host->handlers[0] = kept;
    *count = host->schedule->failed ? 0 : reply.header.payload_bytes;
    uint8_t *copy = schedule_memory(malloc(*count + 1));
    if (*count > 0) {
        memcpy(copy, reply.payload, *count);
    }
    return copy;
}

void host_check_log(struct host *host) {
    struct handler *again[HOST_THREADS] = {NULL};
    struct inner inner = {.bytes = NULL};
    for (uint32_t thread = 0; thread < host->threads; thread++) {
        again[thread] =
            schedule_memory(handler_create(host->job, host->index, thread, host->threads, &host->environment));
    }
    host_replay(host, again);
    for (uint32_t thread = 0; thread < host->threads && !host->schedule->failed; thread++) {
        size_t count = 0, count_again = 0;
        uint8_t *digests = digests_of(host, host->handlers[thread], &inner, &count);
        uint8_t *digests_again = digests_of(host, again[thread], &inner, &count_again);
        if (count != count_again || memcmp(digests, digests_again, count) != 0) {
            schedule_fail(host->schedule, "server %u, thread %u: its log replayed has other digests", host->index,
                          thread);
        }
        free(digests);
        free(digests_again);
    }
    for (uint32_t thread = 0; thread < host->threads; thread++) {
        handler_destroy(again[thread]);
    }
    free(inner.bytes);
}
