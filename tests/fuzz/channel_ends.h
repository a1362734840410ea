/* Two ends of a channel for the fuzz targets: keys and ephemeral keys from numbers, so that an input always means the
 * same. */
#ifndef CANYON_TESTS_FUZZ_CHANNEL_ENDS_H
#define CANYON_TESTS_FUZZ_CHANNEL_ENDS_H

#include "tests/fuzz/fuzz.h"

#include "common/channel.h"
#include "common/random.h"

struct channel_ends {
    enum channel_cipher cipher;
    struct key_pair *client_key, *server_key;
    struct channel_handshake *initiator, *responder;
};

static inline void channel_ends_begin(struct channel_ends *ends, enum channel_cipher cipher) {
    uint8_t secrets[4][KEY_BYTES];
    REQUIRE(random_start(NULL) == CANYON_OK);
    for (size_t i = 0; i < 4; i++) {
        for (size_t at = 0; at < KEY_BYTES; at++) {
            secrets[i][at] = (uint8_t)(i * 53 + at * 7 + 1);
        }
    }
    ends->cipher = channel_cipher_usable(cipher) ? cipher : CHANNEL_CHACHA20POLY1305;
    ends->client_key = key_pair_from_secret(secrets[0]);
    ends->server_key = key_pair_from_secret(secrets[1]);
    REQUIRE(ends->client_key != NULL && ends->server_key != NULL);
    ends->initiator = channel_initiate(ends->cipher, ends->client_key, ends->server_key->public, secrets[2]);
    ends->responder = channel_respond(ends->cipher, ends->server_key, secrets[3]);
    REQUIRE(ends->initiator != NULL && ends->responder != NULL);
}

static inline void channel_ends_finish(struct channel_ends *ends) {
    channel_handshake_destroy(ends->initiator);
    channel_handshake_destroy(ends->responder);
    key_pair_destroy(ends->client_key);
    key_pair_destroy(ends->server_key);
}

/* Turns bits of what goes over the wire: a count, then so many places (u16, modulo the length) and masks (u8). Returns
 * the first byte that differs afterwards, or `size`. */
static inline size_t channel_ends_disturb(struct input *input, uint8_t *bytes, size_t size) {
    uint8_t *before = exact_copy(bytes, size);
    size_t at = 0;
    for (unsigned left = input_u8(input) % 8; left > 0 && size > 0; left--) {
        size_t place = input_u16(input) % size;
        bytes[place] ^= input_u8(input);
    }
    while (at < size && bytes[at] == before[at]) {
        at++;
    }
    free(before);
    return at;
}

#endif
