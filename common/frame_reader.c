#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/frame.h"
#include "common/idle_memory.h"

#define SCRATCH_BYTES     65536u
#define PAYLOAD_ALIGNMENT 64u
/* From this much missing, a payload is received straight into its place; below, a copy is cheaper than the extra
 * receive. */
#define DIRECT_BYTES 16384u
/* After a large payload the next is probably large too: receiving little with its header leaves little to copy. */
#define BULK_HEADER_BYTES 8192u

_Static_assert(SCRATCH_BYTES >= 2 * (FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES), "a header and a message always fit");
_Static_assert(BULK_HEADER_BYTES >= FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES, "a header and a message come in one go");

enum stage {
    STAGE_HEADER = 0,  /* the header is not whole */
    STAGE_MESSAGE = 1, /* header decoded, the message is not whole */
    STAGE_PAYLOAD = 2  /* scratch holds header and message; the payload is going to `destination` */
};

enum canyon_status frame_reader_init(struct frame_reader *reader, uint32_t payload_limit, frame_target target,
                                     void *user, struct error *error) {
    memset(reader, 0, sizeof *reader);
    reader->payload_limit = payload_limit;
    reader->target = target;
    reader->user = user;
    reader->scratch = malloc(SCRATCH_BYTES);
    if (reader->scratch == NULL) {
        return error_set(error, CANYON_NO_MEMORY, "no memory for a receive buffer of %u bytes", SCRATCH_BYTES);
    }
    return CANYON_OK;
}

void frame_reader_finish(struct frame_reader *reader) {
    if (reader != NULL) {
        free(reader->scratch);
        free(reader->payload);
        memset(reader, 0, sizeof *reader);
    }
}

static size_t front_bytes(const struct frame_reader *reader) {
    return FRAME_HEADER_BYTES + (size_t)reader->header.message_bytes;
}

