#include <inttypes.h>
#include <stdio.h>

#include "common/tensor.h"

enum canyon_status shape_elements(const struct shape *shape, uint64_t *elements, struct error *error) {
    if (shape->rank > LIMIT_RANK) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "a shape has at most %d dimensions, not %" PRIu32, LIMIT_RANK,
                         shape->rank);
    }
    uint64_t product = 1;
    bool empty = false;
    for (uint32_t i = 0; i < shape->rank; i++) {
        uint64_t dim = shape->dims[i];
        if (dim == 0) {
            empty = true;
        } else if (dim > LIMIT_ELEMENTS / product) {
            char text[256];
            return error_set(error, CANYON_TOO_LARGE, "shape %s has more than %llu elements",
                             shape_text(shape, text, sizeof text), LIMIT_ELEMENTS);
        } else {
            product *= dim;
        }
    }
    *elements = empty ? 0 : product;
    return CANYON_OK;
}

bool shape_equal(const struct shape *one, const struct shape *other) {
    if (one->rank != other->rank) {
        return false;
    }
    for (uint32_t i = 0; i < one->rank && i < LIMIT_RANK; i++) {
        if (one->dims[i] != other->dims[i]) {
            return false;
        }
    }
    return true;
}

char *shape_text(const struct shape *shape, char *text, size_t bytes) {
    char whole[LIMIT_RANK * 22 + 8] = "[";
    size_t used = 1;
    for (uint32_t i = 0; i < shape->rank && i < LIMIT_RANK; i++) {
        int length = snprintf(whole + used, sizeof whole - used, "%s%" PRIu64, i == 0 ? "" : ", ", shape->dims[i]);
        used += length < 0 ? 0 : (size_t)length;
    }
    snprintf(text, bytes, "%s]", whole);
    return text;
}
