/* Handlers without sockets: all threads of all servers of a job in one process, clients whose replies are kept in
 * memory, and a clock that a test turns by hand. */
#ifndef CANYON_TESTS_UNIT_SERVER_HANDLER_FIXTURE_H
#define CANYON_TESTS_UNIT_SERVER_HANDLER_FIXTURE_H

#include "tests/unit/server/fixture.h"

#include "common/endian.h"
#include "server/handler.h"

#define BENCH_HANDLERS 16
#define MS             1000000ull

struct bench {
    struct job job;
    uint32_t servers, threads;
    struct handler *handlers[BENCH_HANDLERS];
    struct handler_environment environment;
    uint64_t now, random;
};

static inline uint64_t bench_now(void *user) {
    return ((struct bench *)user)->now;
}

static inline void bench_random(void *user, void *bytes, size_t count) {
    uint64_t *random = &((struct bench *)user)->random;
    for (size_t i = 0; i < count; i++) {
        ((uint8_t *)bytes)[i] = (uint8_t)seed_next(random);
    }
}

static inline struct handler *bench_handler(struct bench *bench, uint32_t server, uint32_t thread) {
    return bench->handlers[server * bench->threads + thread];
}

static inline void bench_init(struct bench *bench, uint32_t servers, uint32_t threads, uint32_t shards,
                              uint32_t block) {
    memset(bench, 0, sizeof *bench);
    bench->job = fixture_job(servers, shards, block);
    bench->servers = servers;
    bench->threads = threads;
    bench->now = 5000 * MS;
    bench->environment = (struct handler_environment){.now = bench_now, .random = bench_random, .user = bench};
    assert_true(servers * threads <= BENCH_HANDLERS);
    for (uint32_t i = 0; i < servers * threads; i++) {
        bench->handlers[i] = handler_create(&bench->job, i / threads, i % threads, threads, &bench->environment);
        assert_non_null(bench->handlers[i]);
    }
}

static inline void bench_finish(struct bench *bench) {
    for (uint32_t i = 0; i < bench->servers * bench->threads; i++) {
        handler_destroy(bench->handlers[i]);
    }
    job_finish(&bench->job);
}

/* Turns the clock and lets every handler see it. */
static inline void bench_pass(struct bench *bench, uint64_t ms) {
    bench->now += ms * MS;
    for (uint32_t i = 0; i < bench->servers * bench->threads; i++) {
        handler_tick(bench->handlers[i]);
    }
}

static inline uint32_t bench_place(const struct bench *bench, uint32_t shard) {
    return job_server_of(&bench->job, shard) * bench->threads + job_thread_of(&bench->job, shard, bench->threads);
}

/* The digest of a shard, wherever it is. Out of the DIGESTS replies, see client_digests. */
struct bench_digests {
    struct digest digests[64];
    uint64_t sequences[64];
};

/* ---- Clients ---- */

struct reply {
    struct frame_header header;
    uint8_t message[LIMIT_MESSAGE_BYTES];
    uint8_t *payload; /* owned */
    struct reply *next;
};

struct client {
    struct handler_peer peer; /* first: a peer's pointer is its client's */
    struct handler *handler;
    uint64_t requests;
    struct reply *first, **end;
    size_t waiting; /* replies not taken */
    bool closed;    /* the handler has ended it */
};

static inline void client_send(struct handler_peer *peer, const struct handler_slice *slices, size_t count) {
    struct client *client = (struct client *)(void *)peer;
    struct reply *reply = calloc(1, sizeof *reply);
    size_t total = 0, at = 0;
    for (size_t i = 0; i < count; i++) {
        total += slices[i].count;
    }
    uint8_t *bytes = malloc(total);
    for (size_t i = 0; i < count; i++) {
        memcpy(bytes + at, slices[i].bytes, slices[i].count);
        at += slices[i].count;
    }
    assert_true(total >= FRAME_HEADER_BYTES);
    assert_int_equal(frame_header_decode(bytes, FRAME_PAYLOAD_LIMIT, &reply->header, NULL), CANYON_OK);
    assert_int_equal(total, FRAME_HEADER_BYTES + reply->header.message_bytes + reply->header.payload_bytes);
    memcpy(reply->message, bytes + FRAME_HEADER_BYTES, reply->header.message_bytes);
    reply->payload = malloc(reply->header.payload_bytes + (size_t)1);
    memcpy(reply->payload, bytes + FRAME_HEADER_BYTES + reply->header.message_bytes, reply->header.payload_bytes);
    free(bytes);
    *client->end = reply;
    client->end = &reply->next;
    client->waiting++;
}

