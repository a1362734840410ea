/* The handshake: its bytes, what each step refuses, and whom it lets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "channel_pair.h"
#include "common/random.h"
#include "common/secret.h"

#define MAC_BYTES 16

/* What anybody does who knows the server's public key. */
static void put_mac(const uint8_t server[KEY_BYTES], uint8_t first[CHANNEL_FIRST_BYTES]) {
    uint8_t bytes[4 + KEY_BYTES] = {'m', 'a', 'c', '1'}, key[32];
    memcpy(bytes + 4, server, KEY_BYTES);
    assert_int_equal(crypto_generichash(key, sizeof key, bytes, sizeof bytes, NULL, 0), 0);
    assert_int_equal(crypto_generichash(first, MAC_BYTES, first + MAC_BYTES, CHANNEL_FIRST_BYTES - MAC_BYTES, key, 32),
                     0);
}

/* ---- The way it goes --------------------------------------------------------------------------------------------- */

static void whole_with(enum channel_cipher cipher) {
    static const size_t sizes[] = {0, 1, 100, CHANNEL_HELLO_LIMIT_BYTES - 1, CHANNEL_HELLO_LIMIT_BYTES};
    uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES];
    const size_t before = secret_in_use();
    memset(hello, 0x5a, sizeof hello);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct channel_pair pair;
        channel_pair_begin(&pair, cipher, 3);
        channel_pair_shake(&pair, hello, sizes[i]);
        assert_int_equal(pair.third_bytes, CHANNEL_THIRD_LEAST_BYTES + sizes[i]);
        channel_pair_finish(&pair);
    }
    assert_int_equal(secret_in_use(), before);
}

static void whole(void **state) {
    (void)state;
    with_each(whole_with);
}

static void third_bytes(void **state) {
    (void)state;
    for (unsigned length = 0; length < 65536; length++) {
        const uint8_t bytes[2] = {(uint8_t)(length & 255), (uint8_t)(length >> 8)};
        const size_t expected = length >= 64 && length <= 512 ? length + 2 : 0;
        assert_int_equal(channel_third_bytes(bytes), expected);
    }
}

/* The first message is what Noise makes of a prologue written out here, behind a mac1 computed here. */
static const uint8_t prologue[] = {'C', 'A', 'N', 'Y', 'O', 'N', '/', '1', 0, 'c', 'l', 'i', 'e', 'n',
                                   't', 0,   's', 'e', 'r', 'v', 'e', 'r', 0, 1,   0,   0,   0};

static void as_noise_with(enum channel_cipher cipher) {
    struct channel_pair pair;
    struct channel_noise noise;
    uint8_t seed[KEY_BYTES], made[CHANNEL_FIRST_BYTES], hello[5];
    channel_pair_begin(&pair, cipher, 3);
    channel_pair_shake(&pair, "hello", 5);
    channel_pair_bytes(4, seed);
    channel_noise_init(&noise, cipher, CHANNEL_NOISE_RESPONDER, prologue, sizeof prologue, &pair.server_key, NULL,
                       seed);
    assert_true(channel_noise_read(&noise, pair.first + MAC_BYTES, CHANNEL_FIRST_BYTES - MAC_BYTES, NULL));
    assert_true(channel_noise_write(&noise, NULL, 0, made));
    assert_memory_equal(made, pair.second, CHANNEL_SECOND_BYTES);
    assert_int_equal(pair.third[0] + 256 * pair.third[1], pair.third_bytes - 2);
    assert_true(channel_noise_read(&noise, pair.third + 2, pair.third_bytes - 2, hello));
    assert_memory_equal(hello, "hello", 5);
    channel_noise_finish(&noise);
    memcpy(made, pair.first, sizeof made);
    put_mac(pair.server_key.public, made);
    assert_memory_equal(made, pair.first, sizeof made);
    channel_pair_finish(&pair);
}

static void as_noise(void **state) {
    (void)state;
    with_each(as_noise_with);
}

/* ---- Order ------------------------------------------------------------------------------------------------------- */

