#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/message_codec.h"

static void *arena_take(void *user, size_t count) {
    struct message_unpacking *unpacking = user;
    size_t room = MESSAGE_ARENA_BYTES - unpacking->used;
    /* protobuf-c takes NULL for a failure whatever the count. */
    size_t rounded = (count + 15) / 16 * 16;
    if (count > room || rounded > room) {
        unpacking->exhausted = true;
        return NULL;
    }
    void *memory = unpacking->arena + unpacking->used;
    unpacking->used += rounded;
    return memory;
}

/* The arena goes as a whole, with the stack frame it lives in. */
static void arena_release(void *user, void *memory) {
    (void)user;
    (void)memory;
}

const void *message_unpack(struct message_unpacking *unpacking, const char *name,
                           const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t count,
                           struct error *error) {
    unpacking->name = name;
    unpacking->error = error;
    unpacking->status = CANYON_OK;
    unpacking->used = 0;
    unpacking->exhausted = false;
    if (count > LIMIT_MESSAGE_BYTES) {
        message_fail(unpacking, "%zu bytes are more than the limit of %d", count, LIMIT_MESSAGE_BYTES);
        return NULL;
    }
    ProtobufCAllocator allocator = {.alloc = arena_take, .free = arena_release, .allocator_data = unpacking};
    const ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, &allocator, count, bytes);
    if (message == NULL && unpacking->exhausted) {
        message_fail(unpacking, "%zu bytes unpack to more than any legal message does", count);
    } else if (message == NULL) {
        message_fail(unpacking, "%zu bytes are not a well-formed message", count);
    }
    return message;
}

void message_fail(struct message_unpacking *unpacking, const char *format, ...) {
    if (unpacking->status != CANYON_OK) {
        return;
    }
    char text[ERROR_TEXT_BYTES - 32];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    unpacking->status = error_set(unpacking->error, CANYON_PROTOCOL, "message %s: %s", unpacking->name,
                                  length < 0 ? "is not valid" : text);
}

void message_take_text(struct message_unpacking *unpacking, const char *field, const char *from, char *to,
                       size_t room) {
    size_t length = strnlen(from, room);
    if (unpacking->status != CANYON_OK) {
        return;
    }
    if (length == room) {
        message_fail(unpacking, "%s is longer than %zu bytes", field, room - 1);
        return;
    }
    memcpy(to, from, length);
    to[length] = '\0';
}

void message_take_prose(const char *from, char *to, size_t room) {
    size_t length = strnlen(from, room - 1);
    memcpy(to, from, length);
    to[length] = '\0';
}

void message_take_bytes(struct message_unpacking *unpacking, const char *field, const ProtobufCBinaryData *from,
                        uint8_t *to, size_t count) {
    if (from->len != count) {
        message_fail(unpacking, "%s has %zu bytes instead of %zu", field, from->len, count);
    } else if (unpacking->status == CANYON_OK) {
        memcpy(to, from->data, count);
    }
}

uint64_t message_take_number(struct message_unpacking *unpacking, const char *field, uint64_t value, uint64_t low,
                             uint64_t high) {
    if (value < low || value > high) {
        message_fail(unpacking, "%s is %" PRIu64 ", which is not within %" PRIu64 " to %" PRIu64, field, value, low,
                     high);
        return low;
    }
    return value;
}

uint32_t message_take_count(struct message_unpacking *unpacking, const char *field, size_t count, size_t limit) {
    if (count > limit) {
        message_fail(unpacking, "%zu %s, the limit is %zu", count, field, limit);
        return 0;
    }
    return unpacking->status == CANYON_OK ? (uint32_t)count : 0;
}

enum canyon_status message_status(uint32_t code) {
    return code <= CANYON_STATUS_LAST ? (enum canyon_status)code : CANYON_INTERNAL;
}

size_t message_pack(const ProtobufCMessage *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    size_t count = protobuf_c_message_get_packed_size(message);
    assert(count <= LIMIT_MESSAGE_BYTES);
    return protobuf_c_message_pack(message, bytes);
}

char *message_give_text(const char *text) {
    return (char *)text;
}

ProtobufCBinaryData message_give_bytes(const uint8_t *bytes, size_t count) {
    return (ProtobufCBinaryData){.len = count, .data = (uint8_t *)bytes};
}
