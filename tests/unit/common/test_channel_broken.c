/* Records that the peer did not seal, here and now: nothing of them comes out, and nothing afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "channel_records.h"
#include "common/endian.h"
#include "common/random.h"

#define RECORDS 4
#define EACH    (50 + CHANNEL_RECORD_BYTES)

/* Plays records, given by their numbers, to a new server: `good` of them come out, then it is broken for good. Number
 * RECORDS and above are records of another session with the same keys, -1 is one that the server itself sealed. */
static void broken_after(enum channel_cipher cipher, const int *numbers, size_t count, size_t good) {
    struct channel_pair pair, other;
    uint8_t records[2 * RECORDS][EACH], own[EACH];
    enum channel_result result;
    size_t got;
    channel_pair_make(&pair, cipher, 3);
    channel_pair_make(&other, cipher, 5);
    for (size_t i = 0; i < RECORDS; i++) {
        assert_int_equal(seal_one(pair.client, plain + 50 * i, 50, records[i], EACH), EACH);
        assert_int_equal(seal_one(other.client, plain + 50 * i, 50, records[RECORDS + i], EACH), EACH);
    }
    assert_int_equal(seal_one(pair.server, plain, 50, own, EACH), EACH);
    for (size_t i = 0; i < count; i++) {
        memcpy(wire + EACH * i, numbers[i] < 0 ? own : records[numbers[i]], EACH);
    }
    memset(heard, 0xee, 1000);
    assert_int_equal(hear(pair.server, wire, EACH * count, 1000, &result), 50 * good);
    assert_int_equal(result, CHANNEL_BROKEN);
    assert_memory_equal(heard, plain, 50 * good);
    for (size_t i = 0; i < 50; i++) { /* nothing of the record itself */
        assert_true(heard[50 * good + i] == 0xee || heard[50 * good + i] == 0);
    }
    assert_true(channel_idle(pair.server));
    /* Not even what would have been right is read now. */
    channel_pair_feed(pair.server, records[good], EACH);
    assert_int_equal(channel_read(pair.server, heard, 1000, &got), CHANNEL_BROKEN);
    assert_int_equal(got, 0);
    channel_pair_finish(&pair);
    channel_pair_finish(&other);
}

static void rearranged_with(enum channel_cipher cipher) {
#define BROKEN(good, ...)                                                                                              \
    broken_after(cipher, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int), good)
    BROKEN(0, 1, 0);           /* swapped */
    BROKEN(1, 0, 2, 1, 3);     /* swapped */
    BROKEN(1, 0, 0, 1);        /* repeated */
    BROKEN(3, 0, 1, 2, 1);     /* repeated later */
    BROKEN(0, 1, 2, 3);        /* the first lost */
    BROKEN(2, 0, 1, 3);        /* one lost */
    BROKEN(1, 0, RECORDS + 1); /* of another session of the same two keys, the right number */
    BROKEN(0, RECORDS, 0, 1);  /* and at the beginning */
    BROKEN(0, -1, 0, 1);       /* its own, sent back */
    BROKEN(2, 0, 1, -1);
}

static void rearranged(void **state) {
    (void)state;
    with_each(rearranged_with);
}

