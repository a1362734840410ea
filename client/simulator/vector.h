/* Vectors written as text: "1, 2.5 -3e-4". Numbers stand apart by blanks (also tabs), by one comma, or by both. */
#ifndef CANYON_SIMULATOR_VECTOR_H
#define CANYON_SIMULATOR_VECTOR_H

#include <stdbool.h>
#include <stddef.h>

#define VECTOR_TEXT_BYTES 160 /* room enough for every error text */

/* Reads all of the `bytes` bytes of `line`, which a NUL must follow; a newline, CR, or CR LF at the end is allowed.
 * *count becomes how many numbers there are; the first `capacity` of them are stored in `values`, each the float32
 * nearest to the decimal. False, with `text` saying what was wrong, when there is none, when something is not a finite
 * decimal number of float32's range, or when a comma has no number on both sides. */
bool vector_read(const char *line, size_t bytes, float *values, size_t capacity, size_t *count, char *text,
                 size_t text_bytes);

#endif
