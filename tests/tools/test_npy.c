/* NumPy files: round trips, files as NumPy writes them, and every kind of damaged one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/tools/npy.h"
#include "client/tools/npy_header.h"

static char directory[64];
static char path[96];

static int make_directory(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/canyon-npy-XXXXXX");
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/x.npy", directory);
    return 0;
}

static int remove_directory(void **state) {
    (void)state;
    unlink(path);
    return rmdir(directory);
}

static size_t files_in_directory(void) {
    size_t count = 0;
    DIR *open = opendir(directory);
    assert_non_null(open);
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        count += entry->d_name[0] != '.';
    }
    closedir(open);
    return count;
}

static void write_bytes(const void *bytes, size_t length) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

/* A file with this version, dictionary (padded as NumPy does) and values. */
static size_t make_file(unsigned char *file, unsigned char version, const char *dictionary, const void *values,
                        size_t value_bytes) {
    size_t preamble = version == 1 ? 10 : 12, length = strlen(dictionary);
    size_t total = (preamble + length + 1 + 63) / 64 * 64;
    memcpy(file, "\x93NUMPY", 6);
    file[6] = version;
    file[7] = 0;
    for (size_t i = 8; i < preamble; i++) {
        file[i] = (unsigned char)((total - preamble) >> (8 * (i - 8)));
    }
    memcpy(file + preamble, dictionary, length);
    memset(file + preamble + length, ' ', total - preamble - length);
    file[total - 1] = '\n';
    if (value_bytes > 0) {
        memcpy(file + total, values, value_bytes);
    }
    return total + value_bytes;
}

/* Writes such a file, reads it, and expects a refusal with these words. */
static void refuse(unsigned char version, const char *dictionary, size_t value_bytes, const char *says) {
    static const unsigned char zeros[256];
    unsigned char file[4096];
    char text[NPY_TEXT_BYTES];
    struct npy npy;
    print_message("%s\n", dictionary);
    write_bytes(file, make_file(file, version, dictionary, zeros, value_bytes));
    assert_int_equal(npy_read(path, &npy, text, sizeof text), CANYON_INVALID_ARGUMENT);
    assert_null(npy.values);
    if (strstr(text, says) == NULL || strstr(text, path) == NULL) {
        fail_msg("'%s' does not say '%s'", text, says);
    }
}

static void round_trip(uint32_t rank, const uint64_t *dims, uint64_t elements) {
    char text[NPY_TEXT_BYTES];
    struct npy npy;
    float *values = calloc(elements + 1, sizeof *values);
    assert_non_null(values);
    for (uint64_t i = 0; i < elements; i++) {
        values[i] = (float)i * 0.37f - 5.0f;
    }
    assert_int_equal(npy_write(path, rank, dims, values, text, sizeof text), CANYON_OK);
    assert_int_equal(npy_read(path, &npy, text, sizeof text), CANYON_OK);
    assert_int_equal(npy.rank, rank);
    assert_int_equal(npy.elements, elements);
    for (uint32_t i = 0; i < rank; i++) {
        assert_int_equal(npy.dims[i], dims[i]);
    }
    assert_memory_equal(npy.values, values, elements * sizeof *values + (elements == 0));
    assert_int_equal(files_in_directory(), 1);
    npy_finish(&npy);
    free(values);
}

static void test_round_trips(void **state) {
    (void)state;
    const uint64_t matrix[] = {3, 4}, vector[] = {100000}, cube[] = {2, 1, 5, 3, 1, 1, 1, 2};
    round_trip(2, matrix, 12);
    round_trip(1, vector, 100000);
    round_trip(8, cube, 60);
    round_trip(0, NULL, 1);
}

