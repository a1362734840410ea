/* What a stranger may cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/random.h"
#include "common/secret.h"
#include "server/acceptor_strangers.h"

#define MALLOC 16 /* what malloc adds to a piece */

/* Whatever it sends, until it has proven an allowed key: its struct (with libuv's handle), its introduction (with the
 * longest message), its handshake. Who is silent costs the first alone. */
static void a_stranger_costs_little(void **state) {
    (void)state;
    struct key_pair *pair = key_pair_generate();
    uint8_t seed[KEY_BYTES];
    random_fill(seed, sizeof seed);
    size_t before = secret_in_use();
    struct channel_handshake *handshake = channel_respond(CHANNEL_AES256GCM, pair, seed);
    size_t handshake_bytes = secret_in_use() - before;
    assert_non_null(handshake);
    assert_true(handshake_bytes > 0);
    size_t silent = sizeof(struct stranger) + MALLOC;
    size_t knocking = silent + sizeof(struct introduction) + MALLOC + handshake_bytes;
    print_message("silent: %zu bytes; in the middle of its introduction: %zu\n", silent, knocking);
    assert_true(knocking <= STRANGER_BYTES);
    assert_true(STRANGER_BYTES <= 1536);
    channel_handshake_destroy(handshake);
    key_pair_destroy(pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stranger_costs_little),
    };
    assert_int_equal(random_start(NULL), CANYON_OK);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
