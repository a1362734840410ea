/* How many connections there may be, of whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/census.h"

static struct allow_entry entry_of(uint16_t number, uint32_t connections) {
    struct allow_entry entry = {.role = ROLE_WORKER, .connections = connections};
    snprintf(entry.name, sizeof entry.name, "key-%u", number);
    entry.key[0] = (uint8_t)(number % 4); /* so that chains have several */
    entry.key[31] = (uint8_t)number;
    entry.key[30] = (uint8_t)(number >> 8);
    return entry;
}

static void expect_busy(struct census *census, const struct allow_entry *entry, const char *text) {
    struct error error = {.text = ""};
    assert_int_equal(census_enter(census, entry, &error), CANYON_BUSY);
    if (strstr(error.text, text) == NULL) {
        fail_msg("\"%s\" does not hold \"%s\"", error.text, text);
    }
}

static void each_limit_is_named(void **state) {
    (void)state;
    struct census *census = census_create(4, 2);
    struct allow_entry one = entry_of(1, 1), two = entry_of(2, 0), three = entry_of(5, 100);
    assert_int_equal(census_enter(census, &one, NULL), CANYON_OK);
    expect_busy(census, &one, "the key key-1 has 1 connections to this server, the most that its line");
    assert_int_equal(census_enter(census, &two, NULL), CANYON_OK);
    assert_int_equal(census_enter(census, &two, NULL), CANYON_OK);
    expect_busy(census, &two, "(connections-per-key = 2)");
    assert_int_equal(census_enter(census, &three, NULL), CANYON_OK);
    expect_busy(census, &three, "(connections = 4)");
    expect_busy(census, NULL, "this server has 4 connections");
    assert_int_equal(census_count(census), 4);
    census_leave(census, one.key);
    assert_int_equal(census_enter(census, NULL, NULL), CANYON_OK);
    expect_busy(census, &one, "(connections = 4)");
    census_leave(census, NULL);
    assert_int_equal(census_enter(census, &one, NULL), CANYON_OK);
    census_leave(census, one.key);
    census_leave(census, two.key);
    census_leave(census, two.key);
    census_leave(census, three.key);
    assert_int_equal(census_count(census), 0);
    census_destroy(census);
    census_destroy(NULL);
}

static void nobody_has_no_limit_of_its_own(void **state) {
    (void)state;
    struct census *census = census_create(10, 2);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(census_enter(census, NULL, NULL), CANYON_OK);
    }
    expect_busy(census, NULL, "(connections = 10)");
    for (int i = 0; i < 10; i++) {
        census_leave(census, NULL);
    }
    census_destroy(census);
}

static void many_keys(void **state) {
    (void)state;
    enum { KEYS = 3000 };
    struct census *census = census_create(2 * KEYS, 2);
    for (uint16_t i = 0; i < 2 * KEYS; i++) {
        struct allow_entry entry = entry_of(i % KEYS, 0);
        assert_int_equal(census_enter(census, &entry, NULL), CANYON_OK);
    }
    for (uint16_t i = 0; i < 2 * KEYS; i++) {
        census_leave(census, entry_of(i % KEYS, 0).key);
    }
    assert_int_equal(census_count(census), 0);
    census_destroy(census);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_limit_is_named),
        cmocka_unit_test(nobody_has_no_limit_of_its_own),
        cmocka_unit_test(many_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
