/* Records of rows: their layout for every optimizer, that they stay apart and never move, and which places are dealt.
 */
#include "tests/unit/server/fixture.h"

#include "server/row_index.h"
#include "server/row_store.h"

static void records_are_as_stated(void **state) {
    (void)state;
    static const struct {
        const char *optimizer;
        size_t dim, record;
    } cases[] = {
        {"adam", 16, 192},
        {"adam", 1, 16},
        {"sgd", 1, 4},
        {"sgd", 2, 8},
        {"sgd", 3, 16},
        {"sgd", 16, 64},
        {"ftrl", 1, 16},
        {"ftrl", 8, 128},
        {"sgd", 17, 128},
        {"adam", 5, 64},
        {"adam", 6, 128},
        {"nadam", 16, 256},
        {"nadam", 1, 32},
        {"nadam", 2, 32},
        {"nadam", 13, 192},
        {"rowwise_adagrad", 16, 128},
        {"rowwise_adagrad", 15, 64},
        {"rowwise_adagrad", 1, 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct row_layout layout;
        row_layout_init(&layout, optimizer_find(cases[i].optimizer), cases[i].dim);
        if (layout.record != cases[i].record) {
            fail_msg("%s of dim %zu: a record of %zu bytes, expected %zu", cases[i].optimizer, cases[i].dim,
                     layout.record, cases[i].record);
        }
    }
}

/* Weights, slots and scalars of one record do not overlap, and lie within it. */
static void a_records_parts_stay_apart(void **state) {
    (void)state;
    static _Alignas(64) uint8_t memory[1 << 16], owner[1 << 16];
    for (size_t o = 0; o < optimizer_count(); o++) {
        for (size_t dim = 1; dim < 70; dim++) {
            struct row_layout layout;
            const struct optimizer *optimizer = optimizer_at(o);
            float *record = (float *)(void *)memory;
            row_layout_init(&layout, optimizer, dim);
            memset(owner, 0, layout.record);
            size_t parts = 1 + layout.slots + layout.scalars;
            for (size_t part = 0; part < parts; part++) {
                const void *at = part == 0 ? (void *)record
                                 : part <= layout.slots
                                     ? (void *)row_slot(&layout, record, part - 1)
                                     : (void *)(row_scalars(&layout, record) + part - 1 - layout.slots);
                size_t bytes = part == 0 ? dim * 4 : part > layout.slots ? 8 : optimizer->rows_only ? 4 : dim * 4;
                size_t offset = (size_t)((const uint8_t *)at - memory);
                assert_true(offset + bytes <= layout.record);
                assert_int_equal(offset % (part > layout.slots ? 8 : 4), 0);
                for (size_t i = 0; i < bytes; i++) {
                    assert_int_equal(owner[offset + i]++, 0);
                }
            }
            assert_int_equal(row_scalars(&layout, record) != NULL, optimizer->scalar_count > 0);
        }
    }
}

/* Every place has a record and marks of its own, whatever else comes and goes; memory stays near what rows need. */
static void places_stay_apart(void **state) {
    (void)state;
    enum { MOST = 30000 };
    static uint32_t places[MOST], marks[MOST];
    static const struct {
        const char *optimizer;
        size_t dim;
        uint32_t rows;
    } cases[] = {{"sgd", 1, MOST}, {"adam", 16, 20000}, {"adam", 1000, 900}, {"amsgrad", 16384, 30}};
    uint64_t seed = seed_begin("places_stay_apart");
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct pool *pool = pool_create(NULL);
        struct row_layout layout;
        struct row_store store;
        uint32_t count = 0;
        row_layout_init(&layout, optimizer_find(cases[c].optimizer), cases[c].dim);
        row_store_init(&store, pool, &layout);
        size_t last = layout.value_floats - 1;
        uint64_t room = row_store_room(&store, cases[c].rows);
        while (count < cases[c].rows) {
            uint64_t one = row_store_room(&store, 1), before = row_store_bytes(&store);
            bool reuses = store.free != ROW_NONE;
            uint32_t place = row_store_take(&store), mark = (uint32_t)seed_next(&seed);
            assert_in_range(place, 0, ROW_PLACES - 1);
            assert_int_equal((uintptr_t)row_store_at(&store, place) % (layout.record < 64 ? layout.record : 64), 0);
            assert_true(row_store_bytes(&store) == before + (reuses ? 0 : one));
            memcpy(row_store_at(&store, place) + last, &mark, sizeof mark);
            memcpy(row_store_at(&store, place), &mark, sizeof mark);
            *row_store_marks(&store, place) = (struct row_marks){mark, ~mark};
            places[count] = place;
            marks[count++] = mark;
            if (seed_below(&seed, 4) == 0) {
                uint32_t gone = (uint32_t)seed_below(&seed, count);
                row_store_give(&store, places[gone]);
                places[gone] = places[--count];
                marks[gone] = marks[count];
            }
        }
        for (uint32_t i = 0; i < count; i++) {
            assert_memory_equal(row_store_at(&store, places[i]), &marks[i], sizeof marks[i]);
            assert_memory_equal(row_store_at(&store, places[i]) + last, &marks[i], sizeof marks[i]);
            assert_int_equal(row_store_marks(&store, places[i])->step, marks[i]);
            assert_int_equal(row_store_marks(&store, places[i])->clock, (uint32_t)~marks[i]);
        }
        assert_true(row_store_bytes(&store) <= room);
        assert_true(row_store_bytes(&store) == pool_taken(pool));
        row_store_finish(&store);
        row_store_finish(&store);
        assert_int_equal(pool_taken(pool), 0);
        pool_destroy(pool);
    }
}

static void places_given_back_are_dealt_again(void **state) {
    (void)state;
    struct pool *pool = pool_create(NULL);
    struct row_layout layout;
    struct row_store store;
    uint32_t places[10];
    row_layout_init(&layout, optimizer_find("adam"), 16);
    row_store_init(&store, pool, &layout);
    for (uint32_t i = 0; i < 10; i++) {
        places[i] = row_store_take(&store);
        assert_int_equal(places[i], i);
    }
    row_store_give(&store, places[3]);
    row_store_give(&store, places[7]);
    assert_int_equal(row_store_take(&store), places[7]);
    assert_int_equal(row_store_take(&store), places[3]);
    assert_int_equal(row_store_take(&store), 10);
    row_store_finish(&store);
    pool_destroy(pool);
}

/* What a row costs beyond its record: its marks and what of chunks is not used. */
static void little_is_wasted(void **state) {
    (void)state;
    struct pool *pool = pool_create(NULL);
    struct row_layout layout;
    struct row_store store;
    double worst = 0;
    row_layout_init(&layout, optimizer_find("adam"), 16);
    row_store_init(&store, pool, &layout);
    for (uint32_t rows = 1; rows <= 300000; rows++) {
        assert_int_not_equal(row_store_take(&store), ROW_NONE);
        if (rows >= 30000) {
            double extra = ((double)row_store_bytes(&store) - (double)rows * (double)layout.record) / rows;
            worst = extra > worst ? extra : worst;
        }
    }
    printf("bytes a row beyond its record: at most %.2f\n", worst);
    assert_true(worst < 9.0);
    row_store_finish(&store);
    pool_destroy(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_as_stated), cmocka_unit_test(a_records_parts_stay_apart),
        cmocka_unit_test(places_stay_apart),     cmocka_unit_test(places_given_back_are_dealt_again),
        cmocka_unit_test(little_is_wasted),
    };
    return cmocka_run_group_tests_name("row store", tests, NULL, NULL);
}
