/* Records: what goes in comes out, however it is cut, and nothing else ever does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "channel_pair.h"
#include "common/channel_state.h"
#include "common/endian.h"
#include "common/random.h"
#include "common/secret.h"
#include "seed.h"

#define MANY (1u << 20)

/* Large arrays, made once. */
static uint8_t plain[MANY], wire[MANY + 65536], heard[MANY];

static const enum channel_cipher ciphers[] = {CHANNEL_CHACHA20POLY1305, CHANNEL_AES256GCM};

/* Runs `test` with each cipher that this CPU has. */
static void with_each(void (*test)(enum channel_cipher cipher)) {
    for (size_t i = 0; i < sizeof ciphers / sizeof ciphers[0]; i++) {
        if (channel_cipher_usable(ciphers[i])) {
            test(ciphers[i]);
        } else {
            printf("SKIPPED: no instructions for %s\n", channel_cipher_name(ciphers[i]));
        }
    }
}

static size_t seal_one(struct channel *channel, const uint8_t *bytes, size_t count, uint8_t *out, size_t room) {
    const struct iovec slice = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};
    size_t taken;
    const size_t written = channel_seal(channel, &slice, 1, 0, out, room, &taken);
    assert_int_equal(taken, count);
    assert_true(written <= channel_sealed_most(count, 1));
    return written;
}

/* Feeds the whole and reads all there is into `heard`, in calls of at most `room`; says how much came, and how it
 * ended: NEEDS_MORE, LAST or BROKEN. */
static size_t hear(struct channel *channel, const uint8_t *bytes, size_t count, size_t room,
                   enum channel_result *result) {
    size_t total = 0, fed = 0;
    for (;;) {
        size_t got = 0;
        *result = channel_read(channel, heard + total, room, &got);
        if (*result == CHANNEL_BYTES) {
            assert_in_range(got, 1, room);
            total += got;
            continue;
        }
        assert_int_equal(got, 0);
        if (*result != CHANNEL_NEEDS_MORE || fed == count) {
            return total;
        }
        const size_t some = channel_pair_feed(channel, bytes + fed, count - fed);
        assert_true(some > 0);
        fed += some;
    }
}

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
    };
    struct error error;
    if (random_start(&error) != CANYON_OK) {
        return 1;
    }
    for (size_t i = 0; i < sizeof plain; i++) {
        plain[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