/* Numbers that float32 would round stay as they are; a float32 file is read too. */
static void test_doubles(void **state) {
    (void)state;
    const uint64_t dims[] = {4};
    const double values[] = {1e15 - 1, 0.1, -1e300, 5e-324};
    const float narrow[] = {0.1f, 2, -3, 0};
    char text[NPY_TEXT_BYTES];
    struct npy npy;
    assert_int_equal(npy_write_doubles(path, 1, dims, values, text, sizeof text), CANYON_OK);
    assert_int_equal(npy_read_doubles(path, &npy, text, sizeof text), CANYON_OK);
    assert_null(npy.values);
    assert_int_equal(npy.elements, 4);
    assert_memory_equal(npy.doubles, values, sizeof values);
    npy_finish(&npy);
    assert_int_equal(npy_read(path, &npy, text, sizeof text), CANYON_INVALID_ARGUMENT); /* beyond float32 */
    assert_int_equal(npy_write(path, 1, dims, narrow, text, sizeof text), CANYON_OK);
    assert_int_equal(npy_read_doubles(path, &npy, text, sizeof text), CANYON_OK);
    for (size_t i = 0; i < 4; i++) {
        assert_true(npy.doubles[i] == (double)narrow[i]);
    }
    npy_finish(&npy);
}

static void test_no_elements(void **state) {
    (void)state;
    const uint64_t dims[] = {0, 5};
    char text[NPY_TEXT_BYTES];
    struct npy npy;
    assert_int_equal(npy_write(path, 2, dims, NULL, text, sizeof text), CANYON_OK);
    assert_int_equal(npy_read(path, &npy, text, sizeof text), CANYON_OK);
    assert_int_equal(npy.elements, 0);
    assert_int_equal(npy.dims[1], 5);
    npy_finish(&npy);
}

/* The bytes that the format's description asks for, and numpy.save writes. */
static void test_written_bytes(void **state) {
    (void)state;
    const uint64_t dims[] = {2, 3};
    const float values[] = {1, 2, 3, 4, 5, 6};
    unsigned char file[256];
    char text[NPY_TEXT_BYTES];
    assert_int_equal(npy_write(path, 2, dims, values, text, sizeof text), CANYON_OK);
    FILE *open = fopen(path, "rb");
    assert_non_null(open);
    size_t length = fread(file, 1, sizeof file, open);
    fclose(open);
    assert_int_equal(length, 128 + sizeof values);
    assert_memory_equal(file, "\x93NUMPY\x01\x00\x76\x00", 10);
    const char *dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    assert_memory_equal(file + 10, dictionary, strlen(dictionary));
    assert_int_equal(file[127], '\n');
    assert_memory_equal(file + 128, "\x00\x00\x80\x3f\x00\x00\x00\x40", 8);
}

static void test_files_as_numpy_writes_them(void **state) {
    (void)state;
    static const float values[] = {1.5f, -2.0f, 0.0f};
    static const char *const dictionaries[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
        "{\"shape\": (3,), \"fortran_order\": False, \"descr\": \"<f4\"}",
        "{'descr':'<f4','fortran_order':True,'shape':(3,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1), }",
    };
    unsigned char file[1024];
    char text[NPY_TEXT_BYTES];
    struct npy npy;
    for (size_t i = 0; i < sizeof dictionaries / sizeof *dictionaries; i++) {
        for (unsigned char version = 1; version <= 2; version++) {
            write_bytes(file, make_file(file, version, dictionaries[i], values, sizeof values));
            assert_int_equal(npy_read(path, &npy, text, sizeof text), CANYON_OK);
            assert_int_equal(npy.elements, 3);
            assert_int_equal(npy.rank, i == 3 ? 2 : 1);
            assert_memory_equal(npy.values, values, sizeof values);
            npy_finish(&npy);
        }
    }
}

