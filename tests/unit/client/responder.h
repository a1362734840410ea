/* The server's end of a connection over a blocking socket, for tests that stand in for a server: encrypted, or as it
 * is. And the files that a client needs to believe in it. */
#ifndef TESTS_UNIT_CLIENT_RESPONDER_H
#define TESTS_UNIT_CLIENT_RESPONDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/channel.h"
#include "common/key.h"
#include "common/random.h"

/* channel NULL: plaintext. */
struct responder {
    int descriptor;
    struct channel *channel;
    uint8_t client[KEY_BYTES];
    bool last; /* the client's last record has come */
};

static inline bool responder_send_raw(int descriptor, const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    while (count > 0) {
        ssize_t sent = send(descriptor, at, count, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        count -= (size_t)sent;
    }
    return true;
}

static inline bool responder_receive_raw(int descriptor, void *bytes, size_t count) {
    return count == 0 || recv(descriptor, bytes, count, MSG_WAITALL) == (ssize_t)count;
}

/* The server's half of the handshake. False when the client's does not make sense, or ends. */
static inline bool responder_accept(struct responder *responder, const struct key_pair *key, enum channel_cipher cipher,
                                    uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES], size_t *hello_bytes) {
    uint8_t seed[KEY_BYTES], first[CHANNEL_FIRST_BYTES], second[CHANNEL_SECOND_BYTES], third[CHANNEL_THIRD_LIMIT_BYTES];
    random_fill(seed, sizeof seed);
    struct channel_handshake *handshake = channel_respond(cipher, key, seed);
    assert_non_null(handshake);
    bool good = responder_receive_raw(responder->descriptor, first, sizeof first) &&
                channel_read_first(handshake, first) == CANYON_OK &&
                channel_write_second(handshake, second) == CANYON_OK &&
                responder_send_raw(responder->descriptor, second, sizeof second) &&
                responder_receive_raw(responder->descriptor, third, CHANNEL_LENGTH_BYTES);
    size_t third_bytes = good ? channel_third_bytes(third) : 0;
    good = third_bytes > 0 &&
           responder_receive_raw(responder->descriptor, third + CHANNEL_LENGTH_BYTES,
                                 third_bytes - CHANNEL_LENGTH_BYTES) &&
           channel_read_third(handshake, third, third_bytes, hello, hello_bytes, responder->client) == CANYON_OK;
    if (good) {
        responder->channel = channel_establish(handshake);
        assert_non_null(responder->channel);
    }
    channel_handshake_destroy(handshake);
    return good;
}

/* Blocks until all of it is sent, or the client is gone. */
static inline void responder_send(struct responder *responder, const void *bytes, size_t count) {
    uint8_t sealed[65536];
    union {
        const void *from;
        void *to;
    } base = {bytes};
    struct iovec slice = {.iov_base = base.to, .iov_len = count};
    size_t skip = 0;
    if (responder->channel == NULL) {
        responder_send_raw(responder->descriptor, bytes, count);
        return;
    }
    while (skip < count) {
        size_t taken = 0;
        size_t made = channel_seal(responder->channel, &slice, 1, skip, sealed, sizeof sealed, &taken);
        assert_true(made > 0);
        skip += taken;
        if (!responder_send_raw(responder->descriptor, sealed, made))
            return;
    }
}

/* The next bytes of the protocol; 0 when the client ended the connection (or broke it). */
static inline size_t responder_receive(struct responder *responder, void *bytes, size_t room) {
    if (responder->channel == NULL) {
        ssize_t got = recv(responder->descriptor, bytes, room, 0);
        return got > 0 ? (size_t)got : 0;
    }
    for (;;) {
        uint8_t *at = NULL;
        size_t fits = 0, got = 0;
        enum channel_result result = channel_read(responder->channel, bytes, room, &got);
        if (result == CHANNEL_BYTES)
            return got;
        responder->last = result == CHANNEL_LAST;
        if (result != CHANNEL_NEEDS_MORE)
            return 0;
        channel_space(responder->channel, &at, &fits);
        ssize_t came = recv(responder->descriptor, at, fits, 0);
        if (came <= 0)
            return 0;
        channel_received(responder->channel, (size_t)came);
    }
}

/* False while bytes that were received wait. */
static inline bool responder_is_empty(const struct responder *responder) {
    return responder->channel == NULL || channel_idle(responder->channel);
}

static inline void responder_say_last(struct responder *responder) {
    uint8_t last[CHANNEL_RECORD_BYTES];
    if (responder->channel == NULL)
        return;
    channel_seal_last(responder->channel, last);
    responder_send_raw(responder->descriptor, last, sizeof last);
}

static inline void responder_finish(struct responder *responder) {
    channel_destroy(responder->channel);
    responder->channel = NULL;
}

/* A home directory for a client, in CANYON_HOME: a key of its own, and the server as 127.0.0.1:* and localhost:*, with
 * these options. */
static inline void responder_make_home(char home[64], const uint8_t server[KEY_BYTES], const char *options) {
    char path[128], text[KEY_TEXT_BYTES];
    struct error error = {.status = CANYON_OK};
    struct key_pair *own = key_pair_generate();
    assert_non_null(own);
    strcpy(home, "/tmp/canyon-home-XXXXXX");
    assert_non_null(mkdtemp(home));
    snprintf(path, sizeof path, "%s/key", home);
    if (key_file_write(path, own, &error) != CANYON_OK)
        fail_msg("%s", error.text);
    snprintf(path, sizeof path, "%s/known_servers", home);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    key_text(server, text);
    fprintf(file, "format canyon-known-servers-1\nserver 127.0.0.1:* %s %s\nserver localhost:* %s %s\n", text, options,
            text, options);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
    key_pair_destroy(own);
    setenv("CANYON_HOME", home, 1);
}

static inline void responder_remove_home(const char *home) {
    char path[128];
    snprintf(path, sizeof path, "%s/key", home);
    unlink(path);
    snprintf(path, sizeof path, "%s/known_servers", home);
    unlink(path);
    rmdir(home);
    unsetenv("CANYON_HOME");
}

#endif
