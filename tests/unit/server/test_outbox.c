/* The outbox against a plain array: whatever is put in comes out, once, in order, within its cap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "server/outbox.h"

#define CAP ((size_t)1 << 20)

static struct outbox_pool pool;

static int start(void **state) {
    static struct outbox outbox;
    outbox_pool_init(&pool, 4 * OUTBOX_CHUNK_BYTES, 64 * OUTBOX_CHUNK_BYTES);
    outbox_init(&outbox, &pool, CAP);
    *state = &outbox;
    return 0;
}

static int stop(void **state) {
    outbox_finish(*state);
    assert_int_equal(pool.used, 0);
    assert_true(pool.free_count <= 4);
    outbox_pool_finish(&pool);
    return 0;
}

static struct iovec slice(const void *bytes, size_t count) {
    return (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};
}

static void test_skips_what_was_sent(void **state) {
    struct outbox *outbox = *state;
    struct iovec in[3] = {slice("abc", 3), slice("", 0), slice("defg", 4)}, out[4];
    assert_int_equal(outbox_add(outbox, in, 3, 5), CANYON_OK);
    assert_int_equal(outbox->bytes, 2);
    assert_int_equal(outbox_slices(outbox, out, 4), 1);
    assert_int_equal(out[0].iov_len, 2);
    assert_memory_equal(out[0].iov_base, "fg", 2);
    assert_int_equal(outbox_add(outbox, in, 3, 7), CANYON_OK);
    assert_int_equal(outbox->bytes, 2);
    outbox_sent(outbox, 2);
    assert_true(outbox_empty(outbox));
    assert_int_equal(outbox_slices(outbox, out, 4), 0);
    assert_int_equal(pool.used, 0);
}

static void test_the_pool_has_a_limit_for_all(void **state) {
    struct outbox *outbox = *state, other;
    static uint8_t bytes[3 * OUTBOX_CHUNK_BYTES];
    struct iovec much = slice(bytes, sizeof bytes), little = slice(bytes, 1);
    outbox_init(&other, &pool, CAP);
    pool.limit = 5;
    assert_int_equal(outbox_add(outbox, &much, 1, 0), CANYON_OK); /* four chunks: each holds a little less */
    assert_int_equal(pool.used, 4);
    assert_int_equal(outbox_add(&other, &much, 1, 0), CANYON_NO_MEMORY);
    assert_int_equal(pool.used, 4);
    assert_true(outbox_empty(&other));
    assert_int_equal(outbox_add(&other, &little, 1, 0), CANYON_OK);
    outbox_finish(outbox);
    assert_int_equal(outbox_add(&other, &much, 1, 0), CANYON_OK);
    outbox_finish(&other);
}

static void test_is_all_or_nothing_at_the_cap(void **state) {
    struct outbox *outbox = *state;
    uint8_t *bytes = calloc(1, CAP);
    assert_non_null(bytes);
    struct iovec all = slice(bytes, CAP), one = slice(bytes, 1);
    assert_int_equal(outbox_add(outbox, &one, 1, 0), CANYON_OK);
    size_t used = pool.used;
    assert_int_equal(outbox_add(outbox, &all, 1, 0), CANYON_TOO_LARGE);
    assert_int_equal(outbox->bytes, 1);
    assert_int_equal(pool.used, used);
    assert_int_equal(outbox_add(outbox, &all, 1, 1), CANYON_OK);
    assert_int_equal(outbox->bytes, CAP);
    assert_int_equal(outbox_add(outbox, &one, 1, 0), CANYON_TOO_LARGE);
    assert_int_equal(outbox_add(outbox, &one, 1, 1), CANYON_OK);
    free(bytes);
}

static void test_pool_keeps_little(void **state) {
    struct outbox *outbox = *state;
    uint8_t *bytes = calloc(1, CAP);
    assert_non_null(bytes);
    struct iovec all = slice(bytes, CAP);
    for (int i = 0; i < 3; ++i) {
        assert_int_equal(outbox_add(outbox, &all, 1, 0), CANYON_OK);
        assert_true(pool.used >= CAP / OUTBOX_CHUNK_BYTES);
        assert_true(pool.used <= CAP / OUTBOX_CHUNK_BYTES + 2);
        outbox_sent(outbox, CAP);
        assert_int_equal(pool.used, 0);
        assert_int_equal(pool.free_count, 4);
    }
    free(bytes);
}

/* Byte i of the stream. */
static uint8_t stream_byte(size_t i) {
    return (uint8_t)(i * 2654435761u >> 13);
}

static void check_out(const struct outbox *outbox, size_t from) {
    struct iovec out[64];
    size_t count = outbox_slices(outbox, out, 64), seen = 0;
    for (size_t i = 0; i < count; ++i) {
        const uint8_t *bytes = out[i].iov_base;
        assert_true(out[i].iov_len > 0);
        for (size_t j = 0; j < out[i].iov_len; ++j, ++seen) {
            assert_int_equal(bytes[j], stream_byte(from + seen));
        }
    }
    assert_int_equal(seen, outbox->bytes);
}

