/* What the handshake does with X25519: how often, and what it makes of public keys that no honest peer has. Its calls
 * go through here, so that they are counted, and so that an attacker can be played who knows a shared secret to be
 * zero. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "channel_pair.h"
#include "common/random.h"

#define MAC_BYTES 16

/* ---- X25519, watched --------------------------------------------------------------------------------------------- */

static struct {
    unsigned calls;       /* of either function */
    bool zero, lenient;   /* every shared secret is zero; a zero one is no failure */
    const uint8_t *point; /* what the next public key is to be */
} curve;

int __real_crypto_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p);
int __wrap_crypto_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p);
int __real_crypto_scalarmult_base(unsigned char *q, const unsigned char *n);
int __wrap_crypto_scalarmult_base(unsigned char *q, const unsigned char *n);

int __wrap_crypto_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p) {
    curve.calls++;
    const int failed = __real_crypto_scalarmult(q, n, p);
    if (curve.zero || failed) {
        memset(q, 0, KEY_BYTES); /* what the curve gives; libsodium does not always write it */
    }
    return curve.zero || curve.lenient ? 0 : failed;
}

int __wrap_crypto_scalarmult_base(unsigned char *q, const unsigned char *n) {
    curve.calls++;
    if (curve.point != NULL) {
        memcpy(q, curve.point, KEY_BYTES);
        return 0;
    }
    return __real_crypto_scalarmult_base(q, n);
}

static int reset(void **state) {
    (void)state;
    memset(&curve, 0, sizeof curve);
    return 0;
}

/* ---- How often --------------------------------------------------------------------------------------------------- */

static void what_it_costs(void **state) {
    (void)state;
    struct channel_pair pair;
    uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES], client[KEY_BYTES];
    size_t bytes;
    channel_pair_begin(&pair, CHANNEL_CHACHA20POLY1305, 3);
    curve.calls = 0;
    assert_int_equal(channel_write_first(pair.initiator, pair.first), CANYON_OK);
    assert_int_equal(curve.calls, 2); /* e, es */
    /* Anything whose mac1 is wrong costs no curve at all, and the handshake is over. */
    for (size_t bit = 0; bit < 8 * CHANNEL_FIRST_BYTES; bit++) {
        uint8_t seed[KEY_BYTES], changed[CHANNEL_FIRST_BYTES];
        channel_pair_bytes(9, seed);
        struct channel_handshake *responder = channel_respond(CHANNEL_CHACHA20POLY1305, &pair.server_key, seed);
        memcpy(changed, pair.first, sizeof changed);
        changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        curve.calls = 0;
        assert_false(channel_first_plausible(pair.server_key.public, changed));
        assert_int_equal(channel_read_first(responder, changed), CANYON_PROTOCOL);
        assert_int_equal(channel_read_first(responder, pair.first), CANYON_INTERNAL);
        assert_int_equal(curve.calls, 0);
        channel_handshake_destroy(responder);
    }
    assert_false(channel_first_plausible(pair.client_key.public, pair.first));
    assert_true(channel_first_plausible(pair.server_key.public, pair.first));
    assert_int_equal(curve.calls, 0);
    assert_int_equal(channel_read_first(pair.responder, pair.first), CANYON_OK);
    assert_int_equal(curve.calls, 1); /* es */
    assert_int_equal(channel_write_second(pair.responder, pair.second), CANYON_OK);
    assert_int_equal(curve.calls, 3); /* e, ee */
    assert_int_equal(channel_read_second(pair.initiator, pair.second), CANYON_OK);
    assert_int_equal(curve.calls, 4); /* ee */
    assert_int_equal(channel_write_third(pair.initiator, "", 0, pair.third, &pair.third_bytes), CANYON_OK);
    assert_int_equal(curve.calls, 5); /* se */
    assert_int_equal(channel_read_third(pair.responder, pair.third, pair.third_bytes, hello, &bytes, client),
                     CANYON_OK);
    assert_int_equal(curve.calls, 6); /* se */
    channel_pair_finish(&pair);
}

/* ---- Points of small order --------------------------------------------------------------------------------------- */

/* 0, 1, the two of order 8, and p - 1, p, p + 1: every secret key makes zero of them, with the ignored top bit or
 * without. */
static const char *const small[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};
#define SMALL (2 * sizeof small / sizeof small[0])

static void small_point(size_t index, uint8_t point[KEY_BYTES]) {
    size_t count = 0;
    const char *hex = small[index / 2];
    assert_int_equal(sodium_hex2bin(point, KEY_BYTES, hex, strlen(hex), NULL, &count, NULL), 0);
    assert_int_equal(count, KEY_BYTES);
    point[KEY_BYTES - 1] |= (uint8_t)(index % 2 << 7);
}

