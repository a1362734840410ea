/* Records: what goes in comes out, however it is cut and counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "channel_records.h"
#include "common/endian.h"
#include "common/random.h"
#include "common/secret.h"
#include "seed.h"

/* ---- Sizes and cuts ---------------------------------------------------------------------------------------------- */

static void sizes_with(enum channel_cipher cipher) {
    static const size_t sizes[] = {1,     2,     15,    16,    17,     63,     64,     4095,   4096,
                                   4097,  32767, 32768, 32769, 65517,  65518,  65519,  65520,  65535,
                                   65536, 65537, 98304, 98305, 131072, 200000, 262144, 1000003};
    static const size_t rooms[] = {1000, 32767, 32768, 32769, MANY / 4};
    struct channel_pair pair;
    uint64_t carried = 0;
    channel_pair_make(&pair, cipher, 3);
    assert_int_equal(channel_cipher_of(pair.client), cipher);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t r = 0; r < sizeof rooms / sizeof rooms[0]; r++) {
            enum channel_result result;
            const size_t count = sizes[i];
            const size_t written = seal_one(pair.client, plain + i, count, wire, sizeof wire);
            const size_t room = rooms[r] < MANY - count ? rooms[r] : MANY - count;
            assert_int_equal(hear(pair.server, wire, written, room > 0 ? room : 1, &result), count);
            assert_int_equal(result, CHANNEL_NEEDS_MORE);
            assert_memory_equal(heard, plain + i, count);
            assert_true(channel_idle(pair.server));
            carried += count;
            assert_int_equal(channel_carried(pair.client), carried);
            assert_int_equal(channel_carried(pair.server), carried);
        }
    }
    channel_pair_finish(&pair);
}

static void sizes(void **state) {
    (void)state;
    with_each(sizes_with);
}

/* Whether the page in the middle of a buffer is there. */
static bool is_resident(const void *buffer, size_t bytes) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t middle = ((uintptr_t)buffer + bytes / 2) / page * page;
    unsigned char there = 0;
    assert_int_equal(mincore((uint8_t *)(uintptr_t)buffer + (middle - (uintptr_t)buffer), (size_t)page, &there), 0);
    return (there & 1) != 0;
}

/* A channel that rests between records goes on as if it had not; in the middle of one it does not rest. */
static void rest_with(enum channel_cipher cipher) {
    struct channel_pair pair;
    enum channel_result result;
    channel_pair_make(&pair, cipher, 3);
    for (size_t round = 0; round < 20; round++) {
        const size_t count = 5000 * round + 1;
        const size_t written = seal_one(pair.client, plain + round, count, wire, sizeof wire);
        const size_t first = written / 2;
        size_t got = hear(pair.server, wire, first, MANY / 4, &result);
        assert_memory_equal(heard, plain + round, got);
        channel_rest(pair.server);
        const size_t rest = hear(pair.server, wire + first, written - first, MANY / 4, &result);
        assert_memory_equal(heard, plain + round + got, rest);
        assert_int_equal(got + rest, count);
        assert_true(channel_idle(pair.server));
        memset(pair.server->scratch, 1, CHANNEL_SCRATCH_BYTES);
        pair.server->reached = written < CHANNEL_SCRATCH_BYTES ? written : CHANNEL_SCRATCH_BYTES;
        channel_rest(pair.server);
        assert_false(is_resident(pair.server->scratch, CHANNEL_SCRATCH_BYTES));
        for (size_t i = 0; i < written && i < CHANNEL_SCRATCH_BYTES; i++) {
            if (pair.server->scratch[i] != 0)
                fail_msg("byte %zu of the scratch still holds something", i);
        }
    }
    channel_pair_finish(&pair);
}

static void rest(void **state) {
    (void)state;
    with_each(rest_with);
}

/* ---- What shares a record ---------------------------------------------------------------------------------------- */

/* The plaintext lengths of the records in a sealed stream. */
static size_t lengths_of(const uint8_t *bytes, size_t count, size_t *lengths, size_t room) {
    size_t records = 0;
    for (size_t at = 0; at < count; records++) {
        assert_true(records < room);
        lengths[records] = load_u16(bytes + at) - (size_t)CHANNEL_TAG_BYTES;
        at += CHANNEL_RECORD_BYTES + lengths[records];
        assert_true(at <= count);
    }
    return records;
}

