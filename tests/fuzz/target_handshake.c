/* A handshake whose messages somebody changes or makes up: it is completed only if every byte of it is genuine, and the
 * side that meets a false one says PROTOCOL and nothing else.
 *
 * Input: u8 (bit 0: cipher, bit 1: the first message is made up of the 64 bytes that follow), changes of the first
 * message, of the second, a u8 (0: the third message is whole, else cut to so many bytes), changes of the third, and
 * the hello. */
#include "tests/fuzz/channel_ends.h"

/* The server's part of the first two messages; true when it goes on. */
static bool answer(struct channel_ends *ends, const uint8_t first[CHANNEL_FIRST_BYTES], bool genuine,
                   uint8_t second[CHANNEL_SECOND_BYTES]) {
    enum canyon_status status = channel_read_first(ends->responder, first);
    REQUIRE(status == (genuine ? CANYON_OK : CANYON_PROTOCOL));
    REQUIRE(status != CANYON_OK || channel_first_plausible(ends->server_key->public, first));
    return status == CANYON_OK && channel_write_second(ends->responder, second) == CANYON_OK;
}

static void hear_third(struct channel_ends *ends, struct input *input, uint8_t *third, size_t bytes,
                       const uint8_t *hello, size_t hello_bytes) {
    uint8_t heard[CHANNEL_HELLO_LIMIT_BYTES], client[KEY_BYTES];
    size_t heard_bytes = 0, whole = bytes;
    uint8_t cut = input_u8(input);
    bytes = cut != 0 && cut < bytes ? cut : bytes;
    bool genuine = channel_ends_disturb(input, third, bytes) == bytes && bytes == whole;
    size_t announced = bytes >= CHANNEL_LENGTH_BYTES ? channel_third_bytes(third) : 0;
    REQUIRE(announced == 0 || (announced >= CHANNEL_THIRD_LEAST_BYTES && announced <= CHANNEL_THIRD_LIMIT_BYTES));
    if (announced == 0 || announced > bytes) {
        REQUIRE(!genuine);
        return; /* a reader refuses, or waits for more until its time is over */
    }
    uint8_t *exact = exact_copy(third, announced);
    enum canyon_status status = channel_read_third(ends->responder, exact, announced, heard, &heard_bytes, client);
    free(exact);
    REQUIRE(status == (genuine ? CANYON_OK : CANYON_PROTOCOL));
    if (genuine) {
        REQUIRE(heard_bytes == hello_bytes && memcmp(heard, hello, hello_bytes) == 0);
        REQUIRE(memcmp(client, ends->client_key->public, KEY_BYTES) == 0);
    }
}

static void talk(struct channel_ends *ends, struct input *input, bool made_up) {
    uint8_t first[CHANNEL_FIRST_BYTES], second[CHANNEL_SECOND_BYTES], third[CHANNEL_THIRD_LIMIT_BYTES];
    uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES] = "hello";
    size_t got, third_bytes, hello_bytes;
    REQUIRE(channel_write_first(ends->initiator, first) == CANYON_OK);
    bool genuine = !made_up;
    if (made_up) {
        uint8_t before[CHANNEL_FIRST_BYTES];
        memcpy(before, first, sizeof before);
        const uint8_t *bytes = input_bytes(input, sizeof first, &got);
        memcpy(first, bytes, got);
        genuine = memcmp(before, first, sizeof before) == 0;
    }
    genuine = channel_ends_disturb(input, first, sizeof first) == sizeof first && genuine;
    if (!answer(ends, first, genuine, second)) {
        return;
    }
    genuine = channel_ends_disturb(input, second, sizeof second) == sizeof second;
    REQUIRE(channel_read_second(ends->initiator, second) == (genuine ? CANYON_OK : CANYON_PROTOCOL));
    if (!genuine) {
        return;
    }
    hello_bytes = input->left < sizeof hello ? input->left : sizeof hello;
    memcpy(hello, input->at, hello_bytes);
    REQUIRE(channel_write_third(ends->initiator, hello, hello_bytes, third, &third_bytes) == CANYON_OK);
    hear_third(ends, input, third, third_bytes, hello, hello_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {.at = data, .left = size};
    struct channel_ends ends;
    uint8_t how = input_u8(&input);
    if (input.left == 0) {
        return 0;
    }
    channel_ends_begin(&ends, (how & 1) != 0 ? CHANNEL_AES256GCM : CHANNEL_CHACHA20POLY1305);
    talk(&ends, &input, (how & 2) != 0);
    channel_ends_finish(&ends);
    return 0;
}
