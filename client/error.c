#include "client/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/include/canyon.h"

static _Thread_local char last_text[ERROR_TEXT_BYTES];

enum canyon_status last_error_set(const struct error *error) {
    if (error->status != CANYON_OK)
        memcpy(last_text, error->text, sizeof last_text);
    return error->status;
}

enum canyon_status last_error_format(enum canyon_status status, const char *format, ...) {
    struct error error = {.status = status};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error.text, sizeof error.text, format, arguments);
    va_end(arguments);
    return last_error_set(&error);
}

const char *last_error_text(void) {
    return last_text;
}

const char *canyon_error_text(void) {
    return last_error_text();
}

const char *canyon_version(void) {
    return CANYON_VERSION_TEXT;
}

const char *canyon_status_name(enum canyon_status status) {
    return status_name(status);
}