static void packed(const size_t *slice_bytes, size_t count, size_t skip, const size_t *expected, size_t records) {
    struct channel_pair pair;
    struct iovec slices[8];
    size_t lengths[64], whole = 0, taken;
    enum channel_result result;
    for (size_t i = 0; i < count; i++) {
        slices[i] = (struct iovec){plain + whole, slice_bytes[i]};
        whole += slice_bytes[i];
    }
    channel_pair_make(&pair, CHANNEL_CHACHA20POLY1305, 3);
    const size_t written = channel_seal(pair.client, slices, count, skip, wire, sizeof wire, &taken);
    assert_int_equal(taken, whole - skip);
    assert_true(written <= channel_sealed_most(whole - skip, count));
    assert_int_equal(lengths_of(wire, written, lengths, 64), records);
    for (size_t i = 0; i < records; i++) {
        assert_int_equal(lengths[i], expected[i]);
    }
    assert_int_equal(hear(pair.server, wire, written, 5000, &result), whole - skip);
    assert_memory_equal(heard, plain + skip, whole - skip);
    channel_pair_finish(&pair);
}

static void what_shares_a_record(void **state) {
    (void)state;
#define PACKED(skip, slices, ...) packed(slices, sizeof slices / sizeof slices[0], skip, __VA_ARGS__)
#define EXPECT(...)               (const size_t[]){__VA_ARGS__}, sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t)
    static const size_t small[] = {24, 100, 0, 40, 4095}, frame[] = {24, 100, 65536, 40, 1},
                        tail[] = {24, 40000, 10, 30}, even[] = {24, 36863, 10, 30}, nothing[] = {0, 0, 0},
                        large[] = {4096, 4096, 4095, 4096}, edges[] = {0, 65537, 0};
    PACKED(0, small, EXPECT(4259));
    PACKED(24, small, EXPECT(4235));
    PACKED(4258, small, EXPECT(1));
    packed(small, 5, 4259, NULL, 0);
    PACKED(0, frame, EXPECT(124, 32768, 32768, 41));
    PACKED(123, frame, EXPECT(1, 32768, 32768, 41));
    PACKED(124, frame, EXPECT(32768, 32768, 41));
    PACKED(125, frame, EXPECT(32768, 32767, 41));
    PACKED(124 + 65536 - 4096, frame, EXPECT(4096, 41));
    PACKED(124 + 65536 - 4095, frame, EXPECT(4136));
    PACKED(0, tail, EXPECT(24, 32768, 7232, 40)); /* much is left: of its own */
    PACKED(0, even, EXPECT(24, 32768, 4135));     /* less than 4 KiB is left: shared */
    PACKED(0, large, EXPECT(4096, 4096, 4095, 4096));
    PACKED(0, edges, EXPECT(32768, 32768, 1));
    packed(nothing, 3, 0, NULL, 0);
    packed(NULL, 0, 0, NULL, 0);
    /* Many small ones fill a record to the brim and go on in the next. */
    struct iovec slices[40];
    struct channel_pair pair;
    size_t lengths[8], taken;
    for (size_t i = 0; i < 40; i++) {
        slices[i] = (struct iovec){plain + 1000 * i, 1000};
    }
    channel_pair_make(&pair, CHANNEL_CHACHA20POLY1305, 3);
    const size_t written = channel_seal(pair.client, slices, 40, 0, wire, sizeof wire, &taken);
    assert_int_equal(taken, 40000);
    assert_int_equal(lengths_of(wire, written, lengths, 8), 2);
    assert_int_equal(lengths[0], 32768);
    assert_int_equal(lengths[1], 40000 - 32768);
    channel_pair_finish(&pair);
}

/* A record that fits the room is put there in one piece; of a larger one the rest waits. */
static void straight_to_where_it_belongs(void **state) {
    (void)state;
    struct channel_pair pair;
    size_t got;
    channel_pair_make(&pair, CHANNEL_CHACHA20POLY1305, 3);
    size_t written = seal_one(pair.client, plain, 32768, wire, sizeof wire);
    assert_int_equal(channel_pair_feed(pair.server, wire, written), written);
    assert_false(channel_idle(pair.server));
    assert_int_equal(channel_read(pair.server, heard, 32768, &got), CHANNEL_BYTES);
    assert_int_equal(got, 32768);
    assert_true(channel_idle(pair.server));
    written = seal_one(pair.client, plain, 1000, wire, sizeof wire);
    assert_int_equal(channel_pair_feed(pair.server, wire, written), written);
    assert_int_equal(channel_read(pair.server, heard, 999, &got), CHANNEL_BYTES);
    assert_int_equal(got, 999);
    assert_false(channel_idle(pair.server));
    assert_int_equal(channel_read(pair.server, heard + 999, 5, &got), CHANNEL_BYTES);
    assert_int_equal(got, 1);
    assert_memory_equal(heard, plain, 1000);
    assert_true(channel_idle(pair.server));
    assert_int_equal(channel_read(pair.server, heard, 5, &got), CHANNEL_NEEDS_MORE);
    channel_pair_finish(&pair);
}

