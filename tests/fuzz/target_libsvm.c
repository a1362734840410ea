/* Lines of sparse examples: read or refused with a text, and what was read can be trained with.
 *
 * Input: a byte for how names are taken (bit 0: hashed; the rest: bits of ids), then the lines. */
#include "tests/fuzz/fuzz.h"

#include <math.h>

#include "client/simulator/logistic.h"

/* One line, exactly as long as it is but for its NUL. */
static void try_line(const struct libsvm_names *names, const uint8_t *bytes, size_t length,
                     struct libsvm_example *example, struct logistic_batch *batch) {
    char text[LIBSVM_TEXT_BYTES] = "";
    char *line = text_copy(bytes, length);
    enum libsvm_verdict verdict = libsvm_parse(names, line, length, example, text, sizeof text);
    REQUIRE(libsvm_is_example(line, length) == (verdict != LIBSVM_NOTHING));
    REQUIRE((verdict == LIBSVM_WRONG) == (text[0] != '\0'));
    if (verdict == LIBSVM_EXAMPLE) {
        REQUIRE(example->count <= length / 4 + 1); /* " 1:1" */
        for (size_t i = 0; i < example->count; i++) {
            REQUIRE(isfinite(example->features[i].value) && example->features[i].id != LIBSVM_BIAS);
            REQUIRE(names->bits == 64 || example->features[i].id >> names->bits == 0);
        }
        REQUIRE(logistic_add(batch, example));
    }
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct libsvm_example example = {.count = 0};
    struct logistic_batch batch = {.count = 0};
    struct input input = {data, size};
    uint8_t how = input_u8(&input);
    const struct libsvm_names names = {.hash = how % 2 == 1, .seed = how, .bits = 64 - (how / 2) % 64};
    logistic_begin(&batch);
    while (input.left > 0) {
        const uint8_t *newline = memchr(input.at, '\n', input.left);
        size_t got = 0, length = newline == NULL ? input.left : (size_t)(newline - input.at);
        const uint8_t *line = input_bytes(&input, length, &got);
        try_line(&names, line, got, &example, &batch);
        input_u8(&input);
    }
    if (batch.count > 0) {
        float *weights = calloc(batch.rows.count, sizeof *weights),
              *gradient = calloc(batch.rows.count, sizeof *gradient);
        REQUIRE(weights != NULL && gradient != NULL);
        double loss = logistic_gradient(&batch, weights, gradient);
        REQUIRE(fabs(loss - (double)batch.count * log(2.0)) < 1e-6 * (double)batch.count + 1e-9);
        free(weights);
        free(gradient);
    }
    logistic_finish(&batch);
    libsvm_finish(&example);
    return 0;
}
