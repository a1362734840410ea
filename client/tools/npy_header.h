/* The header of a .npy file: a Python dictionary as text, parsed and made. Pure: bytes in, numbers out. */
#ifndef CANYON_TOOLS_NPY_HEADER_H
#define CANYON_TOOLS_NPY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/tools/npy.h"

struct npy_header {
    unsigned width; /* bytes of a number: 4 (float32) or 8 (float64) */
    uint32_t rank;
    uint64_t dims[NPY_RANK];
    uint64_t elements;
};

/* Parses the dictionary, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }" and blanks, which need not end
 * with a NUL. Accepts its three keys once each in any order, nothing else. False, with what was wrong in `text`, for
 * other number types, column-major order, more than NPY_RANK dimensions, and sizes that overflow 64 bits of bytes. */
bool npy_header_parse(const char *dictionary, size_t length, struct npy_header *header, char *text, size_t bytes);

/* Writes everything before the values of a version 1.0 file of numbers of `width` bytes, 4 or 8, a multiple of 64
 * bytes, into `out`; returns its length, or 0 when it does not fit. */
size_t npy_header_make(unsigned width, uint32_t rank, const uint64_t *dims, char *out, size_t bytes);

#endif
