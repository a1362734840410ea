#include "client/tools/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/tools/npy_header.h"

/* Values are little-endian in the file and are copied as they are. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "npy files are read and written on little-endian machines");

#define CHUNK 4096 /* numbers converted at a time */

/* One call's file and where its error text goes. */
struct work {
    const char *path;
    char *text;
    size_t bytes;
    FILE *file;
    uint64_t size; /* of the file, when reading */
};

static enum canyon_status fail(const struct work *work, enum canyon_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum canyon_status fail(const struct work *work, enum canyon_status status, const char *format, ...) {
    char reason[NPY_TEXT_BYTES];
    va_list values;
    va_start(values, format);
    vsnprintf(reason, sizeof reason, format, values);
    va_end(values);
    snprintf(work->text, work->bytes, "%s: %s", work->path, reason);
    return status;
}

static enum canyon_status fail_read(const struct work *work) {
    if (ferror(work->file)) {
        return fail(work, CANYON_INTERNAL, "cannot read it: %s", strerror(errno));
    }
    return fail(work, CANYON_INVALID_ARGUMENT, "it ended while it was read");
}

static enum canyon_status open_file(struct work *work) {
    struct stat about;
    /* Without O_NONBLOCK a pipe would be waited for, and refused only then. */
    int descriptor = open(work->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    work->file = descriptor < 0 ? NULL : fdopen(descriptor, "rb");
    if (work->file == NULL) {
        enum canyon_status status = fail(work, CANYON_NOT_FOUND, "cannot open it: %s", strerror(errno));
        if (descriptor >= 0) {
            close(descriptor);
        }
        return status;
    }
    if (fstat(fileno(work->file), &about) != 0) {
        return fail(work, CANYON_INTERNAL, "cannot examine it: %s", strerror(errno));
    }
    if (!S_ISREG(about.st_mode)) {
        return fail(work, CANYON_INVALID_ARGUMENT, "it is not a regular file");
    }
    work->size = (uint64_t)about.st_size;
    return CANYON_OK;
}

/* Reads magic, version and length. *first: where the dictionary begins; *length: how long it is, within the file. */
static enum canyon_status read_preamble(const struct work *work, size_t *first, size_t *length) {
    unsigned char bytes[12];
    size_t have = fread(bytes, 1, 10, work->file);
    if (have < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0) {
        return have < 10 && ferror(work->file) ? fail_read(work)
                                               : fail(work, CANYON_INVALID_ARGUMENT, "it is not a .npy file");
    }
    if ((bytes[6] != 1 && bytes[6] != 2) || bytes[7] != 0) {
        return fail(work, CANYON_INVALID_ARGUMENT, "it has format version %u.%u; only 1.0 and 2.0 can be read",
                    bytes[6], bytes[7]);
    }
    *first = bytes[6] == 1 ? 10 : 12;
    *length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] == 2) {
        if (fread(bytes + 10, 1, 2, work->file) != 2) {
            return fail_read(work);
        }
        *length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    }
    if (*length > NPY_HEADER_BYTES || *first + *length > work->size) {
        return fail(work, CANYON_INVALID_ARGUMENT,
                    "its header is damaged: it claims %zu bytes, in a file of %" PRIu64 " and with %d allowed", *length,
                    work->size, NPY_HEADER_BYTES);
    }
    return CANYON_OK;
}

static enum canyon_status read_header(const struct work *work, struct npy_header *header) {
    enum canyon_status status = CANYON_OK;
    char reason[NPY_TEXT_BYTES], *dictionary = NULL;
    size_t first = 0, length = 0;
    status = read_preamble(work, &first, &length);
    if (status != CANYON_OK) {
        return status;
    }
    dictionary = malloc(length + 1);
    if (dictionary == NULL) {
        return fail(work, CANYON_NO_MEMORY, "no memory for its header of %zu bytes", length);
    }
    if (fread(dictionary, 1, length, work->file) != length) {
        status = fail_read(work);
    } else if (!npy_header_parse(dictionary, length, header, reason, sizeof reason)) {
        status = fail(work, CANYON_INVALID_ARGUMENT, "%s", reason);
    } else if (work->size - first - length != header->elements * header->width) {
        char shape[256];
        status = fail(work, CANYON_INVALID_ARGUMENT,
                      "its shape %s of %u-byte numbers needs %" PRIu64 " bytes of values, but it has %" PRIu64,
                      npy_shape_text(header->rank, header->dims, shape, sizeof shape), header->width,
                      header->elements * header->width, work->size - first - length);
    }
    free(dictionary);
    return status;
}