static inline void client_close(struct handler_peer *peer) {
    ((struct client *)(void *)peer)->closed = true;
}

static inline void client_come(struct client *client, struct handler *handler, unsigned session, const char *name) {
    memset(client, 0, sizeof *client);
    client->handler = handler;
    client->end = &client->first;
    client->peer.send = client_send;
    client->peer.close = client_close;
    fixture_session(client->peer.session, session);
    snprintf(client->peer.name, sizeof client->peer.name, "%s", name);
    client->peer.role = ROLE_ADMIN;
    assert_int_equal(handler_peer_came(handler, &client->peer, NULL), CANYON_OK);
}

static inline void reply_free(struct reply *reply) {
    free(reply->payload);
    free(reply);
}

/* Goes away; no reply may have been left untaken. */
static inline void client_go(struct client *client) {
    handler_peer_gone(client->handler, &client->peer);
    assert_int_equal(client->waiting, 0);
}

/* Sends a request and returns its id. The message and payload are exact copies, so that a read beyond them is seen. */
static inline uint64_t client_ask(struct client *client, unsigned type, const uint8_t *message, size_t message_bytes,
                                  const void *payload, size_t payload_bytes) {
    uint8_t *copy = malloc(message_bytes + 1);
    uint8_t *values = aligned_alloc(64, (payload_bytes + 64) / 64 * 64);
    if (message_bytes > 0) {
        memcpy(copy, message, message_bytes);
    }
    if (payload_bytes > 0) {
        memcpy(values, payload, payload_bytes);
    }
    struct frame frame = {.header = {.version = FRAME_VERSION,
                                     .type = (uint16_t)type,
                                     .message_bytes = (uint32_t)message_bytes,
                                     .payload_bytes = (uint32_t)payload_bytes,
                                     .request = ++client->requests},
                          .message = copy,
                          .payload = values};
    handler_frame(client->handler, &client->peer, &frame);
    free(copy);
    free(values);
    return client->requests;
}

/* The oldest reply not taken yet, which must answer `request` with `type`. Owned: reply_free. */
static inline struct reply *client_take(struct client *client, uint64_t request, unsigned type) {
    struct reply *reply = client->first;
    if (reply == NULL) {
        fail_msg("no reply to request %llu, expected %s", (unsigned long long)request, frame_type_name(type));
        return NULL;
    }
    client->first = reply->next;
    client->end = client->first == NULL ? &client->first : client->end;
    client->waiting--;
    if (reply->header.type != type && reply->header.type == FRAME_ERROR) {
        struct error error, ignored;
        (void)message_unpack_error(reply->message, reply->header.message_bytes, &error, &ignored);
        fail_msg("%s instead of %s: %s", status_name(error.status), frame_type_name(type), error.text);
    }
    assert_int_equal(reply->header.type, type);
    assert_true(reply->header.request == request);
    return reply;
}

/* The oldest reply is an ERROR with this code, whose text holds the fragment. */
static inline void client_fails(struct client *client, uint64_t request, enum canyon_status status,
                                const char *fragment) {
    struct reply *reply = client_take(client, request, FRAME_ERROR);
    struct error error, ignored;
    assert_int_equal(message_unpack_error(reply->message, reply->header.message_bytes, &error, &ignored), CANYON_OK);
    if (error.status != status || strstr(error.text, fragment) == NULL) {
        fail_msg("expected %s with '%s', got %s: %s", status_name(status), fragment, status_name(error.status),
                 error.text);
    }
    reply_free(reply);
}

