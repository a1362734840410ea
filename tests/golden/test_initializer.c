/* First values against the formulas of initializer.h, worked out independently by make_golden.py (initializer.txt). The
 * two agree to the last bit or two of double, so after rounding to float to one unit in float's last place. */
#include "tests/golden/lines.h"

#include <math.h>

#include "server/initializer.h"

static void spec_read(struct tensor_spec *spec, const struct lines *lines) {
    static const char *const kinds[] = {[INITIALIZER_UNIFORM] = "uniform",
                                        [INITIALIZER_NORMAL] = "normal",
                                        [INITIALIZER_XAVIER] = "xavier",
                                        [INITIALIZER_KAIMING] = "kaiming"};
    memset(spec, 0, sizeof *spec);
    snprintf(spec->name, sizeof spec->name, "%s", lines->words[1]);
    for (size_t kind = INITIALIZER_UNIFORM; kind <= INITIALIZER_KAIMING; kind++) {
        if (strcmp(kinds[kind], lines->words[2]) == 0)
            spec->initializer.kind = (enum initializer_kind)kind;
    }
    assert_int_not_equal(spec->initializer.kind, INITIALIZER_ZEROS);
    spec->initializer.seed = lines_number(lines, 3);
    spec->initializer.a = lines_double(lines, 4);
    spec->initializer.b = lines_double(lines, 5);
    for (size_t word = 6; word < lines->count; word++)
        spec->shape.dims[spec->shape.rank++] = lines_number(lines, word);
}

static void element_compare(const struct tensor_spec *spec, const struct lines *lines) {
    const uint64_t index = lines_number(lines, 1);
    const double expected = lines_double(lines, 2);
    float value;
    initializer_fill(spec, index, 1, &value);
    const float nearest = (float)expected;
    if (value < nextafterf(nearest, -INFINITY) || value > nextafterf(nearest, INFINITY))
        fail_msg("%s, kind %d, element %llu is %.9g instead of %.9g", spec->name, (int)spec->initializer.kind,
                 (unsigned long long)index, (double)value, expected);
}

static void all_cases_match_the_formulas(void **state) {
    (void)state;
    struct lines lines;
    struct tensor_spec spec = {.name = ""};
    size_t cases = 0, elements = 0;
    lines_open(&lines, CANYON_SOURCE_DIR "/tests/golden/initializer.txt");
    while (lines_next(&lines)) {
        if (lines_is(&lines, "case")) {
            spec_read(&spec, &lines);
            cases++;
        } else if (lines_is(&lines, "at")) {
            element_compare(&spec, &lines);
            elements++;
        } else {
            assert_true(lines_is(&lines, "end"));
        }
    }
    lines_close(&lines);
    assert_true(cases >= 10 && elements >= 90);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_cases_match_the_formulas),
    };
    return cmocka_run_group_tests_name("golden initializer", tests, NULL, NULL);
}
