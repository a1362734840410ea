#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

/* Longest line; what goes beyond is cut. Below PIPE_BUF, so that lines of several threads do not mix in a pipe either.
 */
#define LOG_LINE_BYTES 2048

static const char *const level_names[] = {"debug", "info", "warning", "error", "silent"};

const char *log_level_name(enum log_level level) {
    return (unsigned)level <= LOG_SILENT ? level_names[level] : "unknown";
}

int log_level_parse(const char *text, enum log_level *level) {
    for (unsigned i = 0; i <= LOG_SILENT; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

/* An event is one line whatever its values hold. */
static void flatten(char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            *text = '?';
        }
    }
}

static void write_line(int descriptor, const char *line, size_t length) {
    ssize_t written;
    do {
        written = write(descriptor, line, length);
    } while (written < 0 && errno == EINTR);
    /* Where a log cannot be written there is nobody to tell. */
}

void log_event(const struct log *log, enum log_level level, const char *event, const char *format, ...) {
    if (log == NULL || level < log->threshold || level >= LOG_SILENT || log->threshold >= LOG_SILENT) {
        return;
    }
    if (log->callback == NULL && log->descriptor < 0) {
        return;
    }
    int saved = errno;
    char pairs[LOG_LINE_BYTES - 256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(pairs, sizeof pairs, format, arguments);
    va_end(arguments);
    if (length < 0) {
        pairs[0] = '\0';
    }
    flatten(pairs);
    char text[LOG_LINE_BYTES - 64];
    snprintf(text, sizeof text, "%.128s%s%s", event, pairs[0] == '\0' ? "" : " ", pairs);
    if (log->callback != NULL) {
        log->callback(log->user, level, text);
    } else {
        char stamp[32];
        char line[LOG_LINE_BYTES];
        length =
            snprintf(line, sizeof line, "%s %s %s\n", clock_stamp(stamp, sizeof stamp), log_level_name(level), text);
        if (length > 0) {
            write_line(log->descriptor, line, (size_t)length);
        }
    }
    errno = saved;
}

char *log_quote(const char *value, char *text, size_t bytes) {
    /* Room for the longest escape and the closing quote is kept free throughout. */
    if (bytes < 3) {
        if (bytes > 0) {
            text[0] = '\0';
        }
        return text;
    }
    size_t used = 0;
    text[used++] = '"';
    for (; *value != '\0'; value++) {
        char escaped[5];
        unsigned char c = (unsigned char)*value;
        if (c == '"' || c == '\\') {
            snprintf(escaped, sizeof escaped, "\\%c", c);
        } else if (c == '\n') {
            snprintf(escaped, sizeof escaped, "\\n");
        } else if (c < ' ' || c == 0x7f) {
            snprintf(escaped, sizeof escaped, "\\x%02x", c);
        } else {
            snprintf(escaped, sizeof escaped, "%c", c);
        }
        size_t length = strlen(escaped);
        if (used + length + 2 > bytes) {
            break;
        }
        memcpy(text + used, escaped, length);
        used += length;
    }
    text[used++] = '"';
    text[used] = '\0';
    return text;
}
