/* JSON for scripts: one value a line on a stream, built with jansson. */
#ifndef CANYON_TOOLS_RECORD_H
#define CANYON_TOOLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

/* A number; null when it is not finite, which JSON cannot say. NULL when there is no memory. Owned by the caller. */
json_t *record_number(double value);

/* An unsigned; as a real above 2^63-1, which jansson's integers cannot hold. Owned by the caller. */
json_t *record_unsigned(uint64_t value);

struct record_field {
    const char *key;
    json_t *value;
};

/* An object of these fields in their order, whose values it takes over in every case. NULL when one of them is NULL, or
 * there is no memory. Owned by the caller. */
json_t *record_object(const struct record_field *fields, size_t count);

/* Prints `value` on one line with its keys in the order they were set and reals as the shortest digits that read back
 * the same, flushes, and gives up the caller's reference to it in every case. False when `value` is NULL (memory was
 * missing when it was built) or `out` is not writable. */
bool record_print(FILE *out, json_t *value);

#endif