static void room_to_seal(void **state) {
    (void)state;
    struct channel_pair pair;
    const struct iovec slice = {plain, 100000};
    size_t taken = 1, lengths[64];
    channel_pair_make(&pair, CHANNEL_CHACHA20POLY1305, 3);
    for (size_t room = 0; room <= CHANNEL_RECORD_BYTES; room++) {
        assert_int_equal(channel_seal(pair.client, &slice, 1, 0, wire, room, &taken), 0);
        assert_int_equal(taken, 0);
    }
    assert_int_equal(channel_seal(pair.client, &slice, 1, 0, wire, 19, &taken), 19);
    assert_int_equal(taken, 1);
    /* The room's end is used for a record of 4 KiB, and not for one of a byte less. */
    const size_t bulk = CHANNEL_BULK_BYTES + CHANNEL_RECORD_BYTES, least = 4096 + CHANNEL_RECORD_BYTES;
    assert_int_equal(channel_seal(pair.client, &slice, 1, 0, wire, bulk + least, &taken), bulk + least);
    assert_int_equal(lengths_of(wire, bulk + least, lengths, 64), 2);
    assert_int_equal(channel_seal(pair.client, &slice, 1, 0, wire, bulk + least - 1, &taken), bulk);
    assert_int_equal(taken, CHANNEL_BULK_BYTES);
    channel_pair_finish(&pair);
}

static void random_with(enum channel_cipher cipher) {
    uint64_t random = seed_begin("random");
    struct channel_pair pair;
    struct iovec slices[12];
    channel_pair_make(&pair, cipher, 3);
    for (int round = 0; round < 150; round++) {
        const size_t count = seed_below(&random, 13);
        size_t whole = 0, sealed = 0, written = 0, taken, total = 0, fed = 0;
        for (size_t i = 0; i < count; i++) {
            const size_t kind = seed_below(&random, 4);
            const size_t bytes = seed_below(&random, kind == 0 ? 2 : kind == 1 ? 200 : kind == 2 ? 9000 : 80000);
            slices[i] = (struct iovec){plain + whole, bytes};
            whole += bytes;
        }
        /* Half the rounds have the room that is said to be enough. */
        if (seed_below(&random, 2) == 0) {
            written = channel_seal(pair.client, slices, count, 0, wire, channel_sealed_most(whole, count), &sealed);
            assert_int_equal(sealed, whole);
        }
        while (sealed < whole) {
            const size_t room = 19 + seed_below(&random, seed_below(&random, 3) == 0 ? 100 : 70000);
            const size_t left = sizeof wire - written;
            const size_t some =
                channel_seal(pair.client, slices, count, sealed, wire + written, room < left ? room : left, &taken);
            assert_true(some > 0 && some <= room && taken > 0);
            written += some;
            sealed += taken;
        }
        while (total < whole || fed < written) {
            size_t got = 0;
            const size_t room = 1 + seed_below(&random, seed_below(&random, 2) == 0 ? 50 : 70000);
            enum channel_result result =
                channel_read(pair.server, heard + total, room < MANY - total ? room : MANY - total, &got);
            total += got;
            if (result == CHANNEL_NEEDS_MORE) {
                const size_t some = 1 + seed_below(&random, seed_below(&random, 2) == 0 ? 50 : 200000);
                fed += channel_pair_feed(pair.server, wire + fed, some < written - fed ? some : written - fed);
            } else {
                assert_int_equal(result, CHANNEL_BYTES);
            }
        }
        assert_int_equal(total, whole);
        assert_memory_equal(heard, plain, whole);
        assert_true(channel_idle(pair.server));
    }
    channel_pair_finish(&pair);
}

static void slices_rooms_and_cuts_at_random(void **state) {
    (void)state;
    with_each(random_with);
}

