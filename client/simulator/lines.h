/* Lines from a descriptor, as they come, given up when the program is interrupted. */
#ifndef CANYON_SIMULATOR_LINES_H
#define CANYON_SIMULATOR_LINES_H

#include <stdbool.h>
#include <stddef.h>

#define LINES_HIGH (1u << 30) /* longest line, in bytes */

struct lines {
    int descriptor;
    char *bytes;
    size_t begin, end; /* what was read and not given out yet */
    size_t searched;   /* before it there is no newline */
    size_t capacity;
    bool ended;
};

enum lines_state {
    LINES_READ,        /* *line is the next one */
    LINES_ENDED,       /* there are no more */
    LINES_INTERRUPTED, /* interrupt_signal() is set */
    LINES_FAILED       /* errno says why: a read error, ENOMEM, or EFBIG for a line above LINES_HIGH */
};

/* The descriptor stays the caller's. */
void lines_init(struct lines *lines, int descriptor);

/* The next line without its newline, NUL-terminated, with its length; valid until the next call. A last line may lack
 * its newline. */
enum lines_state lines_next(struct lines *lines, const char **line, size_t *length);

void lines_finish(struct lines *lines);

#endif
