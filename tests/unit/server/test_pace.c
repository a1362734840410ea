/* Bytes a second. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/pace.h"

#define SECOND 1000000000ull

static void without_a_rate_everything_goes(void **state) {
    (void)state;
    struct pace pace = {.rate = 0};
    for (int i = 0; i < 1000; i++) {
        pace_take(&pace, 1ull << 40, 5);
        assert_true(pace_allows(&pace, 5));
    }
}

static void a_second_may_be_saved_up_and_no_more(void **state) {
    (void)state;
    struct pace pace = {.rate = 0};
    uint64_t now = 77 * SECOND;
    pace_set(&pace, 1000);
    pace_take(&pace, 1000, now);
    assert_true(pace_allows(&pace, now)); /* at the brink */
    pace_take(&pace, 1, now);
    assert_false(pace_allows(&pace, now));
    assert_false(pace_allows(&pace, now + SECOND / 1000 - 1));
    assert_true(pace_allows(&pace, now + SECOND / 1000));
    /* However long it rested, it may take the same. */
    now += 100 * SECOND;
    pace_take(&pace, 1001, now);
    assert_false(pace_allows(&pace, now));
    assert_true(pace_allows(&pace, now + SECOND / 1000));
}

/* Whoever takes as soon as it may comes to the rate in the long run, whatever the size of a piece. */
static void the_rate_holds_in_the_long_run(void **state) {
    (void)state;
    static const uint64_t sizes[] = {1, 999, 65536, 10000000};
    for (size_t i = 0; i < 4; i++) {
        struct pace pace = {.rate = 1000000};
        uint64_t now = 3, taken = 0;
        for (; now < 100 * SECOND; now += 20000000) {
            for (int j = 0; j < 100000 && pace_allows(&pace, now); j++) {
                pace_take(&pace, sizes[i], now);
                taken += sizes[i];
            }
        }
        assert_true(taken >= (sizes[i] == 1 ? 99ull : 98ull) * 1000000);
        assert_true(taken <= 102ull * 1000000 + sizes[i]);
    }
}

static void another_rate_from_now_on(void **state) {
    (void)state;
    struct pace pace = {.rate = 1};
    pace_take(&pace, 1ull << 32, 0); /* for a century */
    assert_false(pace_allows(&pace, 1000 * SECOND));
    pace_set(&pace, 0);
    assert_true(pace_allows(&pace, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_rate_everything_goes),
        cmocka_unit_test(a_second_may_be_saved_up_and_no_more),
        cmocka_unit_test(the_rate_holds_in_the_long_run),
        cmocka_unit_test(another_rate_from_now_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
