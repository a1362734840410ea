/* canyon-sim load without any argument: about ten seconds, two numbers. */
#include "program.h"

static void two_numbers_with_their_words(void **state) {
    struct program program;
    double gigabytes = 0.0, latency = 0.0;
    char unit[8] = "";
    (void)state;
    program_run(&program, NULL, 0, WORDS("load"));
    assert_int_equal(sscanf(program.said,
                            "%lf GB/s of gradients pushed, and as many of fresh weights pulled\n%lf %7[a-z]:",
                            &gigabytes, &latency, unit),
                     3);
    assert_true(gigabytes > 0.0 && latency > 0.0);
    assert_true(strcmp(unit, "us") == 0 || strcmp(unit, "ms") == 0 || strcmp(unit, "s") == 0);
    char *second = strchr(program.said, '\n');
    assert_non_null(second);
    assert_string_equal(strchr(second + 1, '\n'), "\n"); /* two lines */
    expect_part(program.told, "encrypted");
    program_finish(&program);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_numbers_with_their_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
