/* The canonical form of specs and what is refused, with texts that name the values. */
#include "tests/unit/server/fixture.h"

#include <math.h>

#include "server/command.h"

static void refused(struct tensor_spec spec, enum canyon_status status, const char *fragment) {
    struct error error = {.status = CANYON_OK};
    struct tensor_spec before = spec;
    assert_int_equal(shard_canonical_spec(&spec, &error), status);
    assert_int_equal(error.status, status);
    if (strstr(error.text, fragment) == NULL) {
        fail_msg("'%s' is not in '%s'", fragment, error.text);
    }
    assert_memory_equal(&spec, &before, sizeof spec);
}

static void defaults_are_filled_in_in_descriptor_order(void **state) {
    (void)state;
    for (size_t o = 0; o < optimizer_count(); o++) {
        const struct optimizer *optimizer = optimizer_at(o);
        if (optimizer->rows_only) {
            refused(fixture_raw_spec("w", 5, optimizer->name), CANYON_INVALID_ARGUMENT, "rows of tables");
            continue;
        }
        struct tensor_spec spec = fixture_spec("w", 5, optimizer->name);
        assert_string_equal(spec.optimizer.name, optimizer->name);
        assert_int_equal(spec.optimizer.count, optimizer->hyperparameter_count);
        for (size_t i = 0; i < optimizer->hyperparameter_count; i++) {
            assert_string_equal(spec.optimizer.settings[i].name, optimizer->hyperparameters[i].name);
            assert_true(spec.optimizer.settings[i].value == optimizer->hyperparameters[i].fallback);
        }
    }
}

/* Whatever order settings come in, whatever stands behind the ends of strings: one byte string. */
static void one_meaning_has_one_form(void **state) {
    (void)state;
    struct tensor_spec one = fixture_spec("w", 5, "adam:beta1=0.5,lr=0.25");
    struct tensor_spec other = fixture_raw_spec("w", 5, "adam:lr=0.25,eps=1e-08,beta1=0.5");
    memset(other.name + 2, 'x', sizeof other.name - 3);
    other.shape.dims[3] = 77;
    other.optimizer.settings[9].value = 3;
    assert_int_equal(shard_canonical_spec(&other, NULL), CANYON_OK);
    assert_memory_equal(&one, &other, sizeof one);
    assert_int_equal(shard_canonical_spec(&other, NULL), CANYON_OK);
    assert_memory_equal(&one, &other, sizeof one);
}

static void minus_zero_is_zero(void **state) {
    (void)state;
    struct tensor_spec one = fixture_spec("w", 5, "sgd:weight_decay=0"),
                       other = fixture_spec("w", 5, "sgd:weight_decay=-0.0");
    assert_memory_equal(&one, &other, sizeof one);
}

static void unused_initializer_numbers_are_zero(void **state) {
    (void)state;
    static const struct {
        enum initializer_kind kind;
        bool seed, a, b;
    } kinds[] = {{INITIALIZER_ZEROS, 0, 0, 0},  {INITIALIZER_CONSTANT, 0, 1, 0}, {INITIALIZER_UNIFORM, 1, 1, 1},
                 {INITIALIZER_NORMAL, 1, 1, 1}, {INITIALIZER_XAVIER, 1, 1, 0},   {INITIALIZER_KAIMING, 1, 1, 0},
                 {INITIALIZER_VALUES, 0, 0, 0}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct tensor_spec spec = fixture_raw_spec("w", 5, "sgd");
        spec.initializer = (struct initializer){.kind = kinds[i].kind, .seed = 9, .a = 1.5, .b = 2.5};
        assert_int_equal(shard_canonical_spec(&spec, NULL), CANYON_OK);
        assert_int_equal(spec.initializer.kind, kinds[i].kind);
        assert_int_equal(spec.initializer.seed, kinds[i].seed ? 9 : 0);
        assert_true(spec.initializer.a == (kinds[i].a ? 1.5 : 0.0));
        assert_true(spec.initializer.b == (kinds[i].b ? 2.5 : 0.0));
    }
}

