#include "server/slot.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static bool is_array(const struct dense *dense, uint32_t slot) {
    return slot >= SLOT_ARRAYS && slot - SLOT_ARRAYS < dense->optimizer->slot_count;
}

static bool is_scalar(const struct dense *dense, uint32_t slot) {
    return slot >= SLOT_SCALARS && slot - SLOT_SCALARS < dense->optimizer->scalar_count;
}

/* One of its values, for texts; the slot is there. */
static const char *name_of(const struct dense *dense, uint32_t slot) {
    return slot == SLOT_WEIGHTS   ? "weights"
           : slot == SLOT_STEP    ? "step"
           : slot_is_number(slot) ? dense->optimizer->scalars[slot - SLOT_SCALARS]
                                  : dense->optimizer->slots[slot - SLOT_ARRAYS];
}

size_t slot_words(const struct dense *dense, size_t place, uint32_t slot) {
    if (slot == SLOT_WEIGHTS || is_array(dense, slot)) {
        return dense_elements(dense, place);
    }
    return slot == SLOT_STEP || is_scalar(dense, slot) ? SLOT_NUMBER_WORDS : 0;
}

const void *slot_values(const struct dense *dense, size_t place, uint32_t slot) {
    if (slot == SLOT_WEIGHTS) {
        return dense_weights(dense, place);
    }
    if (slot == SLOT_STEP) {
        return &dense->blocks[place].step;
    }
    if (is_scalar(dense, slot)) {
        return &dense->blocks[place].scalars[slot - SLOT_SCALARS];
    }
    return is_array(dense, slot) ? dense_slot(dense, place, slot - SLOT_ARRAYS) : NULL;
}

static enum canyon_status check_array(const struct dense *dense, size_t place, uint32_t slot, const float *values,
                                      size_t count, struct error *error) {
    size_t bad = optimizer_first_not_finite(values, count);
    if (bad < count) {
        return error_set(error, CANYON_NOT_FINITE, "block %u of tensor '%s', %s: the value at index %zu is %f",
                         dense_number(dense, place), dense->key.name, name_of(dense, slot), bad, (double)values[bad]);
    }
    if (slot == SLOT_WEIGHTS || !dense->optimizer->never_negative[slot - SLOT_ARRAYS]) {
        return CANYON_OK;
    }
    for (size_t i = 0; i < count; i++) {
        if (values[i] < 0.0f) {
            return error_set(error, CANYON_INVALID_ARGUMENT,
                             "block %u of tensor '%s', %s: the value at index %zu is %g; it is never negative",
                             dense_number(dense, place), dense->key.name, name_of(dense, slot), i, (double)values[i]);
        }
    }
    return CANYON_OK;
}

static enum canyon_status check_step(const struct dense *dense, size_t place, const float *values,
                                     struct error *error) {
    uint64_t step;
    memcpy(&step, values, sizeof step);
    if (step > LIMIT_STEP) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "block %u of tensor '%s': step %" PRIu64 " is above %llu",
                         dense_number(dense, place), dense->key.name, step, LIMIT_STEP);
    }
    return CANYON_OK;
}

static enum canyon_status check_scalar(const struct dense *dense, size_t place, uint32_t slot, const float *values,
                                       struct error *error) {
    const struct optimizer *optimizer = dense->optimizer;
    size_t index = slot - SLOT_SCALARS;
    double value;
    memcpy(&value, values, sizeof value);
    if (!isfinite(value)) {
        return error_set(error, CANYON_NOT_FINITE, "block %u of tensor '%s': %s is %f", dense_number(dense, place),
                         dense->key.name, name_of(dense, slot), value);
    }
    if (value < optimizer->scalar_low[index] || value > optimizer->scalar_high[index]) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "block %u of tensor '%s': %s=%.17g is outside [%g, %g]",
                         dense_number(dense, place), dense->key.name, name_of(dense, slot), value,
                         optimizer->scalar_low[index], optimizer->scalar_high[index]);
    }
    return CANYON_OK;
}

enum canyon_status slot_missing(const struct dense *dense, uint32_t slot, struct error *error) {
    return error_set(error, CANYON_INVALID_ARGUMENT,
                     "tensor '%s' has no slot of number %u: its optimizer is %s, with %zu slots and %zu scalars",
                     dense->key.name, slot, dense->optimizer->name, dense->optimizer->slot_count,
                     dense->optimizer->scalar_count);
}

enum canyon_status slot_check(const struct dense *dense, size_t place, uint32_t slot, const float *values, size_t count,
                              struct error *error) {
    size_t words = slot_words(dense, place, slot);
    if (words == 0) {
        return slot_missing(dense, slot, error);
    }
    if (count != words) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "block %u of tensor '%s' has %zu elements, not %zu",
                         dense_number(dense, place), dense->key.name, words, count);
    }
    if (slot == SLOT_STEP) {
        return check_step(dense, place, values, error);
    }
    return slot_is_number(slot) ? check_scalar(dense, place, slot, values, error)
                                : check_array(dense, place, slot, values, count, error);
}

void slot_assign(struct dense *dense, size_t place, uint32_t slot, const float *values) {
    struct dense_block *block = &dense->blocks[place];
    size_t bytes = slot_words(dense, place, slot) * sizeof(float);
    assert(bytes > 0);
    if (slot == SLOT_WEIGHTS) {
        dense_assign(dense, place, values);
    } else if (slot == SLOT_STEP) {
        memcpy(&block->step, values, bytes);
    } else if (slot_is_number(slot)) {
        memcpy(&block->scalars[slot - SLOT_SCALARS], values, bytes);
    } else {
        memcpy(dense_slot(dense, place, slot - SLOT_ARRAYS), values, bytes);
    }
}
