/* Time goes forward, and random bytes are not the same twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <time.h>

#include "common/clock.h"
#include "common/random.h"

static void time_goes_forward(void **state) {
    (void)state;
    uint64_t before = clock_now();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_now();
        assert_true(now >= before);
        before = now;
    }
    struct timespec pause = {.tv_nsec = 2000000};
    nanosleep(&pause, NULL);
    assert_true(clock_now() - before >= 2000000);
}

static void work_takes_cpu_time(void **state) {
    (void)state;
    uint64_t begin = clock_cpu(), until = clock_now() + 5000000000u;
    while (clock_cpu() < begin + 1000000 && clock_now() < until) {
    }
    assert_true(clock_cpu() >= begin + 1000000);
}

static void stamps_have_their_form(void **state) {
    (void)state;
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    char text[32], small[5];
    clock_stamp(text, sizeof text);
    assert_int_equal(strlen(text), sizeof form - 1);
    for (size_t i = 0; form[i] != '\0'; i++) {
        assert_true(form[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i]);
    }
    assert_int_equal(strlen(clock_stamp(small, sizeof small)), 4);
}

static void random_bytes_differ(void **state) {
    (void)state;
    uint8_t one[32], other[32], untouched[40];
    assert_int_equal(random_start(NULL), CANYON_OK);
    assert_int_equal(random_start(NULL), CANYON_OK);
    random_fill(one, sizeof one);
    random_fill(other, sizeof other);
    assert_memory_not_equal(one, other, sizeof one);
    memset(untouched, 0x5a, sizeof untouched);
    random_fill(untouched, 0);
    random_fill(untouched + 4, 32);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(untouched[i], 0x5a);
        assert_int_equal(untouched[36 + i], 0x5a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_goes_forward),
        cmocka_unit_test(work_takes_cpu_time),
        cmocka_unit_test(stamps_have_their_form),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