static void bad_optimizers_are_named(void **state) {
    (void)state;
    refused(fixture_raw_spec("w", 5, "adamant"), CANYON_INVALID_ARGUMENT, "'adamant'");
    for (size_t o = 0; o < optimizer_count(); o++) {
        refused(fixture_raw_spec("w", 5, "adamant"), CANYON_INVALID_ARGUMENT, optimizer_at(o)->name);
    }
    refused(fixture_raw_spec("w", 5, "adam:beta=0.5"), CANYON_INVALID_ARGUMENT, "adam has no setting 'beta'; it has ");
    refused(fixture_raw_spec("w", 5, "adam:beta=0.5"), CANYON_INVALID_ARGUMENT, "beta2");
    refused(fixture_raw_spec("w", 5, "adam:beta1=1.5"), CANYON_INVALID_ARGUMENT, "adam: beta1=1.5 is outside [0, 1)");
    refused(fixture_raw_spec("w", 5, "adam:beta2=1"), CANYON_INVALID_ARGUMENT, "adam: beta2=1 is outside [0, 1)");
    refused(fixture_raw_spec("w", 5, "sgd:lr=-0.5"), CANYON_INVALID_ARGUMENT, "sgd: lr=-0.5 is outside ");
    refused(fixture_raw_spec("w", 5, "sgd:lr=0"), CANYON_INVALID_ARGUMENT, "sgd: lr=0 is outside ");
    refused(fixture_raw_spec("w", 5, "sgd:maximize=0.5"), CANYON_INVALID_ARGUMENT, "maximize=0.5 must be 0 or 1");
    struct tensor_spec twice = fixture_raw_spec("w", 5, "sgd:lr=0.5");
    twice.optimizer.settings[1] = twice.optimizer.settings[0];
    twice.optimizer.count = 2;
    refused(twice, CANYON_INVALID_ARGUMENT, "lr");
}

static void every_bound_is_kept(void **state) {
    (void)state;
    for (size_t o = 0; o < optimizer_count(); o++) {
        const struct optimizer *optimizer = optimizer_at(o);
        for (size_t i = 0; !optimizer->rows_only && i < optimizer->hyperparameter_count; i++) {
            const struct optimizer_hyperparameter *parameter = &optimizer->hyperparameters[i];
            const struct {
                double value;
                bool good;
            } values[] = {{parameter->low, !parameter->low_open && isfinite(parameter->low)},
                          {parameter->high, !parameter->high_open && isfinite(parameter->high)},
                          {nextafter(parameter->low, -HUGE_VAL), false},
                          {nextafter(parameter->high, HUGE_VAL), false},
                          {(double)NAN, false},
                          {(double)INFINITY, false},
                          {(double)-INFINITY, false}};
            for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
                struct tensor_spec spec = fixture_raw_spec("w", 5, optimizer->name);
                spec.optimizer.count = 1;
                snprintf(spec.optimizer.settings[0].name, LIMIT_SETTING_BYTES, "%s", parameter->name);
                spec.optimizer.settings[0].value = values[v].value;
                assert_int_equal(shard_canonical_spec(&spec, NULL),
                                 values[v].good ? CANYON_OK : CANYON_INVALID_ARGUMENT);
            }
        }
    }
}

static void bad_shapes_and_initializers(void **state) {
    (void)state;
    struct tensor_spec spec = fixture_raw_spec("w", 5, "sgd");
    spec.shape.rank = 9;
    refused(spec, CANYON_INVALID_ARGUMENT, "9");
    spec = fixture_raw_spec("w", LIMIT_ELEMENTS + 1, "sgd");
    refused(spec, CANYON_TOO_LARGE, "1099511627777");
    spec = fixture_raw_spec("w", 1ull << 33, "sgd");
    spec.shape.rank = 2;
    spec.shape.dims[1] = 1ull << 33; /* the product overflows 64 bits */
    refused(spec, CANYON_TOO_LARGE, "8589934592");
    spec = fixture_raw_spec("-w", 5, "sgd");
    refused(spec, CANYON_INVALID_ARGUMENT, "-w");
    spec = fixture_raw_spec("w", 5, "sgd");
    spec.initializer = (struct initializer){.kind = INITIALIZER_UNIFORM, .a = 1, .b = 1};
    refused(spec, CANYON_INVALID_ARGUMENT, "1");
    spec.initializer = (struct initializer){.kind = INITIALIZER_CONSTANT, .a = (double)NAN};
    refused(spec, CANYON_INVALID_ARGUMENT, "finite");
    spec.initializer = (struct initializer){.kind = INITIALIZER_NORMAL, .a = 1e300, .b = 1};
    refused(spec, CANYON_INVALID_ARGUMENT, "1e+300");
}

/* ---- Tables ---- */

static struct tensor_spec raw_table(const char *optimizer, uint64_t dim) {
    struct tensor_spec spec = fixture_raw_spec("t", dim, optimizer);
    spec.kind = TENSOR_TABLE;
    return spec;
}