enum step { WRITE_FIRST, READ_FIRST, WRITE_SECOND, READ_SECOND, WRITE_THIRD, READ_THIRD, ESTABLISH, STEPS };

/* Takes a step with the pair's bytes. */
static enum canyon_status take(struct channel_pair *pair, struct channel_handshake *handshake, enum step step) {
    uint8_t bytes[CHANNEL_THIRD_LIMIT_BYTES], client[KEY_BYTES];
    size_t count = 0;
    struct channel *channel;
    switch (step) {
    case WRITE_FIRST:
        return channel_write_first(handshake, bytes);
    case READ_FIRST:
        return channel_read_first(handshake, pair->first);
    case WRITE_SECOND:
        return channel_write_second(handshake, bytes);
    case READ_SECOND:
        return channel_read_second(handshake, pair->second);
    case WRITE_THIRD:
        return channel_write_third(handshake, "hello", 5, bytes, &count);
    case READ_THIRD:
        return channel_read_third(handshake, pair->third, pair->third_bytes, bytes, &count, client);
    case ESTABLISH:
        channel = channel_establish(handshake);
        count = channel != NULL;
        channel_destroy(channel);
        return count == 1 ? CANYON_OK : CANYON_INTERNAL;
    case STEPS:
        break;
    }
    return CANYON_OK;
}

/* Every step out of turn is refused, and leaves the handshake as it was. */
static void order_of(struct channel_pair *pair, struct channel_handshake *handshake, const enum step *steps,
                     size_t count) {
    for (size_t i = 0; i <= count; i++) {
        for (int other = 0; other < STEPS; other++) {
            if (i == count || other != (int)steps[i]) {
                assert_int_equal(take(pair, handshake, (enum step)other), CANYON_INTERNAL);
            }
        }
        if (i < count) {
            assert_int_equal(take(pair, handshake, steps[i]), CANYON_OK);
        }
    }
}

static void order_with(enum channel_cipher cipher) {
    static const enum step initiator[] = {WRITE_FIRST, READ_SECOND, WRITE_THIRD, ESTABLISH};
    static const enum step responder[] = {READ_FIRST, WRITE_SECOND, READ_THIRD, ESTABLISH};
    struct channel_pair recorded, pair;
    channel_pair_begin(&recorded, cipher, 3);
    channel_pair_shake(&recorded, "hello", 5);
    channel_pair_begin(&pair, cipher, 3);
    order_of(&recorded, pair.initiator, initiator, 4);
    order_of(&recorded, pair.responder, responder, 4);
    channel_pair_finish(&pair);
    channel_pair_finish(&recorded);
}

static void order(void **state) {
    (void)state;
    with_each(order_with);
}

static void too_large_a_hello(void **state) {
    (void)state;
    static const uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES + 1];
    struct channel_pair pair;
    channel_pair_begin(&pair, CHANNEL_CHACHA20POLY1305, 3);
    assert_int_equal(channel_write_first(pair.initiator, pair.first), CANYON_OK);
    assert_int_equal(channel_read_first(pair.responder, pair.first), CANYON_OK);
    assert_int_equal(channel_write_second(pair.responder, pair.second), CANYON_OK);
    assert_int_equal(channel_read_second(pair.initiator, pair.second), CANYON_OK);
    assert_int_equal(channel_write_third(pair.initiator, hello, sizeof hello, pair.third, &pair.third_bytes),
                     CANYON_TOO_LARGE);
    assert_int_equal(channel_write_third(pair.initiator, hello, sizeof hello - 1, pair.third, &pair.third_bytes),
                     CANYON_OK);
    assert_int_equal(pair.third_bytes, CHANNEL_THIRD_LIMIT_BYTES);
    channel_pair_finish(&pair);
    channel_handshake_destroy(NULL);
}

/* ---- Changed bytes ----------------------------------------------------------------------------------------------- */