static void split_at_every_byte(void **state) {
    (void)state;
    struct channel_pair pair;
    struct channel_keys keys;
    size_t written = 0, got, total;
    enum channel_result result = CHANNEL_NEEDS_MORE;
    channel_pair_make(&pair, CHANNEL_CHACHA20POLY1305, 3);
    keys = *pair.server->keys;
    written += seal_one(pair.client, plain, 1, wire, sizeof wire);
    written += seal_one(pair.client, plain + 1, 300, wire + written, sizeof wire - written);
    written += seal_one(pair.client, plain + 301, 64, wire + written, sizeof wire - written);
    channel_seal_last(pair.client, wire + written);
    written += CHANNEL_RECORD_BYTES;
    for (size_t cut = 0; cut <= written; cut++) {
        rewind_to(pair.server, &keys);
        assert_int_equal(channel_pair_feed(pair.server, wire, cut), cut);
        for (total = 0; (result = channel_read(pair.server, heard + total, 100, &got)) == CHANNEL_BYTES;) {
            total += got;
        }
        /* What is whole came out; what is not says so. */
        assert_int_equal(total, cut < 19 ? 0 : cut < 337 ? 1 : cut < 419 ? 301 : 365);
        assert_int_equal(result, cut < written ? CHANNEL_NEEDS_MORE : CHANNEL_LAST);
        assert_int_equal(channel_idle(pair.server), cut == 0 || cut == 19 || cut == 337 || cut == 419 || cut == 437);
        assert_int_equal(channel_pair_feed(pair.server, wire + cut, written - cut), written - cut);
        while ((result = channel_read(pair.server, heard + total, 100, &got)) == CHANNEL_BYTES) {
            total += got;
        }
        assert_int_equal(result, CHANNEL_LAST);
        assert_int_equal(total, 365);
        assert_memory_equal(heard, plain, total);
    }
    rewind_to(pair.server, &keys);
    total = 0;
    for (size_t at = 0; at < written; at++) {
        assert_int_equal(channel_pair_feed(pair.server, wire + at, 1), 1);
        while ((result = channel_read(pair.server, heard + total, 100, &got)) == CHANNEL_BYTES) {
            total += got;
        }
    }
    assert_int_equal(result, CHANNEL_LAST);
    assert_int_equal(total, 365);
    channel_pair_finish(&pair);
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

/* Whoever sees the TCP stream end knows from the last result whether that was the end or an abort. */
static void the_end_is_said(void **state) {
    (void)state;
    struct channel_pair pair;
    enum channel_result result;
    size_t got;
    channel_pair_make(&pair, CHANNEL_CHACHA20POLY1305, 3);
    size_t written = seal_one(pair.client, plain, 100, wire, sizeof wire);
    assert_int_equal(hear(pair.server, wire, written, 1000, &result), 100);
    assert_int_equal(result, CHANNEL_NEEDS_MORE); /* an abort, if the stream ends here */
    channel_seal_last(pair.client, wire);
    assert_int_equal(wire[0], 16);
    assert_int_equal(wire[1], 0);
    const struct iovec slice = {plain, 10};
    size_t taken = 1;
    assert_int_equal(channel_seal(pair.client, &slice, 1, 0, wire + 100, 1000, &taken), 0);
    assert_int_equal(taken, 0);
    /* Nothing behind the last record is read, not even what would be a record. */
    memcpy(wire + CHANNEL_RECORD_BYTES, wire, CHANNEL_RECORD_BYTES);
    assert_int_equal(hear(pair.server, wire, 2 * CHANNEL_RECORD_BYTES, 1000, &result), 0);
    assert_int_equal(result, CHANNEL_LAST);
    assert_true(channel_idle(pair.server));
    channel_pair_feed(pair.server, wire, 10);
    assert_int_equal(channel_read(pair.server, heard, 10, &got), CHANNEL_LAST);
    assert_true(channel_idle(pair.server));
    /* The other direction goes on until it says so itself. */
    written = seal_one(pair.server, plain, 50, wire, sizeof wire);
    channel_seal_last(pair.server, wire + written);
    assert_int_equal(hear(pair.client, wire, written + CHANNEL_RECORD_BYTES, 1000, &result), 50);
    assert_int_equal(result, CHANNEL_LAST);
    channel_pair_finish(&pair);
    channel_destroy(NULL);
}

/* ---- Counters ---------------------------------------------------------------------------------------------------- */

static void rekey_with(enum channel_cipher cipher) {
    struct channel_pair pair;
    struct channel_cipher_state old;
    channel_pair_make(&pair, cipher, 3);
    old = pair.client->keys->sends;
    old.prepared = NULL;
    size_t got;
    /* All the records there are between two keys, and some more; the other direction has its own count. */
    for (uint64_t i = 0; i < CHANNEL_REKEY_RECORDS + 100; i++) {
        const struct channel_keys *keys = pair.client->keys;
        assert_int_equal(memcmp(keys->sends.key, old.key, sizeof old.key) == 0, i < CHANNEL_REKEY_RECORDS);
        const size_t written = seal_one(pair.client, plain + i, 3, wire, sizeof wire);
        assert_int_equal(channel_pair_feed(pair.server, wire, written), written);
        assert_int_equal(channel_read(pair.server, heard, 10, &got), CHANNEL_BYTES);
        assert_int_equal(got, 3);
        assert_memory_equal(heard, plain + i, 3);
    }
    old.counter = CHANNEL_REKEY_RECORDS;
    channel_cipher_rekey(&old);
    assert_memory_equal(pair.client->keys->sends.key, old.key, sizeof old.key);
    assert_memory_equal(pair.server->keys->receives.key, old.key, sizeof old.key);
    assert_int_equal(pair.server->keys->sends.counter, 0);
    assert_int_equal(pair.server->keys->receives.counter, CHANNEL_REKEY_RECORDS + 100);
    /* The second change, from where a stream would be by then. */
    for (int i = 0; i < 2; i++) {
        pair.client->keys->sends.counter = pair.server->keys->receives.counter = 2 * CHANNEL_REKEY_RECORDS - 1;
        memcpy(old.key, pair.client->keys->sends.key, sizeof old.key);
        const size_t written = seal_one(pair.client, plain, 3, wire, sizeof wire);
        assert_int_equal(channel_pair_feed(pair.server, wire, written), written);
        assert_int_equal(channel_read(pair.server, heard, 10, &got), CHANNEL_BYTES);
        assert_memory_not_equal(old.key, pair.client->keys->sends.key, sizeof old.key);
        assert_memory_equal(pair.server->keys->receives.key, pair.client->keys->sends.key, sizeof old.key);
    }
    channel_pair_finish(&pair);
}

static void rekey(void **state) {
    (void)state;
    with_each(rekey_with);
}

static void counter_end_with(enum channel_cipher cipher) {
    struct channel_pair pair;
    enum channel_result result;
    size_t taken = 1;
    const struct iovec slice = {plain, 10};
    channel_pair_make(&pair, cipher, 3);
    pair.client->keys->sends.counter = pair.server->keys->receives.counter = CHANNEL_CIPHER_END - 2;
    size_t written = seal_one(pair.client, plain, 10, wire, sizeof wire);
    /* One number is left, which is the last record's; the one after it is never used. */
    assert_int_equal(channel_seal(pair.client, &slice, 1, 0, wire + written, 1000, &taken), 0);
    assert_int_equal(taken, 0);
    channel_seal_last(pair.client, wire + written);
    assert_true(pair.client->keys->sends.counter == CHANNEL_CIPHER_END);
    assert_int_equal(hear(pair.server, wire, written + CHANNEL_RECORD_BYTES, 1000, &result), 10);
    assert_int_equal(result, CHANNEL_LAST);
    channel_pair_finish(&pair);
    /* A peer that goes on nevertheless is not heard. */
    channel_pair_make(&pair, cipher, 3);
    written = seal_one(pair.client, plain, 10, wire, sizeof wire);
    pair.server->keys->receives.counter = CHANNEL_CIPHER_END;
    assert_int_equal(hear(pair.server, wire, written, 1000, &result), 0);
    assert_int_equal(result, CHANNEL_BROKEN);
    channel_pair_finish(&pair);
}

static void end_of_the_counter(void **state) {
    (void)state;
    with_each(counter_end_with);
}

static void nothing_is_left(void **state) {
    (void)state;
    assert_int_equal(secret_in_use(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(rest),
        cmocka_unit_test(what_shares_a_record),
        cmocka_unit_test(straight_to_where_it_belongs),
        cmocka_unit_test(room_to_seal),
        cmocka_unit_test(slices_rooms_and_cuts_at_random),
        cmocka_unit_test(split_at_every_byte),
        cmocka_unit_test(the_end_is_said),
        cmocka_unit_test(rekey),
        cmocka_unit_test(end_of_the_counter),
        cmocka_unit_test(nothing_is_left),
    };
    struct error error;
    records_begin();
    return random_start(&error) == CANYON_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