static enum canyon_status read_doubles(const struct work *work, float *values, uint64_t elements) {
    double chunk[CHUNK];
    for (uint64_t done = 0; done < elements;) {
        size_t count = elements - done < CHUNK ? (size_t)(elements - done) : CHUNK;
        if (fread(chunk, sizeof *chunk, count, work->file) != count) {
            return fail_read(work);
        }
        for (size_t i = 0; i < count; i++) {
            /* Checked before the conversion: beyond the range it is undefined in C. NaN and infinity pass as they are.
             */
            if (isfinite(chunk[i]) && fabs(chunk[i]) > (double)FLT_MAX) {
                return fail(work, CANYON_INVALID_ARGUMENT,
                            "element %" PRIu64 " is %.17g, beyond the range of float32 (%.9g)", done + i, chunk[i],
                            (double)FLT_MAX);
            }
            values[done + i] = (float)chunk[i];
        }
        done += count;
    }
    return CANYON_OK;
}

static enum canyon_status read_values(const struct work *work, const struct npy_header *header, struct npy *npy) {
    enum canyon_status status = CANYON_OK;
    npy->values = malloc(header->elements > 0 ? (size_t)header->elements * sizeof(float) : 1);
    if (npy->values == NULL) {
        return fail(work, CANYON_NO_MEMORY, "no memory for %" PRIu64 " values", header->elements);
    }
    if (header->width == 8) {
        status = read_doubles(work, npy->values, header->elements);
    } else if (fread(npy->values, sizeof(float), (size_t)header->elements, work->file) != header->elements) {
        status = fail_read(work);
    }
    return status;
}

/* The same in float64. */
static enum canyon_status read_wide(const struct work *work, const struct npy_header *header, struct npy *npy) {
    float chunk[CHUNK];
    size_t elements = (size_t)header->elements;
    npy->doubles =
        header->elements <= SIZE_MAX / sizeof(double) ? malloc(elements > 0 ? elements * sizeof(double) : 1) : NULL;
    if (npy->doubles == NULL) {
        return fail(work, CANYON_NO_MEMORY, "no memory for %" PRIu64 " values", header->elements);
    }
    if (header->width == 8) {
        return fread(npy->doubles, sizeof(double), elements, work->file) == elements ? CANYON_OK : fail_read(work);
    }
    for (size_t done = 0, count = 0; done < elements; done += count) {
        count = elements - done < CHUNK ? elements - done : CHUNK;
        if (fread(chunk, sizeof *chunk, count, work->file) != count) {
            return fail_read(work);
        }
        for (size_t i = 0; i < count; i++) {
            npy->doubles[done + i] = (double)chunk[i];
        }
    }
    return CANYON_OK;
}

static enum canyon_status read_file(const char *path, bool wide, struct npy *npy, char *text, size_t bytes) {
    struct work work = {.path = path, .text = text, .bytes = bytes};
    struct npy_header header;
    memset(npy, 0, sizeof *npy);
    enum canyon_status status = open_file(&work);
    if (status == CANYON_OK) {
        status = read_header(&work, &header);
    }
    if (status == CANYON_OK) {
        status = wide ? read_wide(&work, &header, npy) : read_values(&work, &header, npy);
    }
    if (status == CANYON_OK) {
        npy->rank = header.rank;
        npy->elements = header.elements;
        memcpy(npy->dims, header.dims, sizeof npy->dims);
    } else {
        npy_finish(npy);
    }
    if (work.file != NULL) {
        fclose(work.file);
    }
    return status;
}

