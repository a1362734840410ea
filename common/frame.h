/* A frame is the unit of the wire: a fixed header, a protobuf message of at most 4 KiB, and a raw payload.
 *
 *   offset size field
 *        0    4 magic "CNYN"
 *        4    1 version (1); bytes 0..7 keep their meaning in every version
 *        5    1 flags, zero
 *        6    2 type
 *        8    4 message bytes
 *       12    4 payload bytes
 *       16    8 request id, chosen by the client, echoed by the reply; 0 only for what answers no request
 *
 * All integers little-endian. Frames follow each other without a gap. */
#ifndef CANYON_COMMON_FRAME_H
#define CANYON_COMMON_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"
#include "common/status.h"

#define FRAME_HEADER_BYTES 24
#define FRAME_VERSION      1
/* Most bytes a payload may have in any job; a connection is usually given a smaller limit (its job's block). */
#define FRAME_PAYLOAD_LIMIT (LIMIT_BLOCK_HIGH * 4u)

/* Stable numbers. A request of type T is answered by type T+1, or by FRAME_ERROR. */
enum frame_type {
    FRAME_ERROR = 1,
    FRAME_HELLO = 2,
    FRAME_WELCOME = 3,
    FRAME_CREATE = 4, /* create-or-open; waits while another creates */
    FRAME_CREATED = 5,
    FRAME_OPEN = 6, /* waits until it exists and is complete */
    FRAME_OPENED = 7,
    FRAME_DEFINE = 8, /* make this tensor's parts on the shards of this thread */
    FRAME_DEFINED = 9,
    FRAME_COMPLETE = 10,
    FRAME_COMPLETED = 11,
    FRAME_DROP = 12, /* begin: from now on nobody opens it; the reply names the id */
    FRAME_DROPPING = 13,
    FRAME_UNDEFINE = 14, /* free its parts on the shards of this thread */
    FRAME_UNDEFINED = 15,
    FRAME_DROPPED = 16, /* end: the name is free again */
    FRAME_DROP_DONE = 17,
    FRAME_LIST = 18,
    FRAME_LISTED = 19,
    FRAME_ASSIGN = 20,
    FRAME_ASSIGNED = 21,
    FRAME_PUSH = 22,
    FRAME_PUSHED = 23,
    FRAME_PULL = 24,
    FRAME_PULLED = 25,
    FRAME_PUSH_PULL = 26,
    FRAME_PUSH_PULLED = 27,
    FRAME_JOIN = 28,
    FRAME_JOINED = 29,
    FRAME_BARRIER = 30,
    FRAME_BARRIER_PASSED = 31,
    FRAME_STATISTICS = 32,
    FRAME_STATISTICS_ARE = 33,
    FRAME_DIGEST = 34,
    FRAME_DIGESTS = 35,
    FRAME_OPTIMIZER = 36,
    FRAME_OPTIMIZER_IS = 37,
    FRAME_SET = 38, /* other settings for a complete tensor: ordered by shard 0 */
    FRAME_SET_DONE = 39,
    FRAME_ADJUST = 40, /* its parts on the shards of this thread take the settings of that epoch */
    FRAME_ADJUSTED = 41,
    FRAME_TABLE_PUSH = 42, /* rows of one table, in shards of this thread */
    FRAME_TABLE_PUSHED = 43,
    FRAME_TABLE_PULL = 44,
    FRAME_TABLE_PULLED = 45,
    FRAME_TABLE_PUSH_PULL = 46,
    FRAME_TABLE_PUSH_PULLED = 47,
    FRAME_TABLE_ERASE = 48,
    FRAME_TABLE_ERASED = 49,
    FRAME_TABLE_INFO = 50, /* how many rows there are, and so on */
    FRAME_TABLE_INFO_IS = 51,
    FRAME_TABLE_ROWS = 52, /* the next rows of one shard, in order of their ids */
    FRAME_TABLE_ROWS_ARE = 53,
    FRAME_RESUME = 54, /* after a reconnect: what of this session has come; its older connections end */
    FRAME_RESUMED = 55,
    FRAME_LEAVE = 56, /* the session is over: its numbers are forgotten */
    FRAME_LEFT = 57,
    FRAME_ENTER = 58, /* a worker begins to count clocks */
    FRAME_ENTERED = 59,
    FRAME_CLOCK = 60, /* how far it is; and that it lives */
    FRAME_CLOCKED = 61,
    FRAME_CONSISTENCY = 62, /* asks for the mode, or sets it */
    FRAME_CONSISTENCY_IS = 63,
    FRAME_MEMBERS = 64, /* the workers, a page of them */
    FRAME_MEMBERS_ARE = 65,
    FRAME_STALENESS = 66, /* a histogram of how stale pushes were */
    FRAME_STALENESS_IS = 67,
    FRAME_LAST = FRAME_STALENESS_IS /* the highest number */
};