static void test_random_walk(void **state) {
    struct outbox *outbox = *state;
    const char *given = getenv("CANYON_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("CANYON_SEED=%u\n", seed);
    srand(seed);
    uint8_t *bytes = malloc(300000);
    assert_non_null(bytes);
    size_t in = 0, out = 0;
    for (int i = 0; i < 300; ++i) {
        if (rand() % 2 == 0) {
            size_t total = (size_t)rand() % (rand() % 8 == 0 ? 300000 : 3000);
            size_t skip = total > 0 && rand() % 4 == 0 ? (size_t)rand() % total : 0;
            size_t cut = total > 0 ? (size_t)rand() % total : 0;
            for (size_t j = skip; j < total; ++j) {
                bytes[j] = stream_byte(in + j - skip);
            }
            struct iovec two[2] = {slice(bytes, cut), slice(bytes + cut, total - cut)};
            enum canyon_status status = outbox_add(outbox, two, 2, skip);
            assert_int_equal(status, total - skip > CAP - (in - out) ? CANYON_TOO_LARGE : CANYON_OK);
            in += status == CANYON_OK ? total - skip : 0;
        } else if (outbox->bytes > 0) {
            size_t sent = (size_t)rand() % (outbox->bytes + 1);
            outbox_sent(outbox, sent);
            out += sent;
        }
        assert_int_equal(outbox->bytes, in - out);
        check_out(outbox, out);
    }
    free(bytes);
}

static void test_finish_is_safe_on_nothing(void **state) {
    struct outbox zeroed = {0};
    (void)state;
    outbox_finish(&zeroed);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

/* Bytes written in place, between bytes that are copied, in chunks that are left before they are full. */
static void test_what_is_written_in_place(void **state) {
    struct outbox *outbox = *state;
    uint8_t next = 0, expected = 0;
    size_t total = 0;
    for (unsigned i = 0; i < 200; i++) {
        uint8_t *at, copied[100];
        size_t room = 0;
        assert_int_equal(outbox_space(outbox, 1024, &at, &room), CANYON_OK);
        assert_true(room >= 1024);
        size_t count = room > 5000 ? 5000 : room;
        for (size_t j = 0; j < count; j++) {
            at[j] = next++;
        }
        outbox_filled(outbox, count);
        for (size_t j = 0; j < sizeof copied; j++) {
            copied[j] = next++;
        }
        struct iovec in = slice(copied, i % 3 == 0 ? sizeof copied : 0);
        next = (uint8_t)(next - (sizeof copied - in.iov_len));
        assert_int_equal(outbox_add(outbox, &in, 1, 0), CANYON_OK);
        total += count + in.iov_len;
        assert_int_equal(outbox->bytes, total);
    }
    while (!outbox_empty(outbox)) {
        struct iovec out[3];
        size_t count = outbox_slices(outbox, out, 3), sent = 0;
        for (size_t i = 0; i < count; i++) {
            assert_true(out[i].iov_len > 0);
            for (size_t j = 0; j < out[i].iov_len; j++) {
                assert_int_equal(((const uint8_t *)out[i].iov_base)[j], expected++);
            }
            sent += out[i].iov_len;
        }
        outbox_sent(outbox, sent);
        total -= sent;
    }
    assert_int_equal(total, 0);
}

static void test_space_has_the_same_limits(void **state) {
    struct outbox *outbox = *state;
    uint8_t *at;
    size_t room = 0;
    while (outbox_space(outbox, 1024, &at, &room) == CANYON_OK) {
        assert_true(outbox->bytes + room <= CAP);
        outbox_filled(outbox, room);
    }
    assert_true(outbox->bytes > CAP - 1024);
    assert_int_equal(outbox_space(outbox, 1024, &at, &room), CANYON_TOO_LARGE);
    outbox_finish(outbox);
    pool.limit = 1;
    assert_int_equal(outbox_space(outbox, 4096, &at, &room), CANYON_OK);
    outbox_filled(outbox, room - 4095);
    assert_int_equal(outbox_space(outbox, 4096, &at, &room), CANYON_NO_MEMORY);
    assert_int_equal(outbox_space(outbox, 4095, &at, &room), CANYON_OK);
    assert_int_equal(room, 4095);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH(test_skips_what_was_sent),
        EACH(test_is_all_or_nothing_at_the_cap),
        EACH(test_the_pool_has_a_limit_for_all),
        EACH(test_pool_keeps_little),
        EACH(test_what_is_written_in_place),
        EACH(test_space_has_the_same_limits),
        EACH(test_random_walk),
        EACH(test_finish_is_safe_on_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
