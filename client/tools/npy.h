/* NumPy's .npy files: one array of numbers with its shape.
 *
 * Reads format versions 1.0 and 2.0 with little-endian float32, or float64, rounded, where none is beyond float32's
 * range; row-major only. Writes version 1.0, float32. A damaged or hostile file gives an error: no length is believed
 * before it was compared with the file's size. Errors are texts with the file's name, what was found and what is
 * needed. Float64 can also be read and written as it is. */
#ifndef CANYON_TOOLS_NPY_H
#define CANYON_TOOLS_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "canyon.h"

#define NPY_RANK         32    /* most dimensions a file may have */
#define NPY_HEADER_BYTES 65536 /* longest header that is read */
#define NPY_TEXT_BYTES   1024  /* room enough for every error text */

struct npy {
    uint32_t rank; /* 0: a single number */
    uint64_t dims[NPY_RANK];
    uint64_t elements; /* product of dims; 1 for rank 0 */
    float *values;     /* row-major; npy_finish frees it */
    double *doubles;   /* of npy_read_doubles instead of `values` */
};

/* Reads the whole file. On success `npy` is to be finished; otherwise it is zeroed and `text` says why: NOT_FOUND when
 * the file cannot be opened, INVALID_ARGUMENT when it is not such a file, NO_MEMORY, INTERNAL for read errors. */
enum canyon_status npy_read(const char *path, struct npy *npy, char *text, size_t bytes);

/* Writes beside `path` under a temporary name, synchronises, and renames, so that `path` is the old file or the whole
 * new one. `values` may be NULL when there are no elements. INVALID_ARGUMENT or INTERNAL with `text` on failure; no
 * temporary file is left then. */
enum canyon_status npy_write(const char *path, uint32_t rank, const uint64_t *dims, const float *values, char *text,
                             size_t bytes);

/* The same in float64; float32 files are read too. */
enum canyon_status npy_read_doubles(const char *path, struct npy *npy, char *text, size_t bytes);
enum canyon_status npy_write_doubles(const char *path, uint32_t rank, const uint64_t *dims, const double *values,
                                     char *text, size_t bytes);

/* "(3, 4)", "(7,)", "()" as NumPy writes shapes, cut to `bytes`; returns `text`. */
char *npy_shape_text(uint32_t rank, const uint64_t *dims, char *text, size_t bytes);

/* Frees the values and zeroes. Safe on a zeroed npy and on NULL. */
void npy_finish(struct npy *npy);

#endif
