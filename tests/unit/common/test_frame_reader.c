/* The reader gives the same frames however the stream is cut, and breaks cleanly where it must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/frame.h"
#include "seed.h"

#define LIMIT (1u << 20)

/* ---- a stream of random frames ---- */

struct stream {
    uint8_t *bytes;
    size_t count;
    size_t frames;
    size_t starts[64]; /* of each frame; one more than there are frames */
};

static void stream_add(struct stream *stream, uint64_t *random, uint32_t message, uint32_t payload) {
    size_t add = FRAME_HEADER_BYTES + message + payload;
    stream->bytes = realloc(stream->bytes, stream->count + add);
    assert_non_null(stream->bytes);
    struct frame_header header = {.type = (uint16_t)seed_next(random),
                                  .message_bytes = message,
                                  .payload_bytes = payload,
                                  .request = seed_next(random)};
    frame_header_encode(&header, stream->bytes + stream->count);
    for (size_t i = FRAME_HEADER_BYTES; i < add; i++) {
        stream->bytes[stream->count + i] = (uint8_t)seed_next(random);
    }
    stream->starts[stream->frames++] = stream->count;
    stream->count += add;
    stream->starts[stream->frames] = stream->count;
}

/* ---- a reader under test ---- */

struct sink {
    const struct stream *stream;
    size_t seen;
    bool use_target; /* for every second frame that has a payload */
    size_t target_calls;
    uint8_t *target; /* exactly as long as the payload, so that an overrun is seen */
};

static void *choose_target(void *user, const struct frame_header *header, const uint8_t *message) {
    struct sink *sink = user;
    const uint8_t *sent = sink->stream->bytes + sink->stream->starts[sink->seen] + FRAME_HEADER_BYTES;
    assert_memory_equal(message, sent, header->message_bytes);
    sink->target_calls++;
    if (!sink->use_target || sink->seen % 2 == 0) {
        return NULL;
    }
    free(sink->target);
    sink->target = malloc(header->payload_bytes);
    assert_non_null(sink->target);
    return sink->target;
}

/* Compares a frame with the one that was sent. */
static void check_frame(struct sink *sink, const struct frame *frame) {
    const struct stream *stream = sink->stream;
    assert_in_range(sink->seen, 0, stream->frames - 1);
    const uint8_t *sent = stream->bytes + stream->starts[sink->seen];
    struct frame_header header;
    assert_int_equal(frame_header_decode(sent, LIMIT, &header, NULL), CANYON_OK);
    assert_int_equal(frame->header.type, header.type);
    assert_int_equal(frame->header.request, header.request);
    assert_int_equal(frame->header.message_bytes, header.message_bytes);
    assert_int_equal(frame->header.payload_bytes, header.payload_bytes);
    assert_memory_equal(frame->message, sent + FRAME_HEADER_BYTES, header.message_bytes);
    if (header.payload_bytes == 0) {
        assert_null(frame->payload);
    } else {
        assert_memory_equal(frame->payload, sent + FRAME_HEADER_BYTES + header.message_bytes, header.payload_bytes);
        if (sink->use_target && sink->seen % 2 == 1) {
            assert_ptr_equal(frame->payload, sink->target);
        } else {
            assert_int_equal((uintptr_t)frame->payload % 64, 0);
        }
    }
    sink->seen++;
}

/* Feeds `count` bytes at most, as many as the reader has room for; returns how many. */
static size_t feed(struct frame_reader *reader, const uint8_t *bytes, size_t count) {
    uint8_t *at = NULL;
    size_t room = 0;
    frame_reader_space(reader, &at, &room);
    assert_true(room > 0);
    size_t take = count < room ? count : room;
    memcpy(at, bytes, take);
    frame_reader_received(reader, take);
    return take;
}

static void drain(struct frame_reader *reader, struct sink *sink) {
    struct frame frame;
    struct error error;
    enum frame_reader_result result;
    while ((result = frame_reader_next(reader, &frame, &error)) == FRAME_READER_FRAME) {
        check_frame(sink, &frame);
    }
    assert_int_equal(result, FRAME_READER_NEEDS_MORE);
}

/* Sends the stream in chunks whose lengths `next` gives. */
static void run(const struct stream *stream, bool use_target, size_t (*next)(void *user, size_t at), void *user) {
    struct sink sink = {.stream = stream, .use_target = use_target};
    struct frame_reader reader;
    assert_int_equal(frame_reader_init(&reader, LIMIT, choose_target, &sink, NULL), CANYON_OK);
    assert_true(frame_reader_idle(&reader));
    size_t sent = 0;
    while (sent < stream->count) {
        size_t chunk = next(user, sent);
        size_t left = stream->count - sent;
        size_t end = sent + (chunk < left ? chunk : left);
        while (sent < end) {
            sent += feed(&reader, stream->bytes + sent, end - sent);
            drain(&reader, &sink);
            assert_int_equal(frame_reader_idle(&reader), sent == stream->starts[sink.seen]);
        }
    }
    assert_int_equal(sink.seen, stream->frames);
    size_t payloads = 0;
    for (size_t i = 0; i < stream->frames; i++) {
        struct frame_header header;
        assert_int_equal(frame_header_decode(stream->bytes + stream->starts[i], LIMIT, &header, NULL), CANYON_OK);
        payloads += header.payload_bytes > 0;
    }
    assert_int_equal(sink.target_calls, payloads);
    frame_reader_finish(&reader);
    free(sink.target);
}