struct frame_header {
    uint8_t version, flags;
    uint16_t type;
    uint32_t message_bytes, payload_bytes;
    uint64_t request;
};

/* A whole frame, borrowed from the reader until its next call. The payload is 64-byte aligned unless a target took it.
 */
struct frame {
    struct frame_header header;
    const uint8_t *message;
    const uint8_t *payload;
};

/* "PUSH_PULL"; "UNKNOWN_TYPE" for a number that is none. */
const char *frame_type_name(unsigned type);

/* Fills version and flags itself. */
void frame_header_encode(const struct frame_header *header, uint8_t bytes[FRAME_HEADER_BYTES]);

/* PROTOCOL for a wrong magic or non-zero flags, UNSUPPORTED (naming both versions) for another version, TOO_LARGE for a
 * message above LIMIT_MESSAGE_BYTES or a payload above `payload_limit`. Unknown types are the receiver's affair. */
enum canyon_status frame_header_decode(const uint8_t bytes[FRAME_HEADER_BYTES], uint32_t payload_limit,
                                       struct frame_header *header, struct error *error);

/* Where a frame's payload should be received: return memory of header->payload_bytes bytes, or NULL to let the reader
 * use its own aligned buffer. Called once per frame with a payload, when its header and message are whole. */
typedef void *(*frame_target)(void *user, const struct frame_header *header, const uint8_t *message);

/* Turns a stream of bytes, cut anywhere, into frames. It holds a 64 KiB scratch and at most one payload buffer of at
 * most `payload_limit` bytes, taken only after the header was checked. Not thread-safe. */
struct frame_reader {
    uint32_t payload_limit;
    frame_target target;
    void *user;
    uint8_t *scratch;     /* owned */
    size_t start, end;    /* unread bytes of scratch, beginning with the header and message of the current frame */
    uint8_t *payload;     /* owned, aligned; grown to the largest payload seen */
    size_t payload_room;  /* bytes of it, 0 without one */
    uint8_t *destination; /* where the current payload goes: payload or the target's memory */
    size_t payload_have;
    struct frame_header header;
    int stage;
    bool direct;               /* what arrives next goes straight into destination */
    bool bulk;                 /* the last payload was large: the next one probably is too */
    enum canyon_status broken; /* after an error every call answers it again */
};

/* NO_MEMORY when the scratch cannot be had. finish is safe on a zeroed reader and on NULL. */
enum canyon_status frame_reader_init(struct frame_reader *reader, uint32_t payload_limit, frame_target target,
                                     void *user, struct error *error);
void frame_reader_finish(struct frame_reader *reader);

/* Where to receive next and how much fits (always > 0 after frame_reader_next said it needs more). A large payload is
 * received straight into its destination. */
void frame_reader_space(struct frame_reader *reader, uint8_t **at, size_t *room);

/* `count` bytes were put at frame_reader_space's place. */
void frame_reader_received(struct frame_reader *reader, size_t count);

enum frame_reader_result { FRAME_READER_NEEDS_MORE = 0, FRAME_READER_FRAME = 1, FRAME_READER_BROKEN = -1 };

/* The next whole frame. Its memory is valid until the next call of next or space. On BROKEN the stream cannot go on. */
enum frame_reader_result frame_reader_next(struct frame_reader *reader, struct frame *frame, struct error *error);

/* Gives the payload buffer back, unless a payload is under way in it. The last frame is no longer valid. */
void frame_reader_trim(struct frame_reader *reader);

/* Between frames: as trim, and the scratch's pages go back to the system until they are needed again. Elsewhere it does
 * nothing. */
void frame_reader_rest(struct frame_reader *reader);

/* True between frames: nothing of a next frame has been received. */
int frame_reader_idle(const struct frame_reader *reader);

#endif
