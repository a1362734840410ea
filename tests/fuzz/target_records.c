/* A stream of records that somebody changes and cuts: what comes out is the plaintext of the whole records before the
 * first changed byte, in any pieces, and the end only if nothing was changed.
 *
 * Input: u8 (bit 0: cipher, bit 1: with a last record), changes of the stream, u16 (bytes cut off its end), u8 (how
 * many bytes come at once, 0 for all), u8 (how many are read at once, 0 for many), then per record a u16, its size. */
#include "tests/fuzz/channel_ends.h"

#define STREAM_BYTES (256u * 1024)
#define RECORDS      64
#define MANY         70000

struct stream {
    uint8_t *plain, *wire; /* owned */
    size_t plain_bytes, wire_bytes;
    size_t records;
    size_t plain_end[RECORDS], wire_end[RECORDS]; /* of each */
    bool last;
};

static void establish(enum channel_cipher cipher, struct channel **client, struct channel **server) {
    struct channel_ends ends;
    uint8_t first[CHANNEL_FIRST_BYTES], second[CHANNEL_SECOND_BYTES], third[CHANNEL_THIRD_LIMIT_BYTES];
    uint8_t heard[CHANNEL_HELLO_LIMIT_BYTES], key[KEY_BYTES];
    size_t third_bytes, heard_bytes;
    channel_ends_begin(&ends, cipher);
    REQUIRE(channel_write_first(ends.initiator, first) == CANYON_OK);
    REQUIRE(channel_read_first(ends.responder, first) == CANYON_OK);
    REQUIRE(channel_write_second(ends.responder, second) == CANYON_OK);
    REQUIRE(channel_read_second(ends.initiator, second) == CANYON_OK);
    REQUIRE(channel_write_third(ends.initiator, "", 0, third, &third_bytes) == CANYON_OK);
    REQUIRE(channel_read_third(ends.responder, third, third_bytes, heard, &heard_bytes, key) == CANYON_OK);
    *client = channel_establish(ends.initiator);
    *server = channel_establish(ends.responder);
    REQUIRE(*client != NULL && *server != NULL);
    channel_ends_finish(&ends);
}

/* One record of `size` bytes, at most CHANNEL_BULK_BYTES, each sealed on its own. */
static bool seal_one(struct stream *stream, struct channel *channel, size_t size) {
    size_t taken;
    size = 1 + size % CHANNEL_BULK_BYTES;
    if (stream->records == RECORDS || stream->wire_bytes + size + 2 * CHANNEL_RECORD_BYTES > STREAM_BYTES) {
        return false;
    }
    uint8_t *plain = stream->plain + stream->plain_bytes;
    for (size_t i = 0; i < size; i++) {
        plain[i] = (uint8_t)(i * 31 + stream->records);
    }
    struct iovec slice = {.iov_base = plain, .iov_len = size};
    size_t written =
        channel_seal(channel, &slice, 1, 0, stream->wire + stream->wire_bytes, channel_sealed_most(size, 1), &taken);
    REQUIRE(taken == size && written == size + CHANNEL_RECORD_BYTES);
    stream->plain_bytes += size;
    stream->wire_bytes += written;
    stream->plain_end[stream->records] = stream->plain_bytes;
    stream->wire_end[stream->records++] = stream->wire_bytes;
    return true;
}

/* Reads all there is and compares; false when the stream is over. */
static bool read_some(struct channel *channel, const struct stream *stream, size_t most, size_t *out,
                      enum channel_result *result) {
    static uint8_t room[MANY];
    size_t got = 0;
    while ((*result = channel_read(channel, room, most, &got)) == CHANNEL_BYTES) {
        REQUIRE(got > 0 && got <= most && *out + got <= stream->plain_bytes);
        REQUIRE(memcmp(room, stream->plain + *out, got) == 0);
        *out += got;
    }
    return *result == CHANNEL_NEEDS_MORE;
}

static enum channel_result receive(struct channel *channel, const struct stream *stream, size_t piece, size_t most,
                                   size_t *out) {
    enum channel_result result = CHANNEL_NEEDS_MORE;
    size_t at = 0;
    while (at < stream->wire_bytes && read_some(channel, stream, most, out, &result)) {
        uint8_t *place;
        size_t room, left = stream->wire_bytes - at;
        channel_space(channel, &place, &room);
        REQUIRE(room > 0);
        size_t count = left < piece ? left : piece;
        count = count < room ? count : room;
        memcpy(place, stream->wire + at, count);
        channel_received(channel, count);
        at += count;
    }
    if (result == CHANNEL_NEEDS_MORE) {
        (void)read_some(channel, stream, most, out, &result);
    }
    return result;
}

/* What may come out: the records that are whole and lie before the first changed byte. */
static void judge(const struct stream *stream, size_t changed, size_t left, size_t out, enum channel_result result) {
    size_t due = 0, whole = 0;
    size_t good = changed < left ? changed : left;
    while (whole < stream->records && stream->wire_end[whole] <= good) {
        due = stream->plain_end[whole++];
    }
    REQUIRE(out == due);
    REQUIRE(result != CHANNEL_BYTES);
    REQUIRE(result != CHANNEL_BROKEN || changed < left);
    size_t end = stream->records > 0 ? stream->wire_end[stream->records - 1] : 0;
    bool ended = stream->last && whole == stream->records && good >= end + CHANNEL_RECORD_BYTES;
    REQUIRE((result == CHANNEL_LAST) == ended);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {.at = data, .left = size}, changes;
    struct stream stream = {.plain = malloc(STREAM_BYTES), .wire = malloc(STREAM_BYTES)};
    struct channel *client, *server;
    uint8_t how = input_u8(&input);
    size_t out = 0;
    REQUIRE(stream.plain != NULL && stream.wire != NULL);
    establish((how & 1) != 0 ? CHANNEL_AES256GCM : CHANNEL_CHACHA20POLY1305, &client, &server);
    changes = input;
    for (unsigned skip = input_u8(&input) % 8 * 3; skip > 0; skip--) {
        (void)input_u8(&input);
    }
    size_t cut = input_u16(&input), piece = input_u8(&input), most = input_u8(&input);
    while (input.left > 0 && seal_one(&stream, client, input_u16(&input))) {
    }
    stream.last = (how & 2) != 0;
    if (stream.last) {
        channel_seal_last(client, stream.wire + stream.wire_bytes);
        stream.wire_bytes += CHANNEL_RECORD_BYTES;
    }
    size_t changed = channel_ends_disturb(&changes, stream.wire, stream.wire_bytes);
    stream.wire_bytes -= cut < stream.wire_bytes ? cut : stream.wire_bytes;
    enum channel_result result = receive(server, &stream, piece > 0 ? piece : MANY, most > 0 ? most : MANY, &out);
    judge(&stream, changed, stream.wire_bytes, out, result);
    channel_destroy(client);
    channel_destroy(server);
    free(stream.plain);
    free(stream.wire);
    return 0;
}