static inline void client_succeeds(struct client *client, uint64_t request, unsigned type) {
    reply_free(client_take(client, request, type));
}

/* ---- Requests ---- */

static inline uint64_t ask_create(struct client *client, const struct tensor_spec *spec, uint32_t wait_ms) {
    struct message_create message = {.spec = *spec, .wait_ms = wait_ms};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    return client_ask(client, FRAME_CREATE, bytes, message_pack_create(&message, bytes), NULL, 0);
}

static inline struct message_created take_created(struct client *client, uint64_t request) {
    struct reply *reply = client_take(client, request, FRAME_CREATED);
    struct message_created created;
    assert_int_equal(message_unpack_created(reply->message, reply->header.message_bytes, &created, NULL), CANYON_OK);
    reply_free(reply);
    return created;
}

static inline uint64_t ask_open(struct client *client, const char *name, uint32_t wait_ms) {
    struct message_open message = {.wait_ms = wait_ms};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    snprintf(message.name, sizeof message.name, "%s", name);
    return client_ask(client, FRAME_OPEN, bytes, message_pack_open(&message, bytes), NULL, 0);
}

static inline struct tensor_info take_opened(struct client *client, uint64_t request) {
    struct reply *reply = client_take(client, request, FRAME_OPENED);
    struct tensor_info info;
    assert_int_equal(message_unpack_opened(reply->message, reply->header.message_bytes, &info, NULL), CANYON_OK);
    reply_free(reply);
    return info;
}

static inline uint64_t ask_define(struct client *client, const struct tensor_info *info) {
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    return client_ask(client, FRAME_DEFINE, bytes, message_pack_define(info, bytes), NULL, 0);
}

/* COMPLETE, DROP, UNDEFINE, DROPPED. */
static inline uint64_t ask_tensor(struct client *client, unsigned type, uint64_t id, const char *name) {
    struct message_tensor message = {.id = id};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    snprintf(message.name, sizeof message.name, "%s", name);
    return client_ask(client, type, bytes, message_pack_tensor(&message, bytes), NULL, 0);
}

static inline uint64_t ask_pieces(struct client *client, unsigned type, const struct message_pieces *pieces,
                                  const float *values, size_t count) {
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    return client_ask(client, type, bytes, message_pack_pieces(pieces, bytes), values, count * sizeof(float));
}

static inline uint64_t ask_piece(struct client *client, unsigned type, uint64_t tensor, uint32_t block,
                                 uint32_t elements, uint64_t version, const float *values) {
    struct message_pieces pieces = {
        .count = 1, .pieces = {{.tensor = tensor, .block = block, .elements = elements, .version = version}}};
    return ask_pieces(client, type, &pieces, values, type == FRAME_PULL ? 0 : elements);
}

/* ASSIGN and PULL of optimizer state. */
static inline uint64_t ask_slot(struct client *client, unsigned type, uint64_t tensor, uint32_t block,
                                uint32_t elements, uint32_t slot, const void *values) {
    struct message_pieces pieces = {.count = 1,
                                    .pieces = {{.tensor = tensor, .block = block, .elements = elements, .slot = slot}}};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    return client_ask(client, type, bytes, message_pack_pieces(&pieces, bytes), values,
                      type == FRAME_PULL ? 0 : elements * sizeof(float));
}

static inline struct message_piece_results results_of(const struct reply *reply) {
    struct message_piece_results results;
    assert_int_equal(message_unpack_piece_results(reply->message, reply->header.message_bytes, &results, NULL),
                     CANYON_OK);
    return results;
}

static inline uint64_t ask_join(struct client *client) {
    struct message_join message = {.name = "worker"};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    return client_ask(client, FRAME_JOIN, bytes, message_pack_join(&message, bytes), NULL, 0);
}

