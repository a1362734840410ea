/* Row arrays: every element is its own, where it was, whatever the size; and little is taken that is not used. */
#include "tests/unit/server/fixture.h"

#include "server/row_array.h"

static void elements_stay_apart(void **state) {
    (void)state;
    static const struct {
        size_t element;
        uint32_t count;
    } cases[] = {{4, 3000000},  {8, 1000000}, {16, 400000}, {32, 400000}, {64, 200000},
                 {192, 150000}, {320, 60000}, {4096, 3000}, {12352, 900}, {327680, 20}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        const size_t element = cases[c].element, alignment = element < 64 ? element : 64;
        struct pool *pool = pool_create(NULL);
        struct row_array array;
        double waste = 0;
        row_array_init(&array, pool, element);
        for (uint32_t i = 0; i < cases[c].count; i++) {
            if (i == array.elements) {
                uint64_t bytes = array.bytes + row_array_room(&array, 1);
                assert_true(row_array_grow(&array));
                assert_true(array.bytes == bytes && array.elements > i);
                double share = (double)(array.bytes - i * (uint64_t)element) / (double)array.bytes;
                waste = array.count > 300 && share > waste ? share : waste;
            }
            uint8_t *at = row_array_at(&array, i);
            assert_int_equal((uintptr_t)at % alignment, 0);
            memcpy(at, &i, sizeof i); /* both ends */
            memcpy(at + element - sizeof i, &i, sizeof i);
        }
        for (uint32_t i = 0; i < cases[c].count; i++) {
            const uint8_t *at = row_array_at(&array, i);
            assert_memory_equal(at, &i, sizeof i);
            assert_memory_equal(at + element - sizeof i, &i, sizeof i);
        }
        assert_true(array.bytes == array.elements * element && array.bytes == pool_taken(pool));
        assert_true(waste <= 1.0 / 256);
        row_array_finish(&array);
        row_array_finish(&array);
        assert_int_equal(pool_taken(pool), 0);
        pool_destroy(pool);
    }
}

/* What was said before is what is taken, at any number of elements at once. */
static void room_is_told_exactly(void **state) {
    (void)state;
    uint64_t seed = seed_begin("room_is_told_exactly");
    struct pool *pool = pool_create(NULL);
    struct row_array array;
    row_array_init(&array, pool, 192);
    assert_int_equal(row_array_room(&array, 0), 0);
    while (array.elements < 400000) {
        uint64_t more = seed_below(&seed, 20000) + 1, before = array.bytes, elements = array.elements;
        uint64_t room = row_array_room(&array, more);
        while (array.elements < elements + more) {
            assert_true(row_array_grow(&array));
        }
        assert_true(array.bytes == before + room);
    }
    /* Far beyond what can be had, in no time. */
    assert_true(row_array_room(&array, UINT64_C(1) << 40) >= UINT64_C(192) << 40);
    row_array_finish(&array);
    pool_destroy(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_stay_apart),
        cmocka_unit_test(room_is_told_exactly),
    };
    return cmocka_run_group_tests_name("row array", tests, NULL, NULL);
}