/* The third message changed in one bit, or cut or lengthened; the responder is at that point. */
static void third_refused(struct channel_pair *recorded, enum channel_cipher cipher, const uint8_t *third,
                          size_t count) {
    static const uint8_t zero[KEY_BYTES];
    struct channel_pair pair;
    uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES], client[KEY_BYTES], second[CHANNEL_SECOND_BYTES];
    size_t bytes = 99;
    memset(client, 1, sizeof client);
    channel_pair_begin(&pair, cipher, 3);
    assert_int_equal(channel_read_first(pair.responder, recorded->first), CANYON_OK);
    assert_int_equal(channel_write_second(pair.responder, second), CANYON_OK);
    assert_int_equal(channel_read_third(pair.responder, third, count, hello, &bytes, client), CANYON_PROTOCOL);
    assert_int_equal(bytes, 0);
    assert_memory_equal(client, zero, KEY_BYTES);
    for (int step = 0; step < STEPS; step++) {
        assert_int_equal(take(recorded, pair.responder, (enum step)step), CANYON_INTERNAL);
    }
    channel_pair_finish(&pair);
}

static void every_bit_with(enum channel_cipher cipher) {
    struct channel_pair recorded, pair;
    uint8_t first[CHANNEL_FIRST_BYTES], second[CHANNEL_SECOND_BYTES], third[CHANNEL_THIRD_LIMIT_BYTES] = {0};
    channel_pair_begin(&recorded, cipher, 3);
    channel_pair_shake(&recorded, "hello", 5);
    /* The first, its mac1 put right: that is in everybody's power. The top bit of e, which the curve ignores, too. */
    for (size_t bit = 8 * MAC_BYTES; bit < 8 * CHANNEL_FIRST_BYTES; bit++) {
        memcpy(first, recorded.first, sizeof first);
        first[bit / 8] ^= (uint8_t)(1 << bit % 8);
        put_mac(recorded.server_key.public, first);
        channel_pair_begin(&pair, cipher, 3);
        assert_int_equal(channel_read_first(pair.responder, first), CANYON_PROTOCOL);
        assert_int_equal(channel_write_second(pair.responder, second), CANYON_INTERNAL);
        channel_pair_finish(&pair);
    }
    for (size_t bit = 0; bit < 8 * CHANNEL_SECOND_BYTES; bit++) {
        memcpy(second, recorded.second, sizeof second);
        second[bit / 8] ^= (uint8_t)(1 << bit % 8);
        channel_pair_begin(&pair, cipher, 3);
        assert_int_equal(channel_write_first(pair.initiator, first), CANYON_OK);
        assert_int_equal(channel_read_second(pair.initiator, second), CANYON_PROTOCOL);
        assert_int_equal(channel_read_second(pair.initiator, recorded.second), CANYON_INTERNAL);
        assert_int_equal(take(&recorded, pair.initiator, WRITE_THIRD), CANYON_INTERNAL);
        channel_pair_finish(&pair);
    }
    for (size_t bit = 0; bit < 8 * recorded.third_bytes; bit++) {
        memcpy(third, recorded.third, recorded.third_bytes);
        third[bit / 8] ^= (uint8_t)(1 << bit % 8);
        third_refused(&recorded, cipher, third, recorded.third_bytes);
    }
    for (size_t count = 0; count <= CHANNEL_THIRD_LIMIT_BYTES; count += count < 80 ? 1 : 43) {
        if (count == recorded.third_bytes) {
            continue;
        }
        memcpy(third, recorded.third, recorded.third_bytes);
        third_refused(&recorded, cipher, third, count); /* its length says otherwise */
        third[0] = (uint8_t)((count - 2) & 255);
        third[1] = (uint8_t)((count - 2) >> 8 & 255);
        third_refused(&recorded, cipher, third, count);
    }
    channel_pair_finish(&recorded);
}

static void every_bit(void **state) {
    (void)state;
    with_each(every_bit_with);
}

/* ---- Another protocol, another role, another server -------------------------------------------------------------- */

