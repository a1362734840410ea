#include "tests/schedules/host.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/schedules/host_state.h"

/* ---- what handlers are given from outside ---- */

static uint64_t host_now(void *user) {
    return ((struct host *)user)->schedule->now;
}

static void host_random(void *user, void *bytes, size_t count) {
    schedule_bytes(((struct host *)user)->schedule, bytes, count);
}

static void make_handlers(struct host *host) {
    uint8_t boot[BOOT_BYTES];
    schedule_bytes(host->schedule, boot, sizeof boot);
    greeting_init(&host->greeting, host->job, host->index, host->threads, boot);
    for (uint32_t thread = 0; thread < host->threads; thread++) {
        host->handlers[thread] =
            schedule_memory(handler_create(host->job, host->index, thread, host->threads, &host->environment));
    }
}

void host_init(struct host *host, struct schedule *schedule, const struct job *job, uint32_t index, uint32_t threads) {
    memset(host, 0, sizeof *host);
    assert(threads <= HOST_THREADS && job->shards <= HOST_SHARDS);
    host->schedule = schedule;
    host->job = job;
    host->index = index;
    host->threads = threads;
    host->environment = (struct handler_environment){.now = host_now, .random = host_random, .user = host};
    make_handlers(host);
    host_watch(host);
}

static void destroy_handlers(struct host *host) {
    for (uint32_t thread = 0; thread < host->threads; thread++) {
        handler_destroy(host->handlers[thread]);
        host->handlers[thread] = NULL;
    }
}

void host_finish(struct host *host) {
    seats_abandon(host);
    destroy_handlers(host);
    while (host->spent != NULL) {
        struct seat *seat = host->spent;
        host->spent = seat->next;
        seat_destroy(seat);
    }
    for (uint32_t shard = 0; shard < HOST_SHARDS; shard++) {
        free(host->logs[shard].bytes);
    }
}

static uint32_t shard_of_thread(const struct host *host, uint32_t thread) {
    uint32_t shard = 0;
    while (job_server_of(host->job, shard) != host->index || job_thread_of(host->job, shard, host->threads) != thread) {
        shard++;
    }
    return shard;
}

void host_pace(struct host *host, struct oracle *oracle, uint32_t lease_ms) {
    host->oracle = oracle;
    host->environment.lease_ms = lease_ms;
    for (uint32_t thread = 0; thread < host->threads; thread++) {
        host->witnesses[thread].oracle = oracle;
        host->witnesses[thread].shard = shard_of_thread(host, thread);
        host->witnesses[thread].rules = host->witnesses[thread].shard == 0;
        host->witnesses[thread].lease = lease_ms * MILLISECOND;
    }
    destroy_handlers(host); /* they were made with other leases */
    make_handlers(host);
    host_watch(host);
}

void host_kill(struct host *host) {
    schedule_trace(host->schedule, "server %u is killed", host->index);
    host->stopped = false;
    seats_abandon(host);
    destroy_handlers(host);
}

void host_start(struct host *host, bool with_state) {
    assert(host->handlers[0] == NULL);
    schedule_trace(host->schedule, "server %u starts %s its state", host->index, with_state ? "with" : "without");
    host->restarts++;
    if (!with_state) {
        host->era++;
        host_forget(host);
    }
    for (uint32_t thread = 0; thread < host->threads; thread++) {
        witness_forget(&host->witnesses[thread], host->era);
    }
    make_handlers(host);
    host_replay(host, host->handlers);
    host_watch(host);
}

static void go_on(void *user, uint64_t stop) {
    struct host *host = user;
    if (!host_is_up(host) || !host->stopped || stop != host->stops) {
        return;
    }
    schedule_trace(host->schedule, "server %u goes on", host->index);
    host->stopped = false;
    for (uint32_t thread = 0; thread < host->threads; thread++) {
        witness_go_on(&host->witnesses[thread]);
    }
    seats_go_on(host); /* as server/reactor.c has it: what has come is looked at before any time is over */
    for (uint32_t thread = 0; thread < host->threads; thread++) {
        seats_tick(host, thread);
    }
}

void host_go_on(struct host *host) {
    go_on(host, host->stops);
}

void host_stop(struct host *host, uint64_t duration) {
    if (host_is_up(host) && !host->stopped) {
        schedule_trace(host->schedule, "server %u is stopped", host->index);
        host->stopped = true;
        for (uint32_t thread = 0; thread < host->threads; thread++) {
            witness_stop(&host->witnesses[thread]);
        }
        host->stops++;
        schedule_at(host->schedule, host->schedule->now + duration, go_on, host, host->stops);
    }
}

/* ---- requests from within ---- */

static void answer_within(struct handler_peer *peer, const struct handler_slice *slices, size_t count) {
    struct inner *inner = (struct inner *)(void *)peer;
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += slices[i].count;
    }
    if (total > inner->room) {
        free(inner->bytes);
        inner->room = total * 2;
        inner->bytes = schedule_memory(malloc(inner->room));
    }
    inner->count = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(inner->bytes + inner->count, slices[i].bytes, slices[i].count);
        inner->count += slices[i].count;
    }
}

enum canyon_status host_try(struct host *host, struct inner *inner, uint32_t thread, unsigned type,
                            const uint8_t *message, size_t message_bytes, struct host_reply *reply,
                            struct error *said) {
    struct error error;
    said->status = CANYON_OK;
    const struct frame frame = {.header = {.version = FRAME_VERSION,
                                           .type = (uint16_t)type,
                                           .message_bytes = (uint32_t)message_bytes,
                                           .payload_bytes = inner->payload_bytes,
                                           .request = 1},
                                .message = message,
                                .payload = inner->payload};
    inner->peer.send = answer_within;
    inner->peer.role = ROLE_ADMIN;
    inner->count = 0;
    if (handler_peer_came(host->handlers[thread], &inner->peer, &error) != CANYON_OK) {
        schedule_fail(host->schedule, "a peer could not come: %s", error.text);
        return CANYON_INTERNAL;
    }
    handler_frame(host->handlers[thread], &inner->peer, &frame);
    handler_peer_gone(host->handlers[thread], &inner->peer);
    memset(reply, 0, sizeof *reply);
    if (inner->count < FRAME_HEADER_BYTES ||
        frame_header_decode(inner->bytes, FRAME_PAYLOAD_LIMIT, &reply->header, &error) != CANYON_OK) {
        schedule_fail(host->schedule, "server %u did not answer %s at once", host->index, frame_type_name(type));
        return CANYON_INTERNAL;
    }
    reply->message = inner->bytes + FRAME_HEADER_BYTES;
    reply->payload = reply->message + reply->header.message_bytes;
    if (reply->header.type == FRAME_ERROR) {
        (void)message_unpack_error(reply->message, reply->header.message_bytes, said, &error);
    }
    return said->status;
}

void host_ask(struct host *host, struct inner *inner, uint32_t thread, unsigned type, const uint8_t *message,
              size_t message_bytes, struct host_reply *reply) {
    struct error said;
    if (host_try(host, inner, thread, type, message, message_bytes, reply, &said) != CANYON_OK &&
        said.status != CANYON_OK) {
        schedule_fail(host->schedule, "server %u answered %s: %s", host->index, frame_type_name(type), said.text);
    }
}
