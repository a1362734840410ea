/* The messages of a connection and of workers: hello, welcome, error, join, barrier. */
#include <string.h>

#include "common/message_codec.h"

size_t message_pack_hello(const struct message_hello *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Hello wire = CANYON__HELLO__INIT;
    wire.protocol = message->protocol;
    wire.thread = message->thread;
    wire.session = message_give_bytes(message->session, sizeof message->session);
    if (message->has_digest) {
        wire.digest = message_give_bytes(message->digest, sizeof message->digest);
    }
    wire.name = message_give_text(message->name);
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_hello(const uint8_t *bytes, size_t count, struct message_hello *message,
                                        struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Hello *wire = message_unpack(&unpacking, "HELLO", &canyon__hello__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->protocol = wire->protocol;
    message->thread = wire->thread;
    message_take_bytes(&unpacking, "session", &wire->session, message->session, sizeof message->session);
    message->has_digest = wire->digest.len != 0;
    if (message->has_digest) {
        message_take_bytes(&unpacking, "digest", &wire->digest, message->digest, sizeof message->digest);
    }
    message_take_text(&unpacking, "name", wire->name, message->name, sizeof message->name);
    return unpacking.status;
}

size_t message_pack_welcome(const struct message_welcome *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Welcome wire = CANYON__WELCOME__INIT;
    wire.protocol = message->protocol;
    wire.thread = message->thread;
    wire.threads = message->threads;
    wire.boot = message_give_bytes(message->boot, sizeof message->boot);
    wire.digest = message_give_bytes(message->digest, sizeof message->digest);
    wire.job = message_give_text(message->job);
    wire.shards = message->shards;
    wire.block = message->block;
    wire.server = message->server;
    wire.version = message_give_text(message->version);
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_welcome(const uint8_t *bytes, size_t count, struct message_welcome *message,
                                          struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Welcome *wire =
        message_unpack(&unpacking, "WELCOME", &canyon__welcome__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->protocol = wire->protocol;
    message->threads = (uint32_t)message_take_number(&unpacking, "threads", wire->threads, 1, LIMIT_THREADS);
    message->thread = (uint32_t)message_take_number(&unpacking, "thread", wire->thread, 0, message->threads - 1);
    message_take_bytes(&unpacking, "boot", &wire->boot, message->boot, sizeof message->boot);
    message_take_bytes(&unpacking, "digest", &wire->digest, message->digest, sizeof message->digest);
    message_take_text(&unpacking, "job", wire->job, message->job, sizeof message->job);
    message->shards = (uint32_t)message_take_number(&unpacking, "shards", wire->shards, 1, LIMIT_SHARDS);
    if ((message->shards & (message->shards - 1)) != 0) {
        message_fail(&unpacking, "shards is %u, which is not a power of two", (unsigned)message->shards);
    }
    message->block = (uint32_t)message_take_number(&unpacking, "block", wire->block, LIMIT_BLOCK_LOW, LIMIT_BLOCK_HIGH);
    message->server = (uint32_t)message_take_number(&unpacking, "server", wire->server, 0, LIMIT_SERVERS - 1);
    message_take_text(&unpacking, "version", wire->version, message->version, sizeof message->version);
    return unpacking.status;
}

size_t message_pack_error(const struct error *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Error wire = CANYON__ERROR__INIT;
    wire.code = (uint32_t)message->status;
    wire.text = message_give_text(message->text);
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_error(const uint8_t *bytes, size_t count, struct error *message,
                                        struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Error *wire = message_unpack(&unpacking, "ERROR", &canyon__error__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    if (wire->code == CANYON_OK) {
        message_fail(&unpacking, "code is 0, which is no error");
    }
    message->status = message_status(wire->code);
    message_take_prose(wire->text, message->text, sizeof message->text);
    return unpacking.status;
}

size_t message_pack_join(const struct message_join *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Join wire = CANYON__JOIN__INIT;
    wire.name = message_give_text(message->name);
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_join(const uint8_t *bytes, size_t count, struct message_join *message,
                                       struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Join *wire = message_unpack(&unpacking, "JOIN", &canyon__join__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message_take_text(&unpacking, "name", wire->name, message->name, sizeof message->name);
    return unpacking.status;
}

size_t message_pack_joined(const struct message_joined *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Joined wire = CANYON__JOINED__INIT;
    wire.rank = message->rank;
    wire.count = message->count;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_joined(const uint8_t *bytes, size_t count, struct message_joined *message,
                                         struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Joined *wire = message_unpack(&unpacking, "JOINED", &canyon__joined__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->rank = wire->rank;
    message->count = wire->count;
    return unpacking.status;
}

size_t message_pack_barrier(const struct message_barrier *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Barrier wire = CANYON__BARRIER__INIT;
    wire.name = message_give_text(message->name);
    wire.count = message->count;
    wire.wait_ms = message->wait_ms;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_barrier(const uint8_t *bytes, size_t count, struct message_barrier *message,
                                          struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Barrier *wire =
        message_unpack(&unpacking, "BARRIER", &canyon__barrier__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message_take_text(&unpacking, "name", wire->name, message->name, sizeof message->name);
    message->count = wire->count;
    message->wait_ms = (uint32_t)message_take_number(&unpacking, "wait_ms", wire->wait_ms, 0, LIMIT_WAIT_MS);
    return unpacking.status;
}