static bool first_accepted(enum channel_cipher cipher, const void *bytes, size_t count) {
    struct channel_pair pair;
    struct channel_noise noise;
    uint8_t seed[KEY_BYTES];
    channel_pair_begin(&pair, CHANNEL_CHACHA20POLY1305, 3);
    channel_pair_bytes(3, seed);
    channel_noise_init(&noise, cipher, CHANNEL_NOISE_INITIATOR, bytes, count, &pair.client_key, pair.server_key.public,
                       seed);
    assert_true(channel_noise_write(&noise, NULL, 0, pair.first + MAC_BYTES));
    put_mac(pair.server_key.public, pair.first);
    const enum canyon_status status = channel_read_first(pair.responder, pair.first);
    assert_true(status == CANYON_OK || status == CANYON_PROTOCOL);
    channel_noise_finish(&noise);
    channel_pair_finish(&pair);
    return status == CANYON_OK;
}

static void another_protocol(void **state) {
    (void)state;
    static const char roles[] = "CANYON/1\0server\0client\0\1\0\0", one_role[] = "CANYON/1\0client\0client\0\1\0\0";
    uint8_t changed[sizeof prologue + 1] = {0};
    assert_true(first_accepted(CHANNEL_CHACHA20POLY1305, prologue, sizeof prologue));
    for (size_t bit = 0; bit < 8 * sizeof prologue; bit++) { /* the version is among them */
        memcpy(changed, prologue, sizeof prologue);
        changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(first_accepted(CHANNEL_CHACHA20POLY1305, changed, sizeof prologue));
    }
    memcpy(changed, prologue, sizeof prologue);
    assert_false(first_accepted(CHANNEL_CHACHA20POLY1305, changed, sizeof prologue + 1));
    assert_false(first_accepted(CHANNEL_CHACHA20POLY1305, changed, sizeof prologue - 1));
    assert_false(first_accepted(CHANNEL_CHACHA20POLY1305, changed, 0));
    assert_false(first_accepted(CHANNEL_CHACHA20POLY1305, roles, sizeof roles));
    assert_false(first_accepted(CHANNEL_CHACHA20POLY1305, one_role, sizeof one_role));
    if (channel_cipher_usable(CHANNEL_AES256GCM)) {
        assert_false(first_accepted(CHANNEL_AES256GCM, prologue, sizeof prologue));
    }
}

static void another_server(void **state) {
    (void)state;
    struct channel_pair pair, wrong;
    struct key_pair other;
    uint8_t seed[KEY_BYTES];
    channel_pair_key(7, &other);
    channel_pair_bytes(8, seed);
    channel_pair_begin(&pair, CHANNEL_CHACHA20POLY1305, 3);
    struct channel_handshake *liar = channel_respond(CHANNEL_CHACHA20POLY1305, &other, seed);
    assert_int_equal(channel_write_first(pair.initiator, pair.first), CANYON_OK);
    assert_int_equal(channel_read_first(liar, pair.first), CANYON_PROTOCOL);
    channel_handshake_destroy(liar);
    /* A mac1 put right for the liar's key does not help it: it cannot open the message. */
    put_mac(other.public, pair.first);
    liar = channel_respond(CHANNEL_CHACHA20POLY1305, &other, seed);
    assert_int_equal(channel_read_first(liar, pair.first), CANYON_PROTOCOL);
    channel_handshake_destroy(liar);
    /* A second message that the right server wrote to somebody else, and one's own message come back. */
    channel_pair_begin(&wrong, CHANNEL_CHACHA20POLY1305, 11);
    channel_pair_shake(&wrong, "", 0);
    assert_int_equal(channel_read_second(pair.initiator, wrong.second), CANYON_PROTOCOL);
    channel_pair_finish(&pair);
    channel_pair_begin(&pair, CHANNEL_CHACHA20POLY1305, 3);
    assert_int_equal(channel_write_first(pair.initiator, pair.first), CANYON_OK);
    assert_int_equal(channel_read_second(pair.initiator, pair.first + MAC_BYTES), CANYON_PROTOCOL);
    channel_pair_finish(&pair);
    channel_pair_finish(&wrong);
}

