/* Shapes: products at every boundary where an integer could overflow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/tensor.h"
#include "seed.h"

/* Around the powers of two where 32-bit, signed and unsigned 64-bit products and the limit turn over. */
static const uint64_t edges[] = {0,
                                 1,
                                 2,
                                 3,
                                 (1ull << 16) - 1,
                                 1ull << 16,
                                 (1ull << 16) + 1,
                                 (1ull << 20),
                                 (1ull << 31) - 1,
                                 1ull << 31,
                                 (1ull << 31) + 1,
                                 (1ull << 32) - 1,
                                 1ull << 32,
                                 (1ull << 32) + 1,
                                 LIMIT_ELEMENTS - 1,
                                 LIMIT_ELEMENTS,
                                 LIMIT_ELEMENTS + 1,
                                 (1ull << 63) - 1,
                                 1ull << 63,
                                 (1ull << 63) + 1,
                                 UINT64_MAX};
#define EDGES (sizeof edges / sizeof edges[0])

/* The rule in arithmetic that cannot overflow for three dims: each is at most the limit before the next is multiplied.
 */
static enum canyon_status expected(const struct shape *shape, uint64_t *elements) {
    __extension__ typedef unsigned __int128 wide;
    wide product = 1;
    bool empty = false;
    for (uint32_t i = 0; i < shape->rank; i++) {
        if (shape->dims[i] == 0) {
            empty = true;
            continue;
        }
        product *= shape->dims[i];
        if (product > LIMIT_ELEMENTS) {
            return CANYON_TOO_LARGE;
        }
    }
    *elements = empty ? 0 : (uint64_t)product;
    return CANYON_OK;
}

static void check(const struct shape *shape) {
    uint64_t want = 77, got = 77;
    struct error error;
    enum canyon_status status = expected(shape, &want);
    assert_int_equal(shape_elements(shape, &got, &error), status);
    assert_int_equal(got, want);
}

static void grid_of_edges(void **state) {
    (void)state;
    for (size_t a = 0; a < EDGES; a++) {
        check(&(struct shape){.rank = 1, .dims = {edges[a]}});
        for (size_t b = 0; b < EDGES; b++) {
            check(&(struct shape){.rank = 2, .dims = {edges[a], edges[b]}});
            for (size_t c = 0; c < EDGES; c++) {
                check(&(struct shape){.rank = 3, .dims = {edges[a], edges[b], edges[c]}});
            }
        }
    }
}

/* Products that wrap to something small: 2^32 * 2^32, (2^32+1)*(2^32-1)+..., 8 dims of 2^8 and of 2^16. */
static void products_that_wrap(void **state) {
    (void)state;
    uint64_t elements;
    struct error error;
    struct shape wraps_to_zero = {.rank = 2, .dims = {1ull << 32, 1ull << 32}};
    assert_int_equal(shape_elements(&wraps_to_zero, &elements, &error), CANYON_TOO_LARGE);
    assert_non_null(strstr(error.text, "[4294967296, 4294967296]"));
    assert_non_null(strstr(error.text, "1099511627776"));
    struct shape wraps_to_one = {.rank = 2, .dims = {0xaaaaaaaaaaaaaaabu, 3}};
    assert_int_equal(shape_elements(&wraps_to_one, &elements, NULL), CANYON_TOO_LARGE);
    struct shape eight = {.rank = 8, .dims = {256, 256, 256, 256, 256, 1, 1, 1}};
    assert_int_equal(shape_elements(&eight, &elements, NULL), CANYON_OK);
    assert_int_equal(elements, LIMIT_ELEMENTS);
    eight.dims[7] = 2;
    assert_int_equal(shape_elements(&eight, &elements, NULL), CANYON_TOO_LARGE);
    for (uint32_t i = 0; i < 8; i++) {
        eight.dims[i] = 1u << 16;
    }
    assert_int_equal(shape_elements(&eight, &elements, NULL), CANYON_TOO_LARGE);
}

/* The verdict does not depend on the order of the dims. */
static void order_does_not_matter(void **state) {
    (void)state;
    uint64_t random = seed_begin("order_does_not_matter");
    for (int round = 0; round < 5000; round++) {
        struct shape shape = {.rank = (uint32_t)seed_below(&random, LIMIT_RANK + 1)};
        for (uint32_t i = 0; i < shape.rank; i++) {
            shape.dims[i] = seed_next(&random) >> (40 + seed_below(&random, 24));
        }
        struct shape reversed = {.rank = shape.rank};
        for (uint32_t i = 0; i < shape.rank; i++) {
            reversed.dims[i] = shape.dims[shape.rank - 1 - i];
        }
        uint64_t one = 5, other = 5;
        assert_int_equal(shape_elements(&shape, &one, NULL), shape_elements(&reversed, &other, NULL));
        assert_int_equal(one, other);
        check(&shape);
    }
}

static void scalars_and_ranks(void **state) {
    (void)state;
    uint64_t elements = 0;
    struct shape scalar = {.rank = 0};
    assert_int_equal(shape_elements(&scalar, &elements, NULL), CANYON_OK);
    assert_int_equal(elements, 1);
    struct shape nine = {.rank = LIMIT_RANK + 1};
    assert_int_equal(shape_elements(&nine, &elements, NULL), CANYON_INVALID_ARGUMENT);
}

static void equality(void **state) {
    (void)state;
    struct shape one = {.rank = 2, .dims = {3, 4, 99}}, same = {.rank = 2, .dims = {3, 4, 100}};
    struct shape longer = {.rank = 3, .dims = {3, 4, 99}}, turned = {.rank = 2, .dims = {4, 3}};
    assert_true(shape_equal(&one, &same));
    assert_false(shape_equal(&one, &longer));
    assert_false(shape_equal(&one, &turned));
}

static void texts(void **state) {
    (void)state;
    char text[256], small[6];
    assert_string_equal(shape_text(&(struct shape){.rank = 0}, text, sizeof text), "[]");
    assert_string_equal(shape_text(&(struct shape){.rank = 2, .dims = {3, 4}}, text, sizeof text), "[3, 4]");
    assert_string_equal(shape_text(&(struct shape){.rank = 2, .dims = {3, 456}}, small, sizeof small), "[3, 4");
    struct shape widest = {.rank = 8};
    memset(widest.dims, 0xff, sizeof widest.dims);
    assert_int_equal(strlen(shape_text(&widest, text, sizeof text)), 8 * 20 + 7 * 2 + 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grid_of_edges),
        cmocka_unit_test(products_that_wrap),
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(scalars_and_ranks),
        cmocka_unit_test(equality),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
