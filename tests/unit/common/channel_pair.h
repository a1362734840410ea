/* Both ends of a channel for tests: keys and ephemeral keys from numbers, so that every run makes the same bytes. */
#ifndef CANYON_TESTS_UNIT_CHANNEL_PAIR_H
#define CANYON_TESTS_UNIT_CHANNEL_PAIR_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/channel.h"
#include "common/channel_noise.h"
#include "common/key.h"

/* Runs `test` with each cipher that this CPU has. */
static inline void with_each(void (*test)(enum channel_cipher cipher)) {
    static const enum channel_cipher ciphers[] = {CHANNEL_CHACHA20POLY1305, CHANNEL_AES256GCM};
    for (size_t i = 0; i < sizeof ciphers / sizeof ciphers[0]; i++) {
        if (channel_cipher_usable(ciphers[i])) {
            test(ciphers[i]);
        } else {
            printf("SKIPPED: no instructions for %s\n", channel_cipher_name(ciphers[i]));
        }
    }
}

/* 32 bytes that `number` stands for. */
static inline void channel_pair_bytes(uint8_t number, uint8_t bytes[KEY_BYTES]) {
    for (size_t i = 0; i < KEY_BYTES; i++) {
        bytes[i] = (uint8_t)(number * 37 + i * 11 + 1);
    }
}

static inline void channel_pair_key(uint8_t number, struct key_pair *pair) {
    static const uint8_t base[KEY_BYTES] = {9};
    channel_pair_bytes(number, pair->secret);
    bool ok = channel_noise_exchange(pair->public, pair->secret, base);
    assert_true(ok);
}

/* A conversation up to its keys, with the bytes that went over the wire. */
struct channel_pair {
    struct key_pair client_key, server_key;
    struct channel_handshake *initiator, *responder;
    uint8_t first[CHANNEL_FIRST_BYTES], second[CHANNEL_SECOND_BYTES], third[CHANNEL_THIRD_LIMIT_BYTES];
    size_t third_bytes;
    struct channel *client, *server;
};

/* Keys and both handshakes; `number` chooses the ephemeral keys (two of them: number and number + 1). */
static inline void channel_pair_begin(struct channel_pair *pair, enum channel_cipher cipher, uint8_t number) {
    uint8_t seed[KEY_BYTES];
    memset(pair, 0, sizeof *pair);
    channel_pair_key(1, &pair->client_key);
    channel_pair_key(2, &pair->server_key);
    channel_pair_bytes(number, seed);
    pair->initiator = channel_initiate(cipher, &pair->client_key, pair->server_key.public, seed);
    channel_pair_bytes((uint8_t)(number + 1), seed);
    pair->responder = channel_respond(cipher, &pair->server_key, seed);
    assert_non_null(pair->initiator);
    assert_non_null(pair->responder);
}

/* The three messages, with `hello` as the third one's payload. */
static inline void channel_pair_shake(struct channel_pair *pair, const void *hello, size_t hello_bytes) {
    uint8_t heard[CHANNEL_HELLO_LIMIT_BYTES], client[KEY_BYTES];
    size_t heard_bytes;
    assert_int_equal(channel_write_first(pair->initiator, pair->first), CANYON_OK);
    assert_int_equal(channel_read_first(pair->responder, pair->first), CANYON_OK);
    assert_int_equal(channel_write_second(pair->responder, pair->second), CANYON_OK);
    assert_int_equal(channel_read_second(pair->initiator, pair->second), CANYON_OK);
    assert_int_equal(channel_write_third(pair->initiator, hello, hello_bytes, pair->third, &pair->third_bytes),
                     CANYON_OK);
    assert_int_equal(channel_third_bytes(pair->third), pair->third_bytes);
    assert_int_equal(channel_read_third(pair->responder, pair->third, pair->third_bytes, heard, &heard_bytes, client),
                     CANYON_OK);
    assert_int_equal(heard_bytes, hello_bytes);
    assert_memory_equal(heard, hello, hello_bytes);
    assert_memory_equal(client, pair->client_key.public, KEY_BYTES);
}

/* Both ends established; the handshakes are gone. */
static inline void channel_pair_make(struct channel_pair *pair, enum channel_cipher cipher, uint8_t number) {
    channel_pair_begin(pair, cipher, number);
    channel_pair_shake(pair, "hello", 5);
    pair->client = channel_establish(pair->initiator);
    pair->server = channel_establish(pair->responder);
    channel_handshake_destroy(pair->initiator);
    channel_handshake_destroy(pair->responder);
    pair->initiator = pair->responder = NULL;
    assert_non_null(pair->client);
    assert_non_null(pair->server);
}

static inline void channel_pair_finish(struct channel_pair *pair) {
    channel_destroy(pair->client);
    channel_destroy(pair->server);
    channel_handshake_destroy(pair->initiator);
    channel_handshake_destroy(pair->responder);
    memset(pair, 0, sizeof *pair);
}

/* Puts bytes into a channel as a socket would, as many as it has room for; says how many. */
static inline size_t channel_pair_feed(struct channel *channel, const uint8_t *bytes, size_t count) {
    uint8_t *at;
    size_t room;
    channel_space(channel, &at, &room);
    count = count < room ? count : room;
    memcpy(at, bytes, count);
    channel_received(channel, count);
    return count;
}

#endif
