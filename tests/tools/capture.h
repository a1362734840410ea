/* Output into memory, for tests of what is printed. Include after cmocka.h. */
#ifndef CANYON_TESTS_TOOLS_CAPTURE_H
#define CANYON_TESTS_TOOLS_CAPTURE_H

#include <stdio.h>
#include <stdlib.h>

struct capture {
    FILE *file;
    char *text; /* NUL-terminated after capture_end */
    size_t length;
};

static inline void capture_begin(struct capture *capture) {
    capture->file = open_memstream(&capture->text, &capture->length);
    assert_non_null(capture->file);
}

/* Closes the stream; the text is the caller's to free. */
static inline char *capture_end(struct capture *capture) {
    assert_int_equal(fclose(capture->file), 0);
    return capture->text;
}

#endif
