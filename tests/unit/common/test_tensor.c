/* What can be judged of a tensor without knowing any optimizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "common/tensor.h"

static void names(void **state) {
    (void)state;
    char longest[LIMIT_NAME_BYTES + 1];
    memset(longest, 'n', sizeof longest);
    longest[LIMIT_NAME_BYTES - 1] = '\0';
    const char *const good[] = {"a", "Z", "0", "mlp/w1", "layer-1.weight_x", "9/.-_", longest};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(name_check(good[i], "tensor", NULL), CANYON_OK);
    }
    char too_long[LIMIT_NAME_BYTES + 1];
    memset(too_long, 'n', sizeof too_long);
    too_long[LIMIT_NAME_BYTES] = '\0';
    const char *const bad[] = {"", "/a", "-a", "_a", ".a", "a b", "a\n", "a\"", "\xc3\xa4", "a:b", "a\\b", too_long};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error error;
        assert_int_equal(name_check(bad[i], "tensor", &error), CANYON_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "the tensor name"));
    }
    struct error error;
    name_check("a b", "job", &error);
    assert_non_null(strstr(error.text, "the job name \"a b\" has byte 0x20 at position 1"));
}

/* Every byte, alone, first and second, against the rule spelled out. */
static void every_byte_of_a_name(void **state) {
    (void)state;
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    static const char later[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./";
    for (int byte = 1; byte < 256; byte++) {
        char alone[] = {(char)byte, '\0'}, second[] = {'a', (char)byte, '\0'};
        assert_int_equal(name_check(alone, "job", NULL) == CANYON_OK, strchr(first, byte) != NULL);
        assert_int_equal(name_check(second, "job", NULL) == CANYON_OK, strchr(later, byte) != NULL);
    }
}

static struct tensor_spec good_spec(void) {
    struct tensor_spec spec = {.name = "w", .shape = {.rank = 2, .dims = {3, 4}}, .optimizer = {.name = "adam"}};
    assert_int_equal(optimizer_spec_set(&spec.optimizer, "lr", 0.1, NULL), CANYON_OK);
    assert_int_equal(optimizer_spec_set(&spec.optimizer, "eps", 0.2, NULL), CANYON_OK);
    return spec;
}

static void refused(const struct tensor_spec *spec, enum canyon_status status, const char *names) {
    struct error error = {.status = CANYON_OK};
    assert_int_equal(tensor_spec_check(spec, &error), status);
    if (strstr(error.text, names) == NULL) {
        fail_msg("\"%s\" does not name \"%s\"", error.text, names);
    }
}

static void good_specs(void **state) {
    (void)state;
    struct tensor_spec spec = good_spec();
    assert_int_equal(tensor_spec_check(&spec, NULL), CANYON_OK);
    spec.shape.rank = 0;
    assert_int_equal(tensor_spec_check(&spec, NULL), CANYON_OK);
    spec.shape = (struct shape){.rank = 1, .dims = {0}};
    assert_int_equal(tensor_spec_check(&spec, NULL), CANYON_OK);
}

static void bad_specs(void **state) {
    (void)state;
    struct tensor_spec spec = good_spec();
    snprintf(spec.name, sizeof spec.name, "no good");
    refused(&spec, CANYON_INVALID_ARGUMENT, "no good");
    spec = good_spec();
    memset(spec.name, 'x', sizeof spec.name); /* no end */
    refused(&spec, CANYON_INVALID_ARGUMENT, "longer than 127");
    spec = good_spec();
    spec.shape.dims[1] = UINT64_MAX;
    refused(&spec, CANYON_TOO_LARGE, "tensor w: shape [3, 18446744073709551615]");
    spec = good_spec();
    spec.shape.rank = 9;
    refused(&spec, CANYON_INVALID_ARGUMENT, "at most 8");
    spec = good_spec();
    spec.optimizer.name[0] = '\0';
    refused(&spec, CANYON_INVALID_ARGUMENT, "optimizer's name");
    spec = good_spec();
    memset(spec.optimizer.name, 'x', sizeof spec.optimizer.name);
    refused(&spec, CANYON_INVALID_ARGUMENT, "optimizer's name");
    spec = good_spec();
    spec.optimizer.count = LIMIT_SETTINGS + 1;
    refused(&spec, CANYON_TOO_LARGE, "33 settings");
    spec = good_spec();
    snprintf(spec.optimizer.settings[1].name, LIMIT_SETTING_BYTES, "lr");
    refused(&spec, CANYON_INVALID_ARGUMENT, "setting lr twice");
    spec = good_spec();
    memset(spec.optimizer.settings[1].name, 'x', LIMIT_SETTING_BYTES);
    refused(&spec, CANYON_INVALID_ARGUMENT, "setting 1 of optimizer adam");
}

static void numbers_must_be_finite(void **state) {
    (void)state;
    static const double bad[] = {(double)NAN, HUGE_VAL, -HUGE_VAL};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tensor_spec spec = good_spec();
        spec.optimizer.settings[1].value = bad[i];
        refused(&spec, CANYON_INVALID_ARGUMENT, "eps");
        spec = good_spec();
        spec.initializer.a = bad[i];
        refused(&spec, CANYON_INVALID_ARGUMENT, "initializer's a");
        spec = good_spec();
        spec.initializer.b = bad[i];
        refused(&spec, CANYON_INVALID_ARGUMENT, "initializer's b");
    }
}

static void initializers(void **state) {
    (void)state;
    static const struct {
        struct initializer initializer;
        bool good;
    } cases[] = {
        {{.kind = INITIALIZER_ZEROS}, true},
        {{.kind = INITIALIZER_VALUES}, true},
        {{.kind = (enum initializer_kind)7}, false},
        {{.kind = (enum initializer_kind) - 1}, false},
        {{.kind = INITIALIZER_CONSTANT, .a = -3}, true},
        {{.kind = INITIALIZER_CONSTANT, .a = 1e39}, false},
        {{.kind = INITIALIZER_UNIFORM, .a = -1, .b = 1}, true},
        {{.kind = INITIALIZER_UNIFORM, .a = 1, .b = 1}, false},
        {{.kind = INITIALIZER_UNIFORM, .a = 1, .b = -1}, false},
        {{.kind = INITIALIZER_UNIFORM, .a = 0, .b = 1e39}, false},
        {{.kind = INITIALIZER_NORMAL, .a = 5, .b = 0}, true},
        {{.kind = INITIALIZER_NORMAL, .a = 0, .b = -1}, false},
        {{.kind = INITIALIZER_XAVIER, .a = 1}, true},
        {{.kind = INITIALIZER_XAVIER, .a = 0}, false},
        {{.kind = INITIALIZER_KAIMING, .a = 1.4}, true},
        {{.kind = INITIALIZER_KAIMING, .a = -1.4}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tensor_spec spec = good_spec();
        spec.initializer = cases[i].initializer;
        struct error error;
        enum canyon_status want = cases[i].good ? CANYON_OK : CANYON_INVALID_ARGUMENT;
        if (tensor_spec_check(&spec, &error) != want) {
            fail_msg("case %zu is judged wrongly", i);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),     cmocka_unit_test(every_byte_of_a_name),   cmocka_unit_test(good_specs),
        cmocka_unit_test(bad_specs), cmocka_unit_test(numbers_must_be_finite), cmocka_unit_test(initializers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