static void compact(struct frame_reader *reader) {
    if (reader->start == reader->end) {
        reader->start = 0;
        reader->end = 0;
    } else if (reader->start > 0 && SCRATCH_BYTES - reader->end < SCRATCH_BYTES / 2) {
        memmove(reader->scratch, reader->scratch + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
}

void frame_reader_space(struct frame_reader *reader, uint8_t **at, size_t *room) {
    size_t missing = reader->header.payload_bytes - reader->payload_have;
    bool in_payload = reader->stage == STAGE_PAYLOAD;
    reader->direct = in_payload && missing >= DIRECT_BYTES;
    if (reader->direct) {
        *at = reader->destination + reader->payload_have;
        *room = missing;
        return;
    }
    compact(reader);
    *at = reader->scratch + reader->end;
    *room = SCRATCH_BYTES - reader->end;
    bool bulk = in_payload ? reader->header.payload_bytes >= DIRECT_BYTES : reader->bulk;
    size_t enough = (in_payload ? missing : 0) + BULK_HEADER_BYTES;
    if (bulk && *room > enough) {
        *room = enough;
    }
}

void frame_reader_received(struct frame_reader *reader, size_t count) {
    if (reader->direct) {
        assert(count <= reader->header.payload_bytes - reader->payload_have);
        reader->payload_have += count;
        /* Another receive asks for a place first. */
        reader->direct = false;
    } else {
        assert(count <= SCRATCH_BYTES - reader->end);
        reader->end += count;
    }
}

static void drop_payload(struct frame_reader *reader) {
    free(reader->payload);
    reader->payload = NULL;
    reader->payload_room = 0;
}

static enum canyon_status own_payload(struct frame_reader *reader, size_t bytes, struct error *error) {
    if (bytes <= reader->payload_room) {
        return CANYON_OK;
    }
    drop_payload(reader);
    size_t room = (bytes + PAYLOAD_ALIGNMENT - 1) / PAYLOAD_ALIGNMENT * PAYLOAD_ALIGNMENT;
    void *memory = NULL;
    if (posix_memalign(&memory, PAYLOAD_ALIGNMENT, room) != 0) {
        return error_set(error, CANYON_NO_MEMORY, "no memory for a payload of %zu bytes", bytes);
    }
    reader->payload = memory;
    reader->payload_room = room;
    return CANYON_OK;
}

/* Header and message are whole: decides where the payload goes. */
static enum canyon_status begin_payload(struct frame_reader *reader, struct error *error) {
    const uint8_t *message = reader->scratch + reader->start + FRAME_HEADER_BYTES;
    reader->payload_have = 0;
    reader->destination = NULL;
    if (reader->header.payload_bytes == 0) {
        return CANYON_OK;
    }
    if (reader->target != NULL) {
        reader->destination = reader->target(reader->user, &reader->header, message);
    }
    if (reader->destination == NULL) {
        enum canyon_status status = own_payload(reader, reader->header.payload_bytes, error);
        if (status != CANYON_OK) {
            return status;
        }
        reader->destination = reader->payload;
    }
    return CANYON_OK;
}

/* Moves what scratch holds of the payload to its destination. The message stays in front of it. What follows the
 * payload is left where it is: start jumps there when the frame is handed out. Returns the bytes moved. */
static size_t drain_scratch(struct frame_reader *reader, size_t from) {
    size_t missing = reader->header.payload_bytes - reader->payload_have;
    size_t here = reader->end - from;
    size_t count = here < missing ? here : missing;
    if (count > 0) {
        memcpy(reader->destination + reader->payload_have, reader->scratch + from, count);
        reader->payload_have += count;
    }
    return count;
}

static void hand_out(struct frame_reader *reader, size_t next, struct frame *frame) {
    frame->header = reader->header;
    frame->message = reader->scratch + reader->start + FRAME_HEADER_BYTES;
    frame->payload = reader->destination;
    reader->bulk = reader->header.payload_bytes >= DIRECT_BYTES;
    reader->start = next;
    reader->stage = STAGE_HEADER;
    reader->destination = NULL;
    reader->payload_have = 0;
    memset(&reader->header, 0, sizeof reader->header);
}

static enum frame_reader_result break_off(struct frame_reader *reader, enum canyon_status status) {
    reader->broken = status;
    return FRAME_READER_BROKEN;
}

enum frame_reader_result frame_reader_next(struct frame_reader *reader, struct frame *frame, struct error *error) {
    enum canyon_status status = reader->broken;
    if (status != CANYON_OK) {
        error_set(error, status, "the stream of frames broke earlier; the connection cannot go on");
        return FRAME_READER_BROKEN;
    }
    size_t held = reader->end - reader->start;
    if (reader->stage == STAGE_HEADER) {
        if (held < FRAME_HEADER_BYTES) {
            return FRAME_READER_NEEDS_MORE;
        }
        status = frame_header_decode(reader->scratch + reader->start, reader->payload_limit, &reader->header, error);
        if (status != CANYON_OK) {
            return break_off(reader, status);
        }
        reader->stage = STAGE_MESSAGE;
    }
    if (reader->stage == STAGE_MESSAGE) {
        if (held < front_bytes(reader)) {
            return FRAME_READER_NEEDS_MORE;
        }
        status = begin_payload(reader, error);
        if (status != CANYON_OK) {
            return break_off(reader, status);
        }
        reader->stage = STAGE_PAYLOAD;
    }
    size_t from = reader->start + front_bytes(reader);
    size_t moved = drain_scratch(reader, from);
    if (reader->payload_have < reader->header.payload_bytes) {
        reader->end = from;
        return FRAME_READER_NEEDS_MORE;
    }
    hand_out(reader, from + moved, frame);
    return FRAME_READER_FRAME;
}

void frame_reader_trim(struct frame_reader *reader) {
    if (reader->stage != STAGE_PAYLOAD) {
        drop_payload(reader);
    }
}

void frame_reader_rest(struct frame_reader *reader) {
    if (frame_reader_idle(reader)) {
        drop_payload(reader);
        reader->bulk = false;
        idle_memory_release(reader->scratch, SCRATCH_BYTES);
    }
}

int frame_reader_idle(const struct frame_reader *reader) {
    return reader->stage == STAGE_HEADER && reader->start == reader->end;
}
