/* The text behind canyon_error_text: what the last failed call on this thread had to say. */
#ifndef CANYON_CLIENT_ERROR_H
#define CANYON_CLIENT_ERROR_H

#include "common/status.h"

/* Remembers `error`'s text for this thread, unless its status is OK, and returns the status: how every public call
 * ends. */
enum canyon_status last_error_set(const struct error *error);

/* The same in one step, for the checks at the beginning of a call. */
enum canyon_status last_error_format(enum canyon_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Of this thread; "" before the first failure. Valid until the next of the calls above on this thread. */
const char *last_error_text(void);

#endif
