/* A whole file in memory. */
#ifndef CANYON_SIMULATOR_CONTENT_H
#define CANYON_SIMULATOR_CONTENT_H

#include <stdbool.h>
#include <stddef.h>

/* Reads a file, or a pipe to its end. On success *data is owned: free it; it has *bytes bytes and a NUL behind them.
 * False with `text`, and *data NULL, when it cannot be read, has more than `high` bytes, or there is no memory. */
bool content_read(const char *path, size_t high, char **data, size_t *bytes, char *text, size_t text_bytes);

#endif
