/* What canyon-sim prints with --json. */
#ifndef CANYON_TESTS_SIMULATOR_ANSWERS_H
#define CANYON_TESTS_SIMULATOR_ANSWERS_H

#include <jansson.h>

#include "program.h"

static inline double number_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) {
        fail_msg("%s is no number", key);
    }
    return json_number_value(value);
}

#endif
