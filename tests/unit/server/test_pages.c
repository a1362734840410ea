/* Memory in huge pages: pieces that are aligned, apart, joined when they are given back, and returned to the system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "server/pages.h"
#include "tests/unit/common/seed.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

static void pieces_are_aligned_and_apart(void **state) {
    static const size_t sizes[] = {64, 4 * KIB, 16 * KIB, 16 * KIB + 64, 768 * KIB, 2 * MIB, 5 * MIB, 80 * MIB};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    struct pages *pages = pages_create();
    const struct memory *memory = pages_memory(pages);
    uint8_t *pieces[COUNT];
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        pieces[i] = memory_take(memory, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 64, 0);
        memset(pieces[i], (int)i + 1, sizes[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t at = 0; at < sizes[i]; at++) {
            if (pieces[i][at] != i + 1) {
                fail_msg("byte %zu of piece %zu is of another", at, i);
            }
        }
        memory_give(memory, pieces[i], sizes[i]);
    }
    uint8_t *large = memory_take(memory, 600 * MIB); /* more than a region */
    assert_non_null(large);
    large[0] = large[600 * MIB - 1] = 1;
    memory_give(memory, large, 600 * MIB);
    assert_int_equal(pages_used(pages), 0);
    pages_destroy(pages);
}

/* What was given back in any order is one piece again: nothing more is reserved for as much as there was. */
static void what_was_given_back_is_joined(void **state) {
    enum { COUNT = 512 };
    struct pages *pages = pages_create();
    const struct memory *memory = pages_memory(pages);
    void *pieces[COUNT];
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        pieces[i] = memory_take(memory, MIB);
        assert_non_null(pieces[i]);
    }
    size_t reserved = pages_reserved(pages);
    for (size_t i = 0; i < COUNT; i++) {
        memory_give(memory, pieces[i * 37 % COUNT], MIB); /* 37 and 512 have no common divisor: each once */
    }
    void *whole = memory_take(memory, COUNT * MIB);
    assert_non_null(whole);
    assert_int_equal(pages_reserved(pages), reserved);
    memory_give(memory, whole, COUNT * MIB);
    pages_destroy(pages);
}

static size_t resident(void) {
    unsigned long all = 0, there = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &all, &there), 2);
    fclose(file);
    return there * (size_t)sysconf(_SC_PAGESIZE);
}

static void memory_returns_to_the_system(void **state) {
    struct pages *pages = pages_create();
    const struct memory *memory = pages_memory(pages);
    (void)state;
    size_t before = resident();
    uint8_t *piece = memory_take(memory, 48 * MIB);
    assert_non_null(piece);
    memset(piece, 1, 48 * MIB);
    assert_true(resident() - before >= 48 * MIB);
    memory_give(memory, piece, 48 * MIB);
    assert_true(resident() < before + 8 * MIB);
    pages_destroy(pages);
}

static void what_cannot_be_had_is_null(void **state) {
    struct pages *pages = pages_create();
    (void)state;
    assert_null(pages_memory(pages)->take(pages, SIZE_MAX / 64 * 64));
    assert_null(memory_take(pages_memory(pages), (size_t)1 << 60));
    assert_int_equal(pages_used(pages), 0);
    pages_destroy(pages);
    pages_destroy(NULL);
}

/* Random pieces come and go; each keeps its mark from end to end, and all that is used is accounted for. */
static void random_pieces_keep_their_bytes(void **state) {
    enum { SLOTS = 40, ROUNDS = 4000 };
    uint64_t seed = seed_begin("random_pieces_keep_their_bytes");
    struct pages *pages = pages_create();
    const struct memory *memory = pages_memory(pages);
    uint64_t *pieces[SLOTS] = {NULL};
    size_t sizes[SLOTS] = {0};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        size_t slot = (size_t)seed_below(&seed, SLOTS);
        if (pieces[slot] != NULL) {
            size_t last = sizes[slot] / sizeof(uint64_t) - 1;
            assert_true(pieces[slot][0] == slot && pieces[slot][last] == slot);
            memory_give(memory, pieces[slot], sizes[slot]);
            pieces[slot] = NULL;
        } else {
            sizes[slot] = 64 * (1 + (size_t)seed_below(&seed, 20000));
            pieces[slot] = memory_take(memory, sizes[slot]);
            assert_non_null(pieces[slot]);
            pieces[slot][0] = slot;
            pieces[slot][sizes[slot] / sizeof(uint64_t) - 1] = slot;
        }
    }
    for (size_t slot = 0; slot < SLOTS; slot++) {
        memory_give(memory, pieces[slot], sizes[slot]);
    }
    assert_int_equal(pages_used(pages), 0);
    assert_true(pages_reserved(pages) <= 512 * MIB);
    pages_destroy(pages);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart),   cmocka_unit_test(what_was_given_back_is_joined),
        cmocka_unit_test(memory_returns_to_the_system),   cmocka_unit_test(what_cannot_be_had_is_null),
        cmocka_unit_test(random_pieces_keep_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
