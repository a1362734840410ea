/* Blocks cut from regions: aligned, apart from each other, and given back when they are free. */
#include "tests/unit/server/fixture.h"

#include "server/pages.h"
#include "server/pool.h"

/* Sixteen bytes at both ends of every block are its own: whatever else is written shows. */
struct held {
    uint8_t *block;
    size_t bytes;
    uint8_t mark;
};

static void mark(const struct held *held) {
    memset(held->block, held->mark, 16);
    memset(held->block + held->bytes - 16, held->mark, 16);
}

static void check(const struct held *held) {
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(held->block[i], held->mark);
        assert_int_equal(held->block[held->bytes - 1 - i], held->mark);
    }
}

static void blocks_stay_apart(void **state) {
    (void)state;
    enum { MOST = 400, ROUNDS = 20000 };
    static struct held held[MOST];
    uint64_t seed = seed_begin("blocks_stay_apart"), taken = 0;
    struct pages *pages = pages_create();
    struct pool *pool = pool_create(pages_memory(pages));
    size_t count = 0;
    assert_non_null(pool);
    for (size_t round = 0; round < ROUNDS; round++) {
        bool grows = count == 0 || (count < MOST && seed_below(&seed, 5) < (round / 1000 % 2 == 0 ? 3u : 2u));
        if (grows) {
            struct held new = {.bytes = POOL_LEAST << seed_below(&seed, 10), .mark = (uint8_t)seed_next(&seed)};
            if (seed_below(&seed, 2) == 0) { /* any number of pages, few more often */
                new.bytes = POOL_LEAST *(1 + seed_below(&seed, new.bytes / POOL_LEAST));
            }
            new.block = pool_take(pool, new.bytes);
            assert_non_null(new.block);
            assert_int_equal((uintptr_t) new.block % 64, 0);
            mark(&new);
            held[count++] = new;
            taken += new.bytes;
        } else {
            size_t at = (size_t)seed_below(&seed, count);
            check(&held[at]);
            pool_give(pool, held[at].block, held[at].bytes);
            taken -= held[at].bytes;
            held[at] = held[--count];
        }
        assert_int_equal(pool_taken(pool), taken);
        assert_true(pool_held(pool) >= taken);
    }
    while (count > 0) {
        check(&held[--count]);
        pool_give(pool, held[count].block, held[count].bytes);
    }
    assert_int_equal(pool_taken(pool), 0);
    assert_int_equal(pool_held(pool), 0);
    assert_int_equal(pages_used(pages), 0);
    pool_destroy(pool);
    pages_destroy(pages);
}

/* Blocks of any one size fill regions but for what is too short for one more, and what is cut up becomes whole again.
 */
static void little_is_lost_between_blocks(void **state) {
    (void)state;
    static const size_t pages[] = {1, 2, 3, 6, 7, 12, 24, 48};
    enum { MOST = 3 * 512 };
    static void *blocks[MOST];
    for (size_t p = 0; p < sizeof pages / sizeof pages[0]; p++) {
        const size_t bytes = pages[p] * POOL_LEAST, each = POOL_MOST / bytes, count = 3 * each;
        struct pool *pool = pool_create(NULL);
        for (size_t i = 0; i < count; i++) {
            blocks[i] = pool_take(pool, bytes);
        }
        assert_int_equal(pool_held(pool), 3 * POOL_MOST);
        for (size_t i = 0; i < count; i += 2) {
            pool_give(pool, blocks[i], bytes);
        }
        for (size_t i = 0; i < count; i += 2) {
            blocks[i] = pool_take(pool, bytes);
        }
        assert_int_equal(pool_held(pool), 3 * POOL_MOST);
        for (size_t i = 0; i < count; i++) {
            pool_give(pool, blocks[i], bytes);
        }
        assert_int_equal(pool_held(pool), 0);
        pool_give(pool, NULL, POOL_LEAST);
        pool_destroy(pool);
    }
    pool_destroy(NULL);
}

/* As tables do it: many grow side by side by 24 KiB, and by 4 KiB of what they give back later. */
static void growth_side_by_side_wastes_little(void **state) {
    (void)state;
    enum { TABLES = 64, STEPS = 120, KEEP = 30 };
    static void *large[TABLES][STEPS], *small[TABLES][STEPS];
    struct pool *pool = pool_create(NULL);
    for (size_t step = 0; step < STEPS; step++) {
        for (size_t table = 0; table < TABLES; table++) {
            large[table][step] = pool_take(pool, 6 * POOL_LEAST);
            small[table][step] = pool_take(pool, POOL_LEAST);
            if (step >= KEEP) {
                pool_give(pool, small[table][step - KEEP], POOL_LEAST);
            }
        }
    }
    double held = (double)pool_held(pool), taken = (double)pool_taken(pool);
    printf("%.1f %% of what is held is not taken\n", 100.0 * (held - taken) / held);
    assert_true(held <= 1.03 * taken);
    for (size_t table = 0; table < TABLES; table++) {
        for (size_t step = 0; step < STEPS; step++) {
            pool_give(pool, large[table][step], 6 * POOL_LEAST);
            if (step + KEEP >= STEPS) {
                pool_give(pool, small[table][step], POOL_LEAST);
            }
        }
    }
    pool_destroy(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_stay_apart),
        cmocka_unit_test(little_is_lost_between_blocks),
        cmocka_unit_test(growth_side_by_side_wastes_little),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
