/* Secret memory: what the system says about its pages, what is left in it, and that cells stay apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "common/random.h"
#include "common/secret.h"
#include "seed.h"

#define CELLS 500

static bool all_are(const uint8_t *bytes, size_t count, uint8_t value) {
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != value) {
            return false;
        }
    }
    return true;
}

static void cells_are_zero_aligned_and_apart(void **state) {
    (void)state;
    uint64_t random = seed_begin("cells_are_zero_aligned_and_apart");
    const size_t before = secret_in_use();
    uint8_t *cells[CELLS] = {NULL};
    size_t bytes[CELLS] = {0};
    for (int round = 0; round < 20000; round++) {
        const size_t i = seed_below(&random, CELLS);
        if (cells[i] != NULL) {
            /* Nobody else wrote into it. */
            assert_true(all_are(cells[i], bytes[i], (uint8_t)(i + 1)));
            secret_free(cells[i]);
            cells[i] = NULL;
            continue;
        }
        bytes[i] = 1 + seed_below(&random, seed_below(&random, 4) == 0 ? SECRET_LIMIT_BYTES : 200);
        cells[i] = secret_alloc(bytes[i]);
        assert_non_null(cells[i]);
        assert_int_equal((uintptr_t)cells[i] % 64, 0);
        assert_true(all_are(cells[i], bytes[i], 0));
        memset(cells[i], (int)((i + 1) & 0xff), bytes[i]);
    }
    for (size_t i = 0; i < CELLS; i++) {
        secret_free(cells[i]);
    }
    secret_free(NULL);
    assert_int_equal(secret_in_use(), before);
}

static void counted_in_whole_cells(void **state) {
    (void)state;
    const size_t before = secret_in_use();
    void *one = secret_alloc(1), *most = secret_alloc(SECRET_LIMIT_BYTES);
    assert_non_null(one);
    assert_non_null(most);
    assert_int_equal(secret_in_use(), before + 64 + SECRET_LIMIT_BYTES);
    secret_free(one);
    assert_int_equal(secret_in_use(), before + SECRET_LIMIT_BYTES);
    secret_free(most);
    assert_int_equal(secret_in_use(), before);
}

static void wiped_when_given_back(void **state) {
    (void)state;
    uint8_t *stays = secret_alloc(64); /* so that the page does */
    uint8_t *cell = secret_alloc(640);
    assert_non_null(stays);
    assert_non_null(cell);
    memset(cell, 0xaa, 640);
    memset(stays, 0xbb, 64);
    secret_free(cell);
    assert_true(all_are(cell, 640, 0));
    assert_true(all_are(stays, 64, 0xbb));
    secret_free(stays);
}

/* Sanitizers make mlock do nothing and succeed, even where nothing is mapped. */
static bool locks_are_real(void) {
    const bool real = mlock(NULL, 4096) != 0;
    if (!real) {
        printf("SKIPPED: what is locked, since the sanitizer turns mlock off\n");
    }
    return real;
}

/* The flags that /proc/self/smaps has for the mapping of an address. */
static void flags_of(const void *address, char flags[256]) {
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[512];
    bool here = false;
    assert_non_null(file);
    flags[0] = '\0';
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned long long begin, end;
        if (sscanf(line, "%llx-%llx ", &begin, &end) == 2) {
            here = (uintptr_t)address >= begin && (uintptr_t)address < end;
        } else if (here && strncmp(line, "VmFlags:", 8) == 0) {
            snprintf(flags, 256, "%.*s", (int)strcspn(line + 8, "\n"), line + 8);
        }
    }
    fclose(file);
}

static void locked_undumped_and_not_inherited(void **state) {
    (void)state;
    uint8_t *cell = secret_alloc(64);
    char flags[256];
    assert_non_null(cell);
    flags_of(cell, flags);
    if (flags[0] == '\0') {
        printf("SKIPPED: this kernel does not tell a mapping's flags\n");
    } else {
        assert_non_null(strstr(flags, " dd"));
        assert_non_null(strstr(flags, " wf"));
        if (locks_are_real()) {
            assert_int_equal(strstr(flags, " lo") != NULL, secret_locked());
        }
    }
    secret_free(cell);
}