static size_t same_chunk(void *user, size_t at) {
    (void)at;
    return *(size_t *)user;
}

/* Everything up to one position, then the rest. */
static size_t cut_at(void *user, size_t at) {
    size_t cut = *(size_t *)user;
    return at < cut ? cut - at : SIZE_MAX;
}

static size_t random_chunk(void *user, size_t at) {
    (void)at;
    uint64_t *random = user;
    return 1 + (seed_next(random) >> (43 + seed_below(random, 21)));
}

static void cut_at_every_byte(void **state) {
    (void)state;
    uint64_t random = seed_begin("cut_at_every_byte");
    struct stream stream = {.count = 0};
    stream_add(&stream, &random, 0, 0);
    stream_add(&stream, &random, 17, 0);
    stream_add(&stream, &random, 33, 300);
    stream_add(&stream, &random, 0, 64);
    stream_add(&stream, &random, 5, 1);
    for (size_t cut = 1; cut < stream.count; cut++) {
        run(&stream, cut % 2 == 0, cut_at, &cut);
    }
    free(stream.bytes);
}

static void one_byte_at_a_time(void **state) {
    (void)state;
    uint64_t random = seed_begin("one_byte_at_a_time");
    struct stream stream = {.count = 0};
    for (int i = 0; i < 20; i++) {
        stream_add(&stream, &random, (uint32_t)seed_below(&random, 200), (uint32_t)seed_below(&random, 500));
    }
    stream_add(&stream, &random, LIMIT_MESSAGE_BYTES, 40000);
    size_t one = 1;
    run(&stream, false, same_chunk, &one);
    run(&stream, true, same_chunk, &one);
    free(stream.bytes);
}

static void random_frames_in_random_chunks(void **state) {
    (void)state;
    uint64_t random = seed_begin("random_frames_in_random_chunks");
    for (int round = 0; round < 60; round++) {
        struct stream stream = {.count = 0};
        for (uint64_t frames = 1 + seed_below(&random, 30); frames > 0; frames--) {
            /* Small, middle and large payloads, so that both ways of receiving are taken and follow each other. */
            uint32_t payload = (uint32_t)(seed_next(&random) >> (46 + seed_below(&random, 18)));
            uint32_t message = (uint32_t)seed_below(&random, 3) == 0 ? (uint32_t)seed_below(&random, 4097) : 20;
            stream_add(&stream, &random, message, seed_below(&random, 4) == 0 ? 0 : payload);
        }
        run(&stream, round % 2 == 1, random_chunk, &random);
        size_t all = SIZE_MAX;
        run(&stream, round % 2 == 0, same_chunk, &all);
        free(stream.bytes);
    }
}

/* A large payload goes straight to its place: only what came with the header is copied. */
static void large_payloads_are_received_in_place(void **state) {
    (void)state;
    uint64_t random = 1;
    struct stream stream = {.count = 0};
    stream_add(&stream, &random, 10, LIMIT);
    struct sink sink = {.stream = &stream};
    struct frame_reader reader;
    assert_int_equal(frame_reader_init(&reader, LIMIT, NULL, NULL, NULL), CANYON_OK);
    feed(&reader, stream.bytes, 34 + 100);
    drain(&reader, &sink);
    uint8_t *at = NULL;
    size_t room = 0;
    frame_reader_space(&reader, &at, &room);
    assert_int_equal(room, LIMIT - 100);
    assert_ptr_equal(at, reader.payload + 100);
    memcpy(at, stream.bytes + 134, room);
    frame_reader_received(&reader, room);
    drain(&reader, &sink);
    assert_int_equal(sink.seen, 1);
    assert_true(frame_reader_idle(&reader));
    frame_reader_finish(&reader);
    free(stream.bytes);
}

static void the_largest_payload_is_accepted_and_one_more_is_not(void **state) {
    (void)state;
    uint64_t random = 1;
    struct stream stream = {.count = 0};
    stream_add(&stream, &random, 1, 1000);
    stream_add(&stream, &random, 1, 1001);
    struct sink sink = {.stream = &stream};
    struct frame_reader reader;
    struct frame frame;
    struct error error;
    assert_int_equal(frame_reader_init(&reader, 1000, NULL, NULL, NULL), CANYON_OK);
    assert_int_equal(feed(&reader, stream.bytes, stream.count), stream.count);
    assert_int_equal(frame_reader_next(&reader, &frame, &error), FRAME_READER_FRAME);
    check_frame(&sink, &frame);
    assert_int_equal(frame_reader_next(&reader, &frame, &error), FRAME_READER_BROKEN);
    assert_int_equal(error.status, CANYON_TOO_LARGE);
    /* No memory was taken for what was refused, and the stream stays broken. */
    assert_in_range(reader.payload_room, 0, 1024);
    assert_int_equal(frame_reader_next(&reader, &frame, &error), FRAME_READER_BROKEN);
    assert_int_equal(error.status, CANYON_TOO_LARGE);
    frame_reader_finish(&reader);
    free(stream.bytes);
}

