/* Codecs: what is decoded is as long as it says, the same on every instruction set, and, encoded again, what it was.
 *
 * Input: u8 codec, u8 ignored, u16 elements, u16 values kept of topk, then the encoding. */
#include "tests/fuzz/fuzz.h"

#include <math.h>

#include "common/codec.h"

/* All sets decode alike. Owned: free. NULL when it was refused. */
static float *decode(unsigned codec, const uint8_t *bytes, size_t count, size_t elements, size_t kept) {
    float *values = malloc(elements * sizeof(float) + 1), *others = malloc(elements * sizeof(float) + 1);
    struct error error = {.status = CANYON_OK};
    enum canyon_status first = CANYON_OK;
    REQUIRE(values != NULL && others != NULL);
    for (enum codec_set set = CODEC_BASELINE; set < CODEC_SETS; set++) {
        if (!codec_set_supported(set)) {
            continue;
        }
        codec_set_choose(set);
        enum canyon_status status =
            codec_decode(codec, bytes, count, elements, kept, set == CODEC_BASELINE ? values : others, &error);
        first = set == CODEC_BASELINE ? status : first;
        REQUIRE(status == first);
        REQUIRE(status == CANYON_OK || error.text[0] != '\0');
        REQUIRE(status != CANYON_OK || set == CODEC_BASELINE || memcmp(values, others, elements * sizeof(float)) == 0);
    }
    free(others);
    if (first != CANYON_OK) {
        REQUIRE(first == (codec > CODEC_LAST ? CANYON_UNSUPPORTED : CANYON_INVALID_ARGUMENT));
        free(values);
        return NULL;
    }
    return values;
}

/* A form of 16 bits, and topk, of values that are finite give the same bytes again. */
static void encode_again(enum codec codec, const uint8_t *bytes, size_t elements, size_t kept, const float *values) {
    size_t count = codec_bytes(codec, elements, kept), zeros = 0;
    uint8_t *again = malloc(count + 1);
    bool finite = true;
    REQUIRE(again != NULL);
    for (size_t i = 0; i < elements; i++) {
        finite = finite && isfinite(values[i]);
        zeros += values[i] == 0.0f;
    }
    if (codec == CODEC_TOPK) {
        codec_encode_top(values, NULL, elements, kept, again);
        REQUIRE(elements - zeros < kept || memcmp(again, bytes, count) == 0);
    } else {
        codec_encode(codec, values, elements, 1, again);
        REQUIRE(!finite || codec > CODEC_F16 || memcmp(again, bytes, count) == 0);
    }
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    unsigned codec = input_u8(&input);
    (void)input_u8(&input);
    size_t elements = input_u16(&input), kept = input_u16(&input), count = 0;
    const uint8_t *rest = input_bytes(&input, input.left, &count);
    uint8_t *bytes = exact_copy(rest, count);
    float *values = decode(codec, bytes, count, elements, kept);
    if (values != NULL) {
        encode_again((enum codec)codec, bytes, elements, kept, values);
    }
    free(values);
    free(bytes);
    return 0;
}
