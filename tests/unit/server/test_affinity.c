/* Which processor a server thread is bound to. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sched.h>

#include "server/affinity.h"

static void test_texts(void **state) {
    static const char *const good[] = {"", "auto", "0", "0,1", "3-5", "7,0-2,9"};
    static const char *const bad[] = {" ",   "Auto",  ",", "0,",  "-1",    "1-",   "5-3",
                                      "0,0", "0-3,2", "a", "0;1", "99999", "0-300"};
    struct error error;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(affinity_check(good[i], &error), CANYON_OK);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(affinity_check(bad[i], &error), CANYON_INVALID_ARGUMENT);
    }
}

/* The lowest processor that this process may use, and how many there are. */
static int first_processor(int *count) {
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    *count = CPU_COUNT(&set);
    int first = 0;
    while (!CPU_ISSET((size_t)first, &set)) {
        first++;
    }
    return first;
}

static void test_processors(void **state) {
    struct error error;
    char text[64];
    int count, processor = 0, first = first_processor(&count);
    (void)state;
    assert_int_equal(affinity_processor("", 0, 1, &processor, &error), CANYON_OK);
    assert_int_equal(processor, AFFINITY_NONE);
    assert_int_equal(affinity_processor("auto", 0, 1, &processor, &error), CANYON_OK);
    assert_int_equal(processor, first);
    assert_int_equal(affinity_processor("auto", (uint32_t)count, (uint32_t)count + 1, &processor, &error), CANYON_OK);
    assert_int_equal(processor, first); /* begun anew */
    snprintf(text, sizeof text, "%d", first);
    assert_int_equal(affinity_processor(text, 0, 1, &processor, &error), CANYON_OK);
    assert_int_equal(processor, first);
    assert_int_equal(affinity_processor(text, 0, 2, &processor, &error), CANYON_CONFIGURATION);
    assert_non_null(strstr(error.text, "names 1 processors for 2 threads"));
    assert_int_equal(affinity_processor("1023", 0, 1, &processor, &error), CANYON_CONFIGURATION);
    assert_non_null(strstr(error.text, "processor 1023"));
}

static void test_bind(void **state) {
    struct error error;
    cpu_set_t before, after;
    int count, first = first_processor(&count);
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(affinity_bind(first, &error), CANYON_OK);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_int_equal(CPU_COUNT(&after), 1);
    assert_true(CPU_ISSET((size_t)first, &after));
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(affinity_bind(1023, &error), CANYON_UNAVAILABLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_processors),
        cmocka_unit_test(test_bind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