static inline struct message_joined take_joined(struct client *client, uint64_t request) {
    struct reply *reply = client_take(client, request, FRAME_JOINED);
    struct message_joined joined;
    assert_int_equal(message_unpack_joined(reply->message, reply->header.message_bytes, &joined, NULL), CANYON_OK);
    reply_free(reply);
    return joined;
}

static inline uint64_t ask_barrier(struct client *client, const char *name, uint32_t count, uint32_t wait_ms) {
    struct message_barrier message = {.count = count, .wait_ms = wait_ms};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    snprintf(message.name, sizeof message.name, "%s", name);
    return client_ask(client, FRAME_BARRIER, bytes, message_pack_barrier(&message, bytes), NULL, 0);
}

static inline struct message_statistics client_statistics(struct client *client) {
    struct message_statistics statistics;
    struct reply *reply =
        client_take(client, client_ask(client, FRAME_STATISTICS, NULL, 0, NULL, 0), FRAME_STATISTICS_ARE);
    assert_int_equal(message_unpack_statistics(reply->message, reply->header.message_bytes, &statistics, NULL),
                     CANYON_OK);
    reply_free(reply);
    return statistics;
}

/* Adds the digests of the shards behind this client. */
static inline void client_digests(struct client *client, struct bench_digests *digests) {
    struct reply *reply = client_take(client, client_ask(client, FRAME_DIGEST, NULL, 0, NULL, 0), FRAME_DIGESTS);
    assert_int_equal(reply->header.payload_bytes % MESSAGE_DIGEST_ENTRY_BYTES, 0);
    for (size_t at = 0; at < reply->header.payload_bytes; at += MESSAGE_DIGEST_ENTRY_BYTES) {
        uint32_t shard = load_u32(reply->payload + at);
        assert_true(shard < 64);
        digests->sequences[shard] = load_u64(reply->payload + at + 4);
        memcpy(digests->digests[shard].bytes, reply->payload + at + 12, HASH_BYTES);
    }
    reply_free(reply);
}

/* ---- A whole worker: one client on every thread of every server ---- */

struct worker {
    struct bench *bench;
    struct client clients[BENCH_HANDLERS];
};

static inline void worker_come(struct worker *worker, struct bench *bench, unsigned session, const char *name) {
    worker->bench = bench;
    for (uint32_t i = 0; i < bench->servers * bench->threads; i++) {
        client_come(&worker->clients[i], bench->handlers[i], session, name);
    }
}

static inline void worker_go(struct worker *worker) {
    for (uint32_t i = 0; i < worker->bench->servers * worker->bench->threads; i++) {
        client_go(&worker->clients[i]);
    }
}

/* The client whose handler owns a block. */
static inline struct client *worker_client(struct worker *worker, const char *name, uint32_t block) {
    return &worker->clients[bench_place(worker->bench, job_shard_of(&worker->bench->job, job_home(name), block))];
}

/* Defines the parts of a tensor everywhere. */
static inline void worker_define(struct worker *worker, const struct tensor_info *info) {
    for (uint32_t i = 0; i < worker->bench->servers * worker->bench->threads; i++) {
        client_succeeds(&worker->clients[i], ask_define(&worker->clients[i], info), FRAME_DEFINED);
    }
}

/* Creates a tensor from first to last. Client 0's handler owns shard 0. */
static inline struct tensor_info worker_create(struct worker *worker, const struct tensor_spec *spec) {
    struct client *catalogue = &worker->clients[0];
    struct message_created created = take_created(catalogue, ask_create(catalogue, spec, 0));
    assert_true(created.creator);
    worker_define(worker, &created.tensor);
    client_succeeds(catalogue, ask_tensor(catalogue, FRAME_COMPLETE, created.tensor.id, spec->name), FRAME_COMPLETED);
    return created.tensor;
}

static inline void worker_digests(struct worker *worker, struct bench_digests *digests) {
    memset(digests, 0, sizeof *digests);
    for (uint32_t i = 0; i < worker->bench->servers * worker->bench->threads; i++) {
        client_digests(&worker->clients[i], digests);
    }
}

#endif