enum canyon_status npy_read(const char *path, struct npy *npy, char *text, size_t bytes) {
    return read_file(path, false, npy, text, bytes);
}

enum canyon_status npy_read_doubles(const char *path, struct npy *npy, char *text, size_t bytes) {
    return read_file(path, true, npy, text, bytes);
}

void npy_finish(struct npy *npy) {
    if (npy != NULL) {
        free(npy->doubles);
        free(npy->values);
        memset(npy, 0, sizeof *npy);
    }
}

static bool write_all(const struct work *work, uint32_t rank, const uint64_t *dims, unsigned width,
                      const void *values) {
    char header[1024 + NPY_RANK * 24];
    uint64_t elements = 1;
    size_t length = npy_header_make(width, rank, dims, header, sizeof header);
    for (uint32_t i = 0; i < rank; i++) {
        elements *= dims[i];
    }
    return length > 0 && fwrite(header, 1, length, work->file) == length &&
           (elements == 0 || fwrite(values, width, (size_t)elements, work->file) == elements) &&
           fflush(work->file) == 0 && fsync(fileno(work->file)) == 0;
}

/* A name beside `path` that nobody has, opened for writing with the permissions a new file would have had. */
static enum canyon_status open_temporary(struct work *work, char *name, size_t name_bytes) {
    int descriptor = -1;
    for (unsigned attempt = 0; attempt < 100 && descriptor < 0; attempt++) {
        int length = snprintf(name, name_bytes, "%s.%ld.%u.tmp", work->path, (long)getpid(), attempt);
        if (length < 0 || (size_t)length >= name_bytes) {
            return fail(work, CANYON_INVALID_ARGUMENT, "the path is too long");
        }
        descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor < 0 && errno != EEXIST) {
            break;
        }
    }
    work->file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
    if (work->file == NULL) {
        enum canyon_status status = fail(work, CANYON_INVALID_ARGUMENT, "cannot write %s: %s", name, strerror(errno));
        if (descriptor >= 0) {
            close(descriptor);
            unlink(name);
        }
        return status;
    }
    return CANYON_OK;
}

static enum canyon_status write_file(const char *path, uint32_t rank, const uint64_t *dims, unsigned width,
                                     const void *values, char *text, size_t bytes) {
    struct work work = {.path = path, .text = text, .bytes = bytes};
    char name[4096];
    struct stat about;
    if (rank > NPY_RANK) {
        return fail(&work, CANYON_INVALID_ARGUMENT, "%u dimensions are too many; %d can be written", rank, NPY_RANK);
    }
    /* A device or a pipe would not be written to but replaced by a file. */
    if (stat(path, &about) == 0 && !S_ISREG(about.st_mode)) {
        return fail(&work, CANYON_INVALID_ARGUMENT, "it is there and is not a regular file; name another");
    }
    enum canyon_status status = open_temporary(&work, name, sizeof name);
    if (status != CANYON_OK) {
        return status;
    }
    if (!write_all(&work, rank, dims, width, values)) {
        status = fail(&work, CANYON_INTERNAL, "cannot write %s: %s", name, strerror(errno));
    }
    if (fclose(work.file) != 0 && status == CANYON_OK) {
        status = fail(&work, CANYON_INTERNAL, "cannot write %s: %s", name, strerror(errno));
    }
    if (status == CANYON_OK && rename(name, path) != 0) {
        status = fail(&work, CANYON_INVALID_ARGUMENT, "cannot put it in its place: %s", strerror(errno));
    }
    if (status != CANYON_OK) {
        unlink(name);
    }
    return status;
}

enum canyon_status npy_write(const char *path, uint32_t rank, const uint64_t *dims, const float *values, char *text,
                             size_t bytes) {
    return write_file(path, rank, dims, sizeof *values, values, text, bytes);
}

enum canyon_status npy_write_doubles(const char *path, uint32_t rank, const uint64_t *dims, const double *values,
                                     char *text, size_t bytes) {
    return write_file(path, rank, dims, sizeof *values, values, text, bytes);
}