/* A recorded conversation played to a server once more ends at the third message. */
static void replay(void **state) {
    (void)state;
    struct channel_pair recorded, pair;
    uint8_t second[CHANNEL_SECOND_BYTES], hello[CHANNEL_HELLO_LIMIT_BYTES], client[KEY_BYTES];
    size_t bytes;
    channel_pair_begin(&recorded, CHANNEL_CHACHA20POLY1305, 3);
    channel_pair_shake(&recorded, "hello", 5);
    channel_pair_begin(&pair, CHANNEL_CHACHA20POLY1305, 20); /* the server's new ephemeral key */
    assert_int_equal(channel_read_first(pair.responder, recorded.first), CANYON_OK);
    assert_int_equal(channel_write_second(pair.responder, second), CANYON_OK);
    assert_int_equal(channel_read_third(pair.responder, recorded.third, recorded.third_bytes, hello, &bytes, client),
                     CANYON_PROTOCOL);
    channel_pair_finish(&pair);
    channel_pair_finish(&recorded);
}

/* ---- Seeds ------------------------------------------------------------------------------------------------------- */

/* What the client's first record looks like: the same bytes only under the same key. */
static void first_record(uint8_t client_seed, uint8_t server_seed, uint8_t out[100 + CHANNEL_RECORD_BYTES]) {
    static const uint8_t plain[100];
    const struct iovec slice = {(void *)(uintptr_t)plain, sizeof plain};
    struct channel_pair pair;
    uint8_t seed[KEY_BYTES];
    size_t taken;
    channel_pair_begin(&pair, CHANNEL_CHACHA20POLY1305, client_seed);
    channel_handshake_destroy(pair.responder);
    channel_pair_bytes(server_seed, seed);
    pair.responder = channel_respond(CHANNEL_CHACHA20POLY1305, &pair.server_key, seed);
    channel_pair_shake(&pair, "hello", 5);
    pair.client = channel_establish(pair.initiator);
    assert_non_null(pair.client);
    assert_int_equal(channel_seal(pair.client, &slice, 1, 0, out, sizeof plain + CHANNEL_RECORD_BYTES, &taken),
                     sizeof plain + CHANNEL_RECORD_BYTES);
    channel_pair_finish(&pair);
}

static void either_seed_makes_other_keys(void **state) {
    (void)state;
    uint8_t records[4][100 + CHANNEL_RECORD_BYTES], again[100 + CHANNEL_RECORD_BYTES];
    static const uint8_t seeds[4][2] = {{30, 40}, {30, 41}, {31, 40}, {31, 41}};
    for (size_t i = 0; i < 4; i++) {
        first_record(seeds[i][0], seeds[i][1], records[i]);
        for (size_t k = 0; k < i; k++) {
            assert_memory_not_equal(records[i], records[k], sizeof records[i]);
        }
    }
    /* Nothing else is random: both seeds again are both keys again, which is why a seed serves one handshake only. */
    first_record(30, 40, again);
    assert_memory_equal(again, records[0], sizeof again);
}

static void nothing_after_fork(void **state) {
    (void)state;
    struct channel_pair pair, recorded;
    int status = -1;
    channel_pair_begin(&recorded, CHANNEL_CHACHA20POLY1305, 3);
    channel_pair_shake(&recorded, "hello", 5);
    channel_pair_begin(&pair, CHANNEL_CHACHA20POLY1305, 3);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int taken = 0;
        for (int step = 0; step < STEPS; step++) {
            taken += take(&recorded, pair.initiator, (enum step)step) != CANYON_INTERNAL;
            taken += take(&recorded, pair.responder, (enum step)step) != CANYON_INTERNAL;
        }
        channel_handshake_destroy(pair.initiator);
        channel_handshake_destroy(pair.responder);
        _exit(taken);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(take(&recorded, pair.initiator, WRITE_FIRST), CANYON_OK);
    channel_pair_finish(&pair);
    channel_pair_finish(&recorded);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(third_bytes),
        cmocka_unit_test(as_noise),
        cmocka_unit_test(order),
        cmocka_unit_test(too_large_a_hello),
        cmocka_unit_test(every_bit),
        cmocka_unit_test(another_protocol),
        cmocka_unit_test(another_server),
        cmocka_unit_test(replay),
        cmocka_unit_test(either_seed_makes_other_keys),
        cmocka_unit_test(nothing_after_fork),
    };
    struct error error;
    return random_start(&error) == CANYON_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
