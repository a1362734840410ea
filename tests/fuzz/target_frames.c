/* Frames out of a stream, and the messages in them: whatever the cuts, the same frames, messages and last error.
 *
 * Input: u8 payload limit (a choice), u16 sequence of cuts, then the stream. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/message_table.h"

#include "common/hash.h"

/* What one reading of the stream came to. */
struct reading {
    struct hash trace;
    size_t frames;
    bool aside;      /* payloads go to memory of our own */
    uint8_t *target; /* that memory, owned */
};

static void *take_payload(void *user, const struct frame_header *header, const uint8_t *message) {
    struct reading *reading = user;
    (void)message;
    if (!reading->aside) {
        return NULL;
    }
    free(reading->target);
    reading->target = malloc(header->payload_bytes);
    REQUIRE(reading->target != NULL);
    return reading->target;
}

/* The message as its type wants it: the verdict, and what was read, packed again. */
static void trace_message(struct reading *reading, const struct frame *frame) {
    const struct message_kind *kind = message_kind_of(frame->header.type);
    uint8_t packed[LIMIT_MESSAGE_BYTES];
    union any_message message;
    struct error error = {.text = ""};
    if (kind == NULL) {
        return;
    }
    enum canyon_status status = kind->unpack(frame->message, frame->header.message_bytes, &message, &error);
    REQUIRE(status == CANYON_OK || (status == CANYON_PROTOCOL && error.text[0] != '\0'));
    hash_u32(&reading->trace, (uint32_t)status);
    hash_text(&reading->trace, error.text);
    if (status == CANYON_OK) {
        hash_update(&reading->trace, packed, kind->pack(&message, packed));
    }
}

static void trace_frame(struct reading *reading, const struct frame *frame, uint32_t limit) {
    const struct frame_header *header = &frame->header;
    REQUIRE(header->message_bytes <= LIMIT_MESSAGE_BYTES && header->payload_bytes <= limit);
    REQUIRE(header->version == FRAME_VERSION && header->flags == 0);
    REQUIRE(reading->aside || header->payload_bytes == 0 || (uintptr_t)frame->payload % 64 == 0);
    reading->frames++;
    hash_u32(&reading->trace, header->type);
    hash_u64(&reading->trace, header->request);
    hash_u32(&reading->trace, header->message_bytes);
    hash_u32(&reading->trace, header->payload_bytes);
    hash_update(&reading->trace, frame->message, header->message_bytes);
    hash_update(&reading->trace, frame->payload, header->payload_bytes);
    trace_message(reading, frame);
}

/* Takes the frames that are whole; false when the stream is broken. */
static bool take_frames(struct frame_reader *reader, struct reading *reading, struct error *error) {
    struct frame frame;
    enum frame_reader_result result = frame_reader_next(reader, &frame, error);
    while (result == FRAME_READER_FRAME) {
        trace_frame(reading, &frame, reader->payload_limit);
        result = frame_reader_next(reader, &frame, error);
    }
    return result == FRAME_READER_NEEDS_MORE;
}

static void read_stream(const struct input *input, uint32_t limit, enum cut cut, uint32_t sequence, bool aside,
                        uint8_t digest[HASH_BYTES]) {
    struct reading reading = {.aside = aside};
    struct frame_reader reader;
    struct error error = {.text = ""};
    struct input rest = *input;
    bool good = true;
    hash_init(&reading.trace);
    REQUIRE(frame_reader_init(&reader, limit, take_payload, &reading, &error) == CANYON_OK);
    while (good && rest.left > 0) {
        size_t step = next_cut(cut, &sequence, rest.left);
        while (good && step > 0) {
            uint8_t *at = NULL;
            size_t room = 0, got;
            frame_reader_space(&reader, &at, &room);
            REQUIRE(room > 0);
            const uint8_t *from = input_bytes(&rest, step < room ? step : room, &got);
            memcpy(at, from, got);
            frame_reader_received(&reader, got);
            step -= got;
            good = take_frames(&reader, &reading, &error);
        }
    }
    REQUIRE(reader.payload_room <= (limit + 63) / 64 * 64);
    hash_u32(&reading.trace, good);
    hash_u32(&reading.trace, good ? (uint32_t)frame_reader_idle(&reader) : 0);
    if (!good) {
        struct frame frame;
        hash_text(&reading.trace, error.text);
        REQUIRE(frame_reader_next(&reader, &frame, &error) == FRAME_READER_BROKEN);
    }
    hash_final(&reading.trace, digest);
    frame_reader_finish(&reader);
    free(reading.target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t limits[] = {0, 64, 4096, 65536, 1 << 20};
    struct input input = {data, size};
    uint32_t limit = limits[input_u8(&input) % (sizeof limits / sizeof limits[0])];
    uint32_t sequence = input_u16(&input);
    uint8_t whole[HASH_BYTES], cut[HASH_BYTES];
    read_stream(&input, limit, CUT_NOWHERE, 0, false, whole);
    read_stream(&input, limit, CUT_SOMEWHERE, sequence, false, cut);
    REQUIRE(memcmp(whole, cut, HASH_BYTES) == 0);
    read_stream(&input, limit, CUT_EVERYWHERE, 0, false, cut);
    REQUIRE(memcmp(whole, cut, HASH_BYTES) == 0);
    read_stream(&input, limit, CUT_SOMEWHERE, sequence + 1, true, cut);
    REQUIRE(memcmp(whole, cut, HASH_BYTES) == 0);
    return 0;
}