static void test_doubles_are_converted(void **state) {
    (void)state;
    const double values[] = {0.1, -1e-60, (double)FLT_MAX, (double)INFINITY, (double)NAN};
    unsigned char file[1024];
    char text[NPY_TEXT_BYTES];
    struct npy npy;
    write_bytes(file,
                make_file(file, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (5,), }", values, sizeof values));
    assert_int_equal(npy_read(path, &npy, text, sizeof text), CANYON_OK);
    assert_true(npy.values[0] == 0.1f);
    assert_true(npy.values[1] == 0.0f);
    assert_true(npy.values[2] == FLT_MAX);
    assert_true(isinf(npy.values[3]) && isnan(npy.values[4]));
    npy_finish(&npy);
}

static void test_doubles_beyond_float(void **state) {
    (void)state;
    double values[9000] = {0};
    static unsigned char file[sizeof values + 1024];
    char text[NPY_TEXT_BYTES];
    struct npy npy;
    values[8999] = -1e39;
    write_bytes(file, make_file(file, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (9000,), }", values,
                                sizeof values));
    assert_int_equal(npy_read(path, &npy, text, sizeof text), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(text, "element 8999"));
    assert_non_null(strstr(text, "float32"));
}

static void test_other_kinds_are_refused(void **state) {
    (void)state;
    refuse(1, "{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }", 12, "'<i4'");
    refuse(1, "{'descr': '>f4', 'fortran_order': False, 'shape': (3,), }", 12, "astype");
    refuse(1, "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", 12, "'|O'");
    refuse(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }", 12, "records");
    refuse(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 1), }", 12, "column-major");
    refuse(3, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 12, "version 3.0");
}

static void test_damaged_headers(void **state) {
    (void)state;
    static const char *const headers[] = {
        "",
        "[]",
        "{",
        "{}",
        "{'descr': '<f4', 'fortran_order': False, }",
        "{'descr': '<f4', 'shape': (3,), }",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (3,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 3, }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3 1), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), ",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), } x",
        "{'descr': '<f4', 'fortran_order': False 'shape': (3,), }",
        "{'descr': '<f4",
        "{'descr' '<f4', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<f4\x01', 'fortran_order': False, 'shape': (3,), }",
        "{'a very long key that nobody ever wrote into such a file': 1, }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616,), }",
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        refuse(1, headers[i], 12, "damaged");
    }
    refuse(1,
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
           "1,1,1,1,1,1), }",
           4, "dimensions");
}

static void test_sizes_that_lie(void **state) {
    (void)state;
    refuse(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 11, "needs 12 bytes");
    refuse(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 13, "needs 12 bytes");
    refuse(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }", 12, "needs 24 bytes");
    refuse(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }", 12, "needs 4000000000000 bytes");
    refuse(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 0, "too many elements");
    refuse(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808, 2), }", 0, "too many elements");
    refuse(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693952,), }", 0, "too many elements");
    refuse(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808, 0), }", 4, "needs 0 bytes");
}

static void test_header_lengths_that_lie(void **state) {
    (void)state;
    unsigned char file[64] = "\x93NUMPY\x02\x00\xff\xff\xff\xff{}";
    char text[NPY_TEXT_BYTES];
    struct npy npy;
    write_bytes(file, sizeof file);
    assert_int_equal(npy_read(path, &npy, text, sizeof text), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(text, "claims 4294967295 bytes"));
    memcpy(file, "\x93NUMPY\x01\x00\x37\x00", 10); /* one byte more than there is */
    write_bytes(file, sizeof file);
    assert_int_equal(npy_read(path, &npy, text, sizeof text), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(text, "claims 55 bytes"));
}

static void test_every_truncation_is_refused(void **state) {
    (void)state;
    const float values[] = {1, 2, 3};
    unsigned char file[512];
    char text[NPY_TEXT_BYTES];
    struct npy npy;
    for (unsigned char version = 1; version <= 2; version++) {
        size_t length = make_file(file, version, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", values,
                                  sizeof values);
        for (size_t cut = 0; cut < length; cut++) {
            write_bytes(file, cut);
            assert_int_equal(npy_read(path, &npy, text, sizeof text), CANYON_INVALID_ARGUMENT);
            assert_null(npy.values);
        }
    }
}

