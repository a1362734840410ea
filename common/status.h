/* An error is a stable code and a text that says what was wrong, with the values, and what to do. */
#ifndef CANYON_COMMON_STATUS_H
#define CANYON_COMMON_STATUS_H

#include <stddef.h>

#include "common/include/canyon_status.h"

#define ERROR_TEXT_BYTES 320

/* Lives on the caller's stack; needs no finish. `text` is always NUL-terminated and cut, never overrun. */
struct error {
    enum canyon_status status;
    char text[ERROR_TEXT_BYTES];
};

/* Fills `error` (which may be NULL) and returns `status`, so that `return error_set(...)` is one line. */
enum canyon_status error_set(struct error *error, enum canyon_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the text, for a caller that knows more than the callee did. */
void error_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The stable short name of a code ("NOT_FOUND"); "UNKNOWN_STATUS" for a number this build does not know.
 * Static memory. Thread-safe. */
const char *status_name(enum canyon_status status);

#endif