static void tables_have_forms_too(void **state) {
    (void)state;
    struct tensor_spec plain = raw_table("rowwise_adagrad", 8), shard = raw_table("adam:steps=shard,nonfinite=skip", 8);
    plain.row_cap = 1000;
    plain.capacity = 10;
    assert_int_equal(shard_canonical_spec(&plain, NULL), CANYON_OK);
    assert_true(plain.row_cap == 1000 && plain.capacity == 10 && plain.kind == TENSOR_TABLE);
    assert_int_equal(shard_canonical_spec(&shard, NULL), CANYON_OK);
    const struct optimizer_spec *settings = &shard.optimizer;
    assert_string_equal(settings->settings[settings->count - 2].name, "steps");
    assert_string_equal(settings->settings[settings->count - 1].name, "nonfinite");
    struct tensor_spec row = raw_table("adam:steps=row", 8), none = raw_table("adam", 8);
    assert_int_equal(shard_canonical_spec(&row, NULL), CANYON_OK);
    assert_int_equal(shard_canonical_spec(&none, NULL), CANYON_OK);
    assert_memory_equal(&row, &none, sizeof row);
}

static void bad_tables_are_refused(void **state) {
    (void)state;
    struct tensor_spec spec = raw_table("adam", 8);
    assert_int_equal(optimizer_spec_set(&spec.optimizer, "steps", 2.0, NULL), CANYON_OK);
    refused(spec, CANYON_INVALID_ARGUMENT, "neither row nor shard");
    refused(fixture_raw_spec("w", 8, "adam:steps=shard"), CANYON_INVALID_ARGUMENT, "no setting 'steps'");
    refused(raw_table("adam", 0), CANYON_INVALID_ARGUMENT, "dim from 1 to 16384, not [0]");
    refused(raw_table("adam", 16385), CANYON_INVALID_ARGUMENT, "not [16385]");
    spec = raw_table("adam", 8);
    spec.shape.rank = 2;
    spec.shape.dims[1] = 1;
    refused(spec, CANYON_INVALID_ARGUMENT, "not [8, 1]");
    spec = raw_table("adam", 8);
    spec.row_cap = LIMIT_ROWS + 1;
    refused(spec, CANYON_TOO_LARGE, "row cap 281474976710657");
    spec = raw_table("adam", 8);
    spec.capacity = UINT64_MAX;
    refused(spec, CANYON_TOO_LARGE, "capacity 18446744073709551615");
    spec = raw_table("adam", 8);
    spec.initializer.kind = INITIALIZER_VALUES;
    refused(spec, CANYON_INVALID_ARGUMENT, "rows are not there yet");
    spec = fixture_raw_spec("w", 8, "adam");
    spec.row_cap = 5;
    refused(spec, CANYON_INVALID_ARGUMENT, "only a table");
    spec.row_cap = 0;
    spec.kind = (enum tensor_kind)2;
    refused(spec, CANYON_INVALID_ARGUMENT, "kind of tensor with number 2");
}

static void tables_that_differ_are_told_apart(void **state) {
    (void)state;
    struct error error;
    struct tensor_spec one = raw_table("adam", 8), other = one, tensor = fixture_spec("t", 8, "adam");
    other.row_cap = 99;
    assert_int_equal(shard_canonical_spec(&one, NULL), CANYON_OK);
    assert_int_equal(shard_canonical_spec(&other, NULL), CANYON_OK);
    assert_int_equal(shard_same_spec(&one, &one, &error), CANYON_OK);
    assert_int_equal(shard_same_spec(&one, &other, &error), CANYON_MISMATCH);
    assert_non_null(strstr(error.text, "99"));
    other = one;
    other.capacity = one.capacity + 1000; /* a hint makes no other table */
    assert_int_equal(shard_same_spec(&one, &other, &error), CANYON_OK);
    assert_int_equal(shard_same_spec(&other, &one, &error), CANYON_OK);
    assert_int_equal(shard_same_spec(&tensor, &one, &error), CANYON_MISMATCH);
    assert_non_null(strstr(error.text, "is a tensor here; asked: a table"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_have_forms_too),
        cmocka_unit_test(bad_tables_are_refused),
        cmocka_unit_test(tables_that_differ_are_told_apart),
        cmocka_unit_test(defaults_are_filled_in_in_descriptor_order),
        cmocka_unit_test(one_meaning_has_one_form),
        cmocka_unit_test(minus_zero_is_zero),
        cmocka_unit_test(unused_initializer_numbers_are_zero),
        cmocka_unit_test(bad_optimizers_are_named),
        cmocka_unit_test(every_bound_is_kept),
        cmocka_unit_test(bad_shapes_and_initializers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
