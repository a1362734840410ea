#include "common/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum canyon_status error_set(struct error *error, enum canyon_status status, const char *format, ...) {
    if (error != NULL) {
        /* Formatted aside first: callers may quote error->text in the new text. */
        char text[ERROR_TEXT_BYTES];
        va_list arguments;
        va_start(arguments, format);
        int written = vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        if (written < 0) {
            text[0] = '\0';
        }
        error->status = status;
        memcpy(error->text, text, sizeof text);
    }
    return status;
}

void error_prefix(struct error *error, const char *format, ...) {
    if (error == NULL) {
        return;
    }
    char context[ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(context, sizeof context, format, arguments);
    va_end(arguments);
    if (written < 0) {
        return;
    }
    char text[2 * ERROR_TEXT_BYTES + 2];
    int length = snprintf(text, sizeof text, "%s: %s", context, error->text);
    size_t kept = length < 0 ? 0 : (size_t)length;
    if (kept >= sizeof error->text) {
        kept = sizeof error->text - 1;
    }
    memcpy(error->text, text, kept);
    error->text[kept] = '\0';
}

const char *status_name(enum canyon_status status) {
    switch (status) {
    case CANYON_OK:
        return "OK";
    case CANYON_INVALID_ARGUMENT:
        return "INVALID_ARGUMENT";
    case CANYON_NOT_FOUND:
        return "NOT_FOUND";
    case CANYON_MISMATCH:
        return "MISMATCH";
    case CANYON_TIMEOUT:
        return "TIMEOUT";
    case CANYON_UNAVAILABLE:
        return "UNAVAILABLE";
    case CANYON_OUTCOME_UNKNOWN:
        return "OUTCOME_UNKNOWN";
    case CANYON_STATE_LOST:
        return "STATE_LOST";
    case CANYON_REFUSED:
        return "REFUSED";
    case CANYON_NOT_FINITE:
        return "NOT_FINITE";
    case CANYON_NO_MEMORY:
        return "NO_MEMORY";
    case CANYON_TOO_LARGE:
        return "TOO_LARGE";
    case CANYON_PROTOCOL:
        return "PROTOCOL";
    case CANYON_UNSUPPORTED:
        return "UNSUPPORTED";
    case CANYON_CONFIGURATION:
        return "CONFIGURATION";
    case CANYON_BUSY:
        return "BUSY";
    case CANYON_CLOSED:
        return "CLOSED";
    case CANYON_CONFLICT:
        return "CONFLICT";
    case CANYON_INTERNAL:
        return "INTERNAL";
    case CANYON_DENIED:
        return "DENIED";
    case CANYON_UNAUTHENTICATED:
        return "UNAUTHENTICATED";
    case CANYON_SESSION_UNKNOWN:
        return "SESSION_UNKNOWN";
    case CANYON_GAP:
        return "GAP";
    case CANYON_STALE:
        return "STALE";
    case CANYON_LATE:
        return "LATE";
    case CANYON_FENCED:
        return "FENCED";
    }
    return "UNKNOWN_STATUS";
}
