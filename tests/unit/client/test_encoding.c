/* Error feedback: what an encoding takes from the residual, and that taking it back puts it there again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/encoding.h"

#define ELEMENTS 6

static void choose(struct encoding *encoding, const char *text) {
    struct codec_choice gradient, weights;
    assert_int_equal(codec_parse(text, true, &gradient, NULL), CANYON_OK);
    assert_int_equal(codec_parse("f32", false, &weights, NULL), CANYON_OK);
    assert_int_equal(encoding_choose(encoding, &gradient, &weights, ELEMENTS, NULL), CANYON_OK);
}

/* Whole numbers: sums and differences of them are exact. */
static void what_is_taken_back_was_never_there(void **state) {
    static const char *const codecs[] = {"topk:0.5", "bf16:feedback", "int8:feedback"};
    const float first[ELEMENTS] = {1000, -7, 3, 259, 0, -5}, second[ELEMENTS] = {1, 2, 300, -4, 517, 6};
    (void)state;
    for (size_t c = 0; c < sizeof codecs / sizeof codecs[0]; c++) {
        struct encoding encoding;
        struct codec_choice gradient, weights;
        float before[ELEMENTS], decoded[ELEMENTS];
        uint8_t bytes[8 * ELEMENTS + 64];
        assert_int_equal(encoding_init(&encoding, NULL), CANYON_OK);
        choose(&encoding, codecs[c]);
        encoding_look(&encoding, &gradient, &weights);
        struct encoding_block block = {.codec = gradient.codec,
                                       .values = first,
                                       .elements = ELEMENTS,
                                       .kept = gradient.codec == CODEC_TOPK ? 3 : 0,
                                       .feedback = gradient.feedback,
                                       .seed = 1};
        encoding_write(&encoding, &block, bytes);
        memcpy(before, encoding.residual, sizeof before);
        block.values = second;
        encoding_write(&encoding, &block, bytes);
        assert_memory_not_equal(before, encoding.residual, sizeof before);
        encoding_undo(&encoding, &block, bytes, decoded);
        for (size_t i = 0; i < ELEMENTS; i++) {
            float off = encoding.residual[i] - before[i];
            /* int8's steps are no whole numbers: nearly. */
            assert_true(gradient.codec == CODEC_INT8 ? off < 1e-3f && off > -1e-3f : off == 0.0f);
        }
        encoding_finish(&encoding);
    }
}

/* A call that was begun under a codec without feedback has nothing to do with a residual that came later. */
static void who_began_without_a_residual_goes_on_without(void **state) {
    const float values[ELEMENTS] = {1, 2, 3, 4, 5, 6};
    uint8_t bytes[8 * ELEMENTS + 64];
    struct encoding encoding;
    (void)state;
    assert_int_equal(encoding_init(&encoding, NULL), CANYON_OK);
    choose(&encoding, "topk:0.5");
    struct encoding_block block = {.codec = CODEC_BF16, .values = values, .elements = ELEMENTS};
    encoding_write(&encoding, &block, bytes);
    for (size_t i = 0; i < ELEMENTS; i++)
        assert_true(encoding.residual[i] == 0.0f);
    encoding_finish(&encoding);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_back_was_never_there),
        cmocka_unit_test(who_began_without_a_residual_goes_on_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
