#include "client/simulator/content.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/room.h"
#include "client/tools/number.h"

#define CHUNK ((size_t)1 << 20)

bool content_read(const char *path, size_t high, char **data, size_t *bytes, char *text, size_t text_bytes) {
    char *content = NULL, limit[NUMBER_BYTES];
    size_t have = 0, capacity = 0, got = 1;
    bool good = false;
    *data = NULL;
    *bytes = 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        snprintf(text, text_bytes, "cannot open %s: %s", path, strerror(errno));
        return false;
    }
    while (got > 0 && have <= high) {
        if (!room_make(&content, &capacity, have + CHUNK + 1, 1)) {
            snprintf(text, text_bytes, "no memory for %s", path);
            goto out;
        }
        errno = 0;
        got = fread(content + have, 1, CHUNK, file);
        have += got;
    }
    if (ferror(file)) {
        snprintf(text, text_bytes, "cannot read %s: %s", path, strerror(errno));
    } else if (have > high) {
        snprintf(text, text_bytes, "%s is larger than %s", path, number_bytes((double)high, limit, sizeof limit));
    } else {
        content[have] = '\0';
        *data = content;
        *bytes = have;
        content = NULL;
        good = true;
    }
out:
    free(content);
    fclose(file);
    return good;
}