static void every_bit_with(enum channel_cipher cipher) {
    struct channel_pair pair;
    enum channel_result result;
    channel_pair_make(&pair, cipher, 3);
    const size_t first = seal_one(pair.client, plain, 20, wire, sizeof wire);
    const size_t written = first + seal_one(pair.client, plain + 20, 40, wire + first, sizeof wire - first);
    const struct channel_keys keys = *pair.server->keys;
    for (size_t bit = 8 * first; bit < 8 * written; bit++) {
        for (size_t room = 10; room <= 1000; room += 990) { /* in the scratch and straight */
            rewind_to(pair.server, &keys);
            wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(hear(pair.server, wire, written, room, &result), 20);
            /* A length that grew is waited for, and the next bytes break it. */
            if (result == CHANNEL_NEEDS_MORE) {
                assert_true(bit < 8 * (first + 2));
                assert_false(channel_idle(pair.server));
                assert_int_equal(hear(pair.server, plain, 70000, room, &result), 0);
            }
            assert_int_equal(result, CHANNEL_BROKEN);
            wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    rewind_to(pair.server, &keys);
    assert_int_equal(hear(pair.server, wire, written, 1000, &result), 60);
    assert_int_equal(result, CHANNEL_NEEDS_MORE);
    channel_pair_finish(&pair);
}

static void every_bit(void **state) {
    (void)state;
    with_each(every_bit_with);
}

/* A length that leaves no room for a tag is refused before anything else comes. */
static void lengths_without_a_tag(void **state) {
    (void)state;
    for (uint8_t length = 0; length < CHANNEL_TAG_BYTES; length++) {
        struct channel_pair pair;
        const uint8_t bytes[2] = {length, 0};
        size_t got;
        channel_pair_make(&pair, CHANNEL_CHACHA20POLY1305, 3);
        channel_pair_feed(pair.server, bytes, 1);
        assert_int_equal(channel_read(pair.server, heard, 10, &got), CHANNEL_NEEDS_MORE);
        channel_pair_feed(pair.server, bytes + 1, 1);
        assert_int_equal(channel_read(pair.server, heard, 10, &got), CHANNEL_BROKEN);
        channel_pair_finish(&pair);
    }
}

/* A record of the largest length that can be written: no sender of ours makes one, and one is read. */
static void largest_with(enum channel_cipher cipher) {
    struct channel_pair pair;
    enum channel_result result;
    for (size_t room = 1000; room < MANY; room += 200000) {
        channel_pair_make(&pair, cipher, 3);
        assert_true(channel_cipher_seal(&pair.client->keys->sends, NULL, 0, plain, 65519, wire + 2));
        store_u16(wire, 65535);
        const size_t next = seal_one(pair.client, plain + 65519, 3, wire + 65537, 100);
        assert_int_equal(hear(pair.server, wire, 65537 + next, room, &result), 65522);
        assert_memory_equal(heard, plain, 65522);
        channel_pair_finish(&pair);
    }
}

static void largest_record(void **state) {
    (void)state;
    with_each(largest_with);
}

/* ---- Fork -------------------------------------------------------------------------------------------------------- */

static void nothing_after_fork(void **state) {
    (void)state;
    struct channel_pair pair;
    int status = -1;
    channel_pair_make(&pair, CHANNEL_CHACHA20POLY1305, 3);
    const size_t written = seal_one(pair.client, plain, 10, wire, sizeof wire);
    /* What somebody seals with the key that the child reads: zeroes. */
    static const uint8_t zeroes[CHANNEL_CIPHER_KEY_BYTES];
    uint8_t forged[10 + CHANNEL_RECORD_BYTES] = {10 + CHANNEL_TAG_BYTES};
    struct channel_cipher_state forger;
    channel_cipher_start(&forger, CHANNEL_CHACHA20POLY1305, zeroes, NULL);
    assert_true(channel_cipher_seal(&forger, NULL, 0, plain, 10, forged + CHANNEL_LENGTH_BYTES));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        const struct iovec slice = {plain, 10};
        size_t taken = 0, got = 0;
        uint8_t last[CHANNEL_RECORD_BYTES];
        int wrong = channel_seal(pair.client, &slice, 1, 0, wire + 1000, 1000, &taken) != 0 || taken != 0;
        channel_seal_last(pair.client, last);
        wrong += last[0] != 0 || last[1] != 0; /* a length that breaks the peer's stream */
        channel_pair_feed(pair.server, forged, sizeof forged);
        wrong += channel_read(pair.server, heard, 10, &got) != CHANNEL_BROKEN || got != 0;
        channel_destroy(pair.client);
        channel_destroy(pair.server);
        _exit(wrong);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    enum channel_result result;
    assert_int_equal(hear(pair.server, wire, written, 1000, &result), 10);
    channel_pair_finish(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rearranged),     cmocka_unit_test(every_bit),          cmocka_unit_test(lengths_without_a_tag),
        cmocka_unit_test(largest_record), cmocka_unit_test(nothing_after_fork),
    };
    struct error error;
    records_begin();
    return random_start(&error) == CANYON_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