/* Runs `body` in a child; its exit status is the answer. */
static int in_child(int (*body)(void *cell), void *cell) {
    int status = -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        _exit(body(cell));
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int reads_zeroes(void *cell) {
    const bool zero = all_are(cell, 64, 0);
    secret_free(cell); /* the book-keeping is still right */
    void *again = secret_alloc(64);
    return zero && again != NULL ? 0 : 1;
}

static void zero_after_fork(void **state) {
    (void)state;
    uint8_t *cell = secret_alloc(64);
    assert_non_null(cell);
    memset(cell, 0x55, 64);
    assert_int_equal(in_child(reads_zeroes, cell), 0);
    assert_true(all_are(cell, 64, 0x55));
    secret_free(cell);
}

/* Where nothing more may be locked, cells come unlocked and secret_locked says so. */
static int without_locks(void *unused) {
    (void)unused;
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (getuid() == 0 && setuid(65534) != 0)) {
        return 2;
    }
    for (int i = 0; i < 20; i++) { /* more than one slab has */
        uint8_t *cell = secret_alloc(SECRET_LIMIT_BYTES);
        if (cell == NULL) {
            return 3;
        }
        memset(cell, 1, SECRET_LIMIT_BYTES);
    }
    return secret_locked() ? 4 : 0;
}

static void a_limit_on_locks_is_told(void **state) {
    (void)state;
    if (!locks_are_real()) {
        return;
    }
    int answer = in_child(without_locks, NULL);
    if (answer == 2) {
        printf("SKIPPED: the limit on locked memory cannot be changed here\n");
    } else {
        assert_int_equal(answer, 0);
    }
}

static void *allocate_and_free(void *argument) {
    uint8_t mark = *(uint8_t *)argument;
    for (int round = 0; round < 5000; round++) {
        uint8_t *cells[4];
        for (size_t i = 0; i < 4; i++) {
            cells[i] = secret_alloc(64 * (1 + (size_t)round % 19));
            if (cells[i] == NULL || !all_are(cells[i], 64, 0)) {
                return argument;
            }
            memset(cells[i], mark, 64 * (1 + (size_t)round % 19));
        }
        for (size_t i = 0; i < 4; i++) {
            if (!all_are(cells[i], 64 * (1 + (size_t)round % 19), mark)) {
                return argument;
            }
            secret_free(cells[i]);
        }
    }
    return NULL;
}

static void threads_share_the_pool(void **state) {
    (void)state;
    const size_t before = secret_in_use();
    pthread_t threads[4];
    uint8_t marks[4] = {1, 2, 3, 4};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_and_free, &marks[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *wrong = NULL;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    assert_int_equal(secret_in_use(), before);
}

static void wiping_and_comparing(void **state) {
    (void)state;
    uint8_t one[33], two[33];
    memset(one, 7, sizeof one);
    memset(two, 7, sizeof two);
    assert_true(secret_equal(one, two, sizeof one));
    assert_true(secret_equal(one, two, 0));
    for (size_t i = 0; i < sizeof one; i++) {
        two[i] ^= 0x80;
        assert_false(secret_equal(one, two, sizeof one));
        assert_true(secret_equal(one, two, i));
        two[i] ^= 0x80;
    }
    secret_wipe(one, 32);
    assert_true(all_are(one, 32, 0));
    assert_int_equal(one[32], 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_are_zero_aligned_and_apart),
        cmocka_unit_test(counted_in_whole_cells),
        cmocka_unit_test(wiped_when_given_back),
        cmocka_unit_test(locked_undumped_and_not_inherited),
        cmocka_unit_test(zero_after_fork),
        cmocka_unit_test(a_limit_on_locks_is_told),
        cmocka_unit_test(threads_share_the_pool),
        cmocka_unit_test(wiping_and_comparing),
    };
    struct error error;
    return random_start(&error) == CANYON_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