/* A reader that rests between frames goes on as if it had not; in the middle of one it does not rest. */
static void rest_between_frames(void **state) {
    (void)state;
    uint64_t random = 1;
    struct stream stream = {.count = 0};
    for (int i = 0; i < 6; i++)
        stream_add(&stream, &random, 40, i % 2 == 0 ? 100000 : 10);
    struct sink sink = {.stream = &stream};
    struct frame_reader reader;
    assert_int_equal(frame_reader_init(&reader, 1 << 20, NULL, NULL, NULL), CANYON_OK);
    for (size_t at = 0; at < stream.count;) {
        size_t step = stream.count - at < 777 ? stream.count - at : 777;
        at += feed(&reader, stream.bytes + at, step);
        drain(&reader, &sink);
        bool idle = frame_reader_idle(&reader);
        size_t room = reader.payload_room;
        frame_reader_rest(&reader);
        assert_int_equal(frame_reader_idle(&reader), idle);
        assert_int_equal(reader.payload_room, idle ? 0 : room);
    }
    assert_true(frame_reader_idle(&reader));
    assert_int_equal(sink.seen, 6);
    frame_reader_finish(&reader);
    free(stream.bytes);
}

/* One wrong byte in the header: broken as soon as the header is whole, whatever follows. */
static void broken_headers(void **state) {
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
        enum canyon_status status;
    } cases[] = {{0, 'X', CANYON_PROTOCOL}, {3, 0, CANYON_PROTOCOL},      {4, 2, CANYON_UNSUPPORTED},
                 {5, 1, CANYON_PROTOCOL},   {11, 0xff, CANYON_TOO_LARGE}, {15, 0xff, CANYON_TOO_LARGE}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[FRAME_HEADER_BYTES];
        struct frame_header header = {.type = FRAME_LIST, .request = 1};
        frame_header_encode(&header, bytes);
        bytes[cases[i].at] = cases[i].value;
        struct frame_reader reader;
        struct frame frame;
        struct error error;
        assert_int_equal(frame_reader_init(&reader, LIMIT, NULL, NULL, NULL), CANYON_OK);
        feed(&reader, bytes, FRAME_HEADER_BYTES - 1);
        assert_int_equal(frame_reader_next(&reader, &frame, &error), FRAME_READER_NEEDS_MORE);
        feed(&reader, bytes + FRAME_HEADER_BYTES - 1, 1);
        assert_int_equal(frame_reader_next(&reader, &frame, &error), FRAME_READER_BROKEN);
        assert_int_equal(error.status, cases[i].status);
        frame_reader_finish(&reader);
    }
}

static void garbage_breaks_or_waits(void **state) {
    (void)state;
    uint64_t random = seed_begin("garbage_breaks_or_waits");
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[200];
        struct frame_header header = {.type = FRAME_PUSH, .message_bytes = 30, .payload_bytes = 100, .request = 5};
        frame_header_encode(&header, bytes);
        for (size_t i = FRAME_HEADER_BYTES; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)seed_next(&random);
        }
        for (int flips = 0; flips < 3; flips++) {
            bytes[seed_below(&random, FRAME_HEADER_BYTES)] ^= (uint8_t)(1u << seed_below(&random, 8));
        }
        struct frame_reader reader;
        struct frame frame;
        assert_int_equal(frame_reader_init(&reader, 4096, NULL, NULL, NULL), CANYON_OK);
        feed(&reader, bytes, sizeof bytes);
        while (frame_reader_next(&reader, &frame, NULL) == FRAME_READER_FRAME) {
            assert_in_range(frame.header.payload_bytes, 0, 4096);
        }
        frame_reader_finish(&reader);
    }
}

static void finish_is_safe(void **state) {
    (void)state;
    struct frame_reader reader = {.payload_limit = 0};
    frame_reader_finish(&reader);
    frame_reader_finish(&reader);
    frame_reader_finish(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(one_byte_at_a_time),
        cmocka_unit_test(random_frames_in_random_chunks),
        cmocka_unit_test(large_payloads_are_received_in_place),
        cmocka_unit_test(the_largest_payload_is_accepted_and_one_more_is_not),
        cmocka_unit_test(rest_between_frames),
        cmocka_unit_test(broken_headers),
        cmocka_unit_test(garbage_breaks_or_waits),
        cmocka_unit_test(finish_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
