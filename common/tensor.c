#include "common/tensor.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Not isalnum: names must not depend on the locale. */
static bool letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

enum canyon_status name_check(const char *name, const char *what, struct error *error) {
    size_t length = strnlen(name, LIMIT_NAME_BYTES);
    if (length == 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "the %s name is empty", what);
    }
    if (length == LIMIT_NAME_BYTES) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "the %s name \"%.40s...\" is longer than %d bytes", what, name,
                         LIMIT_NAME_BYTES - 1);
    }
    for (size_t i = 0; i < length; i++) {
        bool fine = letter_or_digit(name[i]) || (i > 0 && strchr("_-./", name[i]) != NULL);
        if (!fine) {
            return error_set(
                error, CANYON_INVALID_ARGUMENT,
                "the %s name \"%s\" has byte 0x%02x at position %zu: names are made of A-Z a-z 0-9 _ - . / "
                "and begin with a letter or digit",
                what, name, (unsigned)(unsigned char)name[i], i);
        }
    }
    return CANYON_OK;
}

static enum canyon_status finite_check(double value, const char *what, const char *name, struct error *error) {
    if (!isfinite(value)) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s %s is not a finite number", what, name);
    }
    return CANYON_OK;
}

static enum canyon_status optimizer_check(const struct optimizer_spec *spec, struct error *error) {
    size_t length = strnlen(spec->name, sizeof spec->name);
    if (length == 0 || length == sizeof spec->name) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "the optimizer's name must have 1 to %d bytes",
                         LIMIT_OPTIMIZER_BYTES - 1);
    }
    if (spec->count > LIMIT_SETTINGS) {
        return error_set(error, CANYON_TOO_LARGE, "optimizer %s has %" PRIu32 " settings, the limit is %d", spec->name,
                         spec->count, LIMIT_SETTINGS);
    }
    for (uint32_t i = 0; i < spec->count; i++) {
        const char *name = spec->settings[i].name;
        length = strnlen(name, LIMIT_SETTING_BYTES);
        if (length == 0 || length == LIMIT_SETTING_BYTES) {
            return error_set(error, CANYON_INVALID_ARGUMENT,
                             "setting %" PRIu32 " of optimizer %s must have a name of 1 to "
                             "%d bytes",
                             i, spec->name, LIMIT_SETTING_BYTES - 1);
        }
        enum canyon_status status = finite_check(spec->settings[i].value, "the setting", name, error);
        if (status != CANYON_OK) {
            return status;
        }
        for (uint32_t earlier = 0; earlier < i; earlier++) {
            if (strcmp(spec->settings[earlier].name, name) == 0) {
                return error_set(error, CANYON_INVALID_ARGUMENT, "optimizer %s has setting %s twice", spec->name, name);
            }
        }
    }
    return CANYON_OK;
}

static enum canyon_status initializer_check(const struct initializer *initializer, struct error *error) {
    if ((unsigned)initializer->kind > INITIALIZER_VALUES) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "there is no initializer with number %u",
                         (unsigned)initializer->kind);
    }
    enum canyon_status status = finite_check(initializer->a, "the initializer's", "a", error);
    if (status == CANYON_OK) {
        status = finite_check(initializer->b, "the initializer's", "b", error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    double a = initializer->a;
    double b = initializer->b;
    switch (initializer->kind) {
    case INITIALIZER_ZEROS:
    case INITIALIZER_VALUES:
        break;
    case INITIALIZER_CONSTANT:
        if (!isfinite((float)a)) {
            return error_set(error, CANYON_INVALID_ARGUMENT, "the constant %g does not fit a float32", a);
        }
        break;
    case INITIALIZER_UNIFORM:
        if (!(a < b) || !isfinite((float)a) || !isfinite((float)b)) {
            return error_set(error, CANYON_INVALID_ARGUMENT, "uniform needs a < b within float32, not a=%g b=%g", a, b);
        }
        break;
    case INITIALIZER_NORMAL:
        if (b < 0 || !isfinite((float)a) || !isfinite((float)b)) {
            return error_set(error, CANYON_INVALID_ARGUMENT,
                             "normal needs a deviation b >= 0 and both within float32, not a=%g b=%g", a, b);
        }
        break;
    case INITIALIZER_XAVIER:
    case INITIALIZER_KAIMING:
        if (a <= 0 || !isfinite((float)a)) {
            return error_set(error, CANYON_INVALID_ARGUMENT, "%s needs a gain a > 0 within float32, not %g",
                             initializer->kind == INITIALIZER_XAVIER ? "xavier" : "kaiming", a);
        }
        break;
    }
    return CANYON_OK;
}

static enum canyon_status kind_check(const struct tensor_spec *spec, struct error *error) {
    if (spec->kind == TENSOR_DENSE) {
        return spec->row_cap == 0 && spec->capacity == 0
                   ? CANYON_OK
                   : error_set(error, CANYON_INVALID_ARGUMENT, "only a table has a row cap and a capacity");
    }
    if (spec->kind != TENSOR_TABLE) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "there is no kind of tensor with number %u",
                         (unsigned)spec->kind);
    }
    if (spec->shape.rank != 1 || spec->shape.dims[0] == 0 || spec->shape.dims[0] > LIMIT_DIM) {
        char text[80];
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "a table's shape is [dim], one row's, with dim from 1 to %d, not %s", LIMIT_DIM,
                         shape_text(&spec->shape, text, sizeof text));
    }
    if (spec->row_cap > LIMIT_ROWS || spec->capacity > LIMIT_ROWS) {
        return error_set(error, CANYON_TOO_LARGE,
                         "a table has at most %llu rows: row cap %" PRIu64 " or capacity %" PRIu64 " is above",
                         LIMIT_ROWS, spec->row_cap, spec->capacity);
    }
    if (spec->initializer.kind == INITIALIZER_VALUES) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "a table has no first values from its creator: its rows are not there yet");
    }
    return CANYON_OK;
}

enum canyon_status tensor_spec_check(const struct tensor_spec *spec, struct error *error) {
    enum canyon_status status = name_check(spec->name, "tensor", error);
    if (status != CANYON_OK) {
        return status;
    }
    uint64_t elements = 0;
    status = shape_elements(&spec->shape, &elements, error);
    if (status == CANYON_OK) {
        status = optimizer_check(&spec->optimizer, error);
    }
    if (status == CANYON_OK) {
        status = initializer_check(&spec->initializer, error);
    }
    if (status == CANYON_OK) {
        status = kind_check(spec, error);
    }
    if (status != CANYON_OK) {
        error_prefix(error, "%s %s", spec->kind == TENSOR_TABLE ? "table" : "tensor", spec->name);
    }
    return status;
}
