/* Optimizer settings as text and as lists whose order does not matter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "common/tensor.h"

static void parsing(void **state) {
    (void)state;
    struct optimizer_spec spec;
    memset(&spec, 0x5a, sizeof spec);
    assert_int_equal(optimizer_spec_parse("adam:lr=0.01,beta1=8e-1", &spec, NULL), CANYON_OK);
    assert_string_equal(spec.name, "adam");
    assert_int_equal(spec.count, 2);
    assert_string_equal(spec.settings[0].name, "lr");
    assert_true(spec.settings[0].value == 0.01);
    assert_string_equal(spec.settings[1].name, "beta1");
    assert_true(spec.settings[1].value == 0.8);
    assert_int_equal(optimizer_spec_parse("sgd", &spec, NULL), CANYON_OK);
    assert_string_equal(spec.name, "sgd");
    assert_int_equal(spec.count, 0);
}

static void parsing_refuses(void **state) {
    (void)state;
    static const struct {
        const char *text, *names;
    } cases[] = {
        {"", "name of an optimizer"},
        {":lr=1", "name of an optimizer"},
        {"a123456789012345678901234567890123456789", "1 to 31 bytes"},
        {"adam:", "not of the form"},
        {"adam:lr", "setting \"lr\""},
        {"adam:lr=", "\"\" is not a number"},
        {"adam:lr=fast", "\"fast\" is not a number"},
        {"adam:lr=1,", "not of the form"},
        {"adam:lr=1,,eps=1", "not of the form"},
        {"adam:=1", "empty name"},
        {"adam:lr=1,lr=2", "lr is given twice"},
        {"adam:n123456789012345678901234567890123=1", "limit is 31"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct optimizer_spec spec = {.name = "before"};
        struct error error = {.status = CANYON_OK};
        assert_int_equal(optimizer_spec_parse(cases[i].text, &spec, &error), CANYON_INVALID_ARGUMENT);
        assert_string_equal(spec.name, "before");
        if (strstr(error.text, cases[i].names) == NULL) {
            fail_msg("%s: \"%s\" does not name \"%s\"", cases[i].text, error.text, cases[i].names);
        }
    }
}

static void too_many_settings(void **state) {
    (void)state;
    struct optimizer_spec spec = {.name = "many"};
    struct error error;
    for (int i = 0; i < LIMIT_SETTINGS; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        assert_int_equal(optimizer_spec_set(&spec, name, i, &error), CANYON_OK);
    }
    assert_int_equal(optimizer_spec_set(&spec, "one-more", 1, &error), CANYON_TOO_LARGE);
    assert_int_equal(optimizer_spec_set(&spec, "s7", 77, &error), CANYON_OK);
    assert_int_equal(spec.count, LIMIT_SETTINGS);
    assert_true(spec.settings[7].value == 77);
    char longest[LIMIT_SETTING_BYTES + 1];
    memset(longest, 'n', sizeof longest);
    longest[LIMIT_SETTING_BYTES] = '\0';
    assert_int_equal(optimizer_spec_set(&spec, longest, 1, &error), CANYON_INVALID_ARGUMENT);
    assert_int_equal(optimizer_spec_set(&spec, "", 1, &error), CANYON_INVALID_ARGUMENT);
}

static void equality(void **state) {
    (void)state;
    struct optimizer_spec one, other;
    optimizer_spec_parse("adam:lr=0.1,eps=2", &one, NULL);
    optimizer_spec_parse("adam:eps=2,lr=0.1", &other, NULL);
    assert_true(optimizer_spec_equal(&one, &other));
    other.settings[1].value = 0.2;
    assert_false(optimizer_spec_equal(&one, &other));
    optimizer_spec_parse("adam:lr=0.1", &other, NULL);
    assert_false(optimizer_spec_equal(&one, &other));
    optimizer_spec_parse("adam:lr=0.1,beta1=2", &other, NULL);
    assert_false(optimizer_spec_equal(&one, &other));
    optimizer_spec_parse("sgd:lr=0.1,eps=2", &other, NULL);
    assert_false(optimizer_spec_equal(&one, &other));
    /* A name twice on one side must not stand for two names on the other. */
    struct optimizer_spec doubled = one;
    doubled.settings[1] = doubled.settings[0];
    assert_false(optimizer_spec_equal(&doubled, &one));
    assert_false(optimizer_spec_equal(&one, &doubled));
}

static void texts(void **state) {
    (void)state;
    struct optimizer_spec spec;
    char text[256], small[10];
    optimizer_spec_parse("adam:lr=0.001,beta1=0.9", &spec, NULL);
    assert_string_equal(optimizer_spec_text(&spec, text, sizeof text), "adam(lr=0.001, beta1=0.9)");
    assert_string_equal(optimizer_spec_text(&spec, small, sizeof small), "adam(lr=0");
    optimizer_spec_parse("sgd", &spec, NULL);
    assert_string_equal(optimizer_spec_text(&spec, text, sizeof text), "sgd()");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parsing),  cmocka_unit_test(parsing_refuses), cmocka_unit_test(too_many_settings),
        cmocka_unit_test(equality), cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
