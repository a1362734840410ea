#include "client/simulator/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/simulator/interrupt.h"

#define FIRST_BYTES 4096

void lines_init(struct lines *lines, int descriptor) {
    memset(lines, 0, sizeof *lines);
    lines->descriptor = descriptor;
}

/* Makes room for more, and for the NUL after it, behind what is kept. */
static bool lines_room(struct lines *lines) {
    if (lines->begin > 0) {
        memmove(lines->bytes, lines->bytes + lines->begin, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->searched -= lines->begin;
        lines->begin = 0;
    }
    if (lines->end + 1 < lines->capacity) {
        return true;
    }
    if (lines->capacity > LINES_HIGH) {
        errno = EFBIG;
        return false;
    }
    size_t capacity = lines->capacity == 0 ? FIRST_BYTES : 2 * lines->capacity;
    char *bytes = realloc(lines->bytes, capacity);
    if (bytes == NULL) {
        return false;
    }
    lines->bytes = bytes;
    lines->capacity = capacity;
    return true;
}

/* Waits for input or a signal and reads what there is. */
static enum lines_state lines_fill(struct lines *lines) {
    struct pollfd waits[2] = {{.fd = lines->descriptor, .events = POLLIN},
                              {.fd = interrupt_descriptor(), .events = POLLIN}};
    if (!lines_room(lines)) {
        return LINES_FAILED;
    }
    for (;;) {
        int ready = poll(waits, 2, -1);
        if (interrupt_signal() != 0) {
            return LINES_INTERRUPTED;
        }
        ssize_t got =
            ready > 0 ? read(lines->descriptor, lines->bytes + lines->end, lines->capacity - lines->end - 1) : -1;
        if (got >= 0) {
            lines->end += (size_t)got;
            lines->ended = got == 0;
            return LINES_READ;
        }
        if (errno != EINTR && errno != EAGAIN) {
            return LINES_FAILED;
        }
    }
}

static enum lines_state lines_give(struct lines *lines, size_t length, size_t used, const char **line, size_t *bytes) {
    *line = lines->bytes + lines->begin;
    *bytes = length;
    lines->bytes[lines->begin + length] = '\0';
    lines->begin += used;
    lines->searched = lines->begin;
    return LINES_READ;
}

enum lines_state lines_next(struct lines *lines, const char **line, size_t *length) {
    for (;;) {
        size_t fresh = lines->end - lines->searched;
        char *newline = fresh == 0 ? NULL : memchr(lines->bytes + lines->searched, '\n', fresh);
        if (newline != NULL) {
            size_t bytes = (size_t)(newline - (lines->bytes + lines->begin));
            return lines_give(lines, bytes, bytes + 1, line, length);
        }
        lines->searched = lines->end;
        if (lines->ended) {
            size_t rest = lines->end - lines->begin;
            return rest == 0 ? LINES_ENDED : lines_give(lines, rest, rest, line, length);
        }
        enum lines_state state = lines_fill(lines);
        if (state != LINES_READ) {
            return state;
        }
    }
}

void lines_finish(struct lines *lines) {
    free(lines->bytes);
    memset(lines, 0, sizeof *lines);
}