/* The attacker knows the shared secret, zero, so the message is right in every bit; only the check of the curve's
 * result refuses it: without the check (`lenient`) it is accepted. */
static enum canyon_status small_first(enum channel_cipher cipher, const uint8_t point[KEY_BYTES], bool lenient) {
    struct channel_pair pair;
    channel_pair_begin(&pair, cipher, 3);
    curve.zero = true;
    curve.point = point;
    assert_int_equal(channel_write_first(pair.initiator, pair.first), CANYON_OK);
    assert_memory_equal(pair.first + MAC_BYTES, point, KEY_BYTES);
    curve.zero = false;
    curve.point = NULL;
    curve.lenient = lenient;
    const enum canyon_status status = channel_read_first(pair.responder, pair.first);
    curve.lenient = false;
    channel_pair_finish(&pair);
    return status;
}

static enum canyon_status small_second(enum channel_cipher cipher, const uint8_t point[KEY_BYTES], bool lenient) {
    struct channel_pair pair;
    channel_pair_begin(&pair, cipher, 3);
    assert_int_equal(channel_write_first(pair.initiator, pair.first), CANYON_OK);
    assert_int_equal(channel_read_first(pair.responder, pair.first), CANYON_OK);
    curve.zero = true;
    curve.point = point;
    assert_int_equal(channel_write_second(pair.responder, pair.second), CANYON_OK);
    curve.zero = false;
    curve.point = NULL;
    curve.lenient = lenient;
    const enum canyon_status status = channel_read_second(pair.initiator, pair.second);
    curve.lenient = false;
    channel_pair_finish(&pair);
    return status;
}

static enum canyon_status small_third(enum channel_cipher cipher, const uint8_t point[KEY_BYTES], bool lenient) {
    struct channel_pair pair;
    uint8_t hello[CHANNEL_HELLO_LIMIT_BYTES], client[KEY_BYTES];
    size_t bytes;
    channel_pair_begin(&pair, cipher, 3);
    memcpy(pair.client_key.public, point, KEY_BYTES);
    assert_int_equal(channel_write_first(pair.initiator, pair.first), CANYON_OK);
    assert_int_equal(channel_read_first(pair.responder, pair.first), CANYON_OK);
    assert_int_equal(channel_write_second(pair.responder, pair.second), CANYON_OK);
    assert_int_equal(channel_read_second(pair.initiator, pair.second), CANYON_OK);
    curve.zero = true;
    assert_int_equal(channel_write_third(pair.initiator, "", 0, pair.third, &pair.third_bytes), CANYON_OK);
    curve.zero = false;
    curve.lenient = lenient;
    const enum canyon_status status =
        channel_read_third(pair.responder, pair.third, pair.third_bytes, hello, &bytes, client);
    curve.lenient = false;
    channel_pair_finish(&pair);
    return status;
}

static void small_with(enum channel_cipher cipher) {
    for (size_t i = 0; i < SMALL; i++) {
        uint8_t point[KEY_BYTES];
        small_point(i, point);
        assert_int_equal(small_first(cipher, point, true), CANYON_OK);
        assert_int_equal(small_first(cipher, point, false), CANYON_PROTOCOL);
        assert_int_equal(small_second(cipher, point, true), CANYON_OK);
        assert_int_equal(small_second(cipher, point, false), CANYON_PROTOCOL);
        assert_int_equal(small_third(cipher, point, true), CANYON_OK);
        assert_int_equal(small_third(cipher, point, false), CANYON_PROTOCOL);
        /* As the server's key, from a file. */
        struct channel_pair pair;
        uint8_t seed[KEY_BYTES];
        channel_pair_begin(&pair, cipher, 3);
        channel_handshake_destroy(pair.initiator);
        channel_pair_bytes(3, seed);
        pair.initiator = channel_initiate(cipher, &pair.client_key, point, seed);
        assert_int_equal(channel_write_first(pair.initiator, pair.first), CANYON_PROTOCOL);
        assert_int_equal(channel_write_first(pair.initiator, pair.first), CANYON_INTERNAL);
        channel_pair_finish(&pair);
    }
}

static void points_of_small_order(void **state) {
    (void)state;
    with_each(small_with);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_it_costs, reset),
        cmocka_unit_test_setup(points_of_small_order, reset),
    };
    struct error error;
    return random_start(&error) == CANYON_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
