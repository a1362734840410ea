/* Row keys: the cipher's published vector, and that vectors of any width, single words and the way back agree. */
#include "tests/unit/server/fixture.h"

#include "server/rowkey.h"

/* Beaulieu et al. 2013, appendix C, Speck64/128. */
static void the_published_vector(void **state) {
    (void)state;
    static const uint8_t secret[ROWKEY_SECRET_BYTES] = {0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0a, 0x0b,
                                                        0x10, 0x11, 0x12, 0x13, 0x18, 0x19, 0x1a, 0x1b};
    uint64_t ids[70], keys[70];
    struct rowkey rowkey;
    rowkey_init(&rowkey, secret);
    for (size_t i = 0; i < 70; i++) {
        ids[i] = UINT64_C(0x3b7265747475432d);
    }
    for (size_t count = 1; count <= 70; count++) {
        memset(keys, 0, sizeof keys);
        rowkey_of(&rowkey, ids, count, keys);
        for (size_t i = 0; i < 70; i++) {
            assert_true(keys[i] == (i < count ? UINT64_C(0x8c6fa548454e028b) : 0));
        }
    }
    assert_true(rowkey_id(&rowkey, UINT64_C(0x8c6fa548454e028b)) == UINT64_C(0x3b7265747475432d));
}

/* One by one and in any batch, in place too, whatever the instruction set of this run. */
static void batches_and_the_way_back(void **state) {
    (void)state;
    enum { COUNT = 500 };
    uint64_t seed = seed_begin("batches_and_the_way_back"), ids[COUNT], keys[COUNT], single;
    for (unsigned round = 0; round < 20; round++) {
        uint8_t secret[ROWKEY_SECRET_BYTES];
        struct rowkey rowkey;
        for (size_t i = 0; i < sizeof secret; i++) {
            secret[i] = (uint8_t)seed_next(&seed);
        }
        rowkey_init(&rowkey, secret);
        for (size_t i = 0; i < COUNT; i++) {
            ids[i] = i % 3 == 0 ? i : seed_next(&seed);
        }
        size_t count = (size_t)seed_below(&seed, COUNT);
        memcpy(keys, ids, sizeof keys);
        rowkey_of(&rowkey, keys, count, keys);
        for (size_t i = 0; i < COUNT; i++) {
            rowkey_of(&rowkey, &ids[i], 1, &single);
            assert_true(keys[i] == (i < count ? single : ids[i]));
            assert_true(rowkey_id(&rowkey, single) == ids[i]);
        }
    }
}

/* Consecutive ids fall everywhere: of 2^16 of them, each sixteenth of the keys has its share. */
static void neighbours_scatter(void **state) {
    (void)state;
    enum { COUNT = 1 << 16 };
    static const uint8_t secrets[2][ROWKEY_SECRET_BYTES] = {{0}, {1}};
    static uint64_t ids[COUNT], keys[2][COUNT];
    for (size_t s = 0; s < 2; s++) {
        size_t shares[16] = {0};
        struct rowkey rowkey;
        rowkey_init(&rowkey, secrets[s]);
        for (size_t i = 0; i < COUNT; i++) {
            ids[i] = i;
        }
        rowkey_of(&rowkey, ids, COUNT, keys[s]);
        for (size_t i = 0; i < COUNT; i++) {
            shares[keys[s][i] >> 60]++;
        }
        for (size_t i = 0; i < 16; i++) {
            assert_in_range(shares[i], COUNT / 16 - 400, COUNT / 16 + 400); /* more than six deviations */
        }
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(keys[0][i] != keys[1][i]); /* another secret, other keys */
    }
}

/* From here on with the best instruction set of this machine; before, with the baseline. */
static int start(void **state) {
    (void)state;
    optimizer_start();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_vector),
        cmocka_unit_test(batches_and_the_way_back),
        cmocka_unit_test_setup(the_published_vector, start),
        cmocka_unit_test(batches_and_the_way_back),
        cmocka_unit_test(neighbours_scatter),
    };
    return cmocka_run_group_tests_name("rowkey", tests, NULL, NULL);
}
