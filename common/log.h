/* One line an event: time, level, event, then key=value pairs; or a callback instead of the line.
 *
 * log_event(log, LOG_INFO, "listening", "address=%s threads=%u", ...). Values with blanks are written by the caller in
 * double quotes through log_quote. The library never prints: it is given a log with a callback. Thread-safe: a line is
 * written by one write(2). */
#ifndef CANYON_COMMON_LOG_H
#define CANYON_COMMON_LOG_H

#include <stddef.h>

enum log_level { LOG_DEBUG = 0, LOG_INFO = 1, LOG_WARNING = 2, LOG_ERROR = 3, LOG_SILENT = 4 };

/* Called with a finished text without newline ("event key=value ..."), borrowed for the call. */
typedef void (*log_callback)(void *user, enum log_level level, const char *text);

struct log {
    enum log_level threshold; /* events below it are dropped */
    int descriptor;           /* where lines go when there is no callback; -1 for nowhere */
    log_callback callback;    /* may be NULL */
    void *user;
};

void log_event(const struct log *log, enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Copies `value` into `text` as a double-quoted string with \" \\ \n and control bytes escaped; returns `text`. */
char *log_quote(const char *value, char *text, size_t bytes);

const char *log_level_name(enum log_level level);

/* Parses "debug", "info", "warning", "error", "silent"; returns 0, or -1 when it is none of them. */
int log_level_parse(const char *text, enum log_level *level);

#endif
