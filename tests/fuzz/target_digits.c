/* Lines of digits: read or refused with a text, and what was read is in range.
 *
 * Input: the text. */
#include "tests/fuzz/fuzz.h"

#include "client/simulator/digits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct digits digits;
    char text[DIGITS_TEXT_BYTES] = "";
    uint8_t *exact = exact_copy(data, size);
    bool good = digits_parse((const char *)exact, size, &digits, text, sizeof text);
    free(exact);
    if (!good) {
        REQUIRE(text[0] != '\0' && digits.count == 0 && digits.pixels == NULL && digits.labels == NULL);
        return 0;
    }
    /* An image takes 64 pixels, a label and 64 commas at least. */
    REQUIRE(digits.count <= size / (2 * DIGITS_PIXELS + 1));
    for (size_t i = 0; i < digits.count; i++) {
        REQUIRE(digits.labels[i] < DIGITS_CLASSES);
        for (size_t p = 0; p < DIGITS_PIXELS; p++) {
            float pixel = digits.pixels[i * DIGITS_PIXELS + p];
            REQUIRE(pixel >= 0.0f && pixel <= 1.0f);
        }
    }
    digits_finish(&digits);
    return 0;
}
