/* What the message_*.c files share: the fixed arena that messages are unpacked in, and checked copies out of it.
 *
 * Only for them: it brings protobuf-c along. An unpacking collects the first failure, after which the take_ functions
 * do nothing, so that a message's unpack function is the plain list of its fields. */
#ifndef CANYON_COMMON_MESSAGE_CODEC_H
#define CANYON_COMMON_MESSAGE_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "canyon.pb-c.h"
#include "common/message.h"

/* Twice and more what the largest legal message takes; what needs more is an attack, which ends here. */
#define MESSAGE_ARENA_BYTES 32768

struct message_unpacking {
    const char *name; /* of the message, for texts */
    struct error *error;
    enum canyon_status status;
    size_t used; /* of the arena */
    bool exhausted;
    _Alignas(16) uint8_t arena[MESSAGE_ARENA_BYTES];
};

/* Unpacks `bytes` into the arena. NULL when they are malformed or need more than the arena: then unpacking->status is
 * PROTOCOL and the error is set. The result lives as long as `unpacking`, which needs no finish. */
const void *message_unpack(struct message_unpacking *unpacking, const char *name,
                           const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t count,
                           struct error *error);

/* Remembers a failure unless there was one before. */
void message_fail(struct message_unpacking *unpacking, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copies a text; fails when it does not fit `room` bytes with its NUL. */
void message_take_text(struct message_unpacking *unpacking, const char *field, const char *from, char *to, size_t room);

/* The same for a text meant for people: one that is too long is cut. */
void message_take_prose(const char *from, char *to, size_t room);

/* Copies exactly `count` bytes; fails for any other length. */
void message_take_bytes(struct message_unpacking *unpacking, const char *field, const ProtobufCBinaryData *from,
                        uint8_t *to, size_t count);

/* Returns `value` when it lies in low..high; else fails and returns `low`. */
uint64_t message_take_number(struct message_unpacking *unpacking, const char *field, uint64_t value, uint64_t low,
                             uint64_t high);

/* Returns a count of repeated fields when it is within `limit`; else fails and returns 0. */
uint32_t message_take_count(struct message_unpacking *unpacking, const char *field, size_t count, size_t limit);

/* A status from the wire: a number this build does not know becomes INTERNAL. */
enum canyon_status message_status(uint32_t code);

/* Packs into `bytes`; asserts that it fits. Returns the count. */
size_t message_pack(const ProtobufCMessage *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]);

/* protobuf-c's structs take texts without const, and read them only. */
char *message_give_text(const char *text);
ProtobufCBinaryData message_give_bytes(const uint8_t *bytes, size_t count);

#endif