static void test_files_that_are_not_there(void **state) {
    (void)state;
    char text[NPY_TEXT_BYTES];
    struct npy npy;
    const float value = 1;
    assert_int_equal(npy_read("/nonexistent/x.npy", &npy, text, sizeof text), CANYON_NOT_FOUND);
    assert_non_null(strstr(text, strerror(ENOENT)));
    assert_int_equal(npy_read(directory, &npy, text, sizeof text), CANYON_INVALID_ARGUMENT);
    assert_int_equal(npy_write("/nonexistent/x.npy", 0, NULL, &value, text, sizeof text), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(text, "/nonexistent/x.npy"));
    assert_int_equal(npy_write("/tmp", 0, NULL, &value, text, sizeof text), CANYON_INVALID_ARGUMENT);
    /* What is not a file is left as it is, and not waited for. */
    struct stat about;
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(npy_write(path, 0, NULL, &value, text, sizeof text), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(text, "not a regular file"));
    assert_int_equal(npy_read(path, &npy, text, sizeof text), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(text, "not a regular file"));
    assert_int_equal(stat(path, &about), 0);
    assert_true(S_ISFIFO(about.st_mode));
    assert_int_equal(unlink(path), 0);
}

/* A limit on the size of files stands for a full disk. */
static void test_a_full_disk_leaves_the_old_file(void **state) {
    (void)state;
    char text[NPY_TEXT_BYTES];
    const uint64_t dims[] = {100000};
    float *values = calloc(dims[0], sizeof *values);
    struct npy npy;
    struct rlimit before, small;
    assert_non_null(values);
    round_trip(0, NULL, 1);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum canyon_status status = npy_write(path, 1, dims, values, text, sizeof text);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, CANYON_INTERNAL);
    assert_non_null(strstr(text, strerror(EFBIG)));
    assert_int_equal(files_in_directory(), 1);
    assert_int_equal(npy_read(path, &npy, text, sizeof text), CANYON_OK);
    assert_int_equal(npy.rank, 0);
    npy_finish(&npy);
    npy_finish(&npy);
    npy_finish(NULL);
    free(values);
}

/* Whatever is changed in a header, the parser answers and stays inside it (the sanitizers watch). */
static void test_random_damage(void **state) {
    (void)state;
    static const char good[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }     \n";
    static const char letters[] = "{}()[]',:<>f4f8 0123456789TrueFalse\n\"\\\xff";
    const char *given = getenv("CANYON_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("CANYON_SEED=%u\n", seed);
    srandom(seed);
    for (int round = 0; round < 20000; round++) {
        struct npy_header header;
        char text[NPY_TEXT_BYTES];
        size_t length = (size_t)random() % sizeof good;
        char *copy = malloc(length + 1);
        assert_non_null(copy);
        memcpy(copy, good, length);
        for (long changes = random() % 4; changes > 0 && length > 0; changes--) {
            copy[(size_t)random() % length] = letters[(size_t)random() % (sizeof letters - 1)];
        }
        char *exact = realloc(copy, length > 0 ? length : 1);
        assert_non_null(exact);
        if (npy_header_parse(exact, length, &header, text, sizeof text)) {
            assert_true(header.width == 4 || header.width == 8);
            assert_true(header.rank <= NPY_RANK);
        }
        free(exact);
    }
}

static void test_shape_text(void **state) {
    (void)state;
    const uint64_t dims[] = {3, 4, 5};
    char text[32];
    assert_string_equal(npy_shape_text(0, NULL, text, sizeof text), "()");
    assert_string_equal(npy_shape_text(1, dims, text, sizeof text), "(3,)");
    assert_string_equal(npy_shape_text(3, dims, text, sizeof text), "(3, 4, 5)");
    assert_string_equal(npy_shape_text(3, dims, text, 6), "(3, 4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_no_elements),
        cmocka_unit_test(test_written_bytes),
        cmocka_unit_test(test_files_as_numpy_writes_them),
        cmocka_unit_test(test_doubles_are_converted),
        cmocka_unit_test(test_doubles_beyond_float),
        cmocka_unit_test(test_other_kinds_are_refused),
        cmocka_unit_test(test_damaged_headers),
        cmocka_unit_test(test_sizes_that_lie),
        cmocka_unit_test(test_header_lengths_that_lie),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_files_that_are_not_there),
        cmocka_unit_test(test_a_full_disk_leaves_the_old_file),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_shape_text),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
