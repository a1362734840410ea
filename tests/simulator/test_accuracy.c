/* The promise of the quickstart: what four asynchronous workers on two servers learn. */
#include "program.h"

#include <jansson.h>

#define SEEDS 10

static double accuracy_of(const char *line) {
    json_error_t error;
    json_t *object = json_loadb(line, strcspn(line, "\n"), 0, &error);
    assert_non_null(object);
    double accuracy = json_number_value(json_object_get(object, "test_accuracy"));
    json_decref(object);
    return accuracy;
}

static void adam_reaches_95_percent_in_the_mean_of_ten_seeds(void **state) {
    double sum = 0.0;
    (void)state;
    for (int seed = 1; seed <= SEEDS; seed++) {
        struct program program;
        char text[16];
        snprintf(text, sizeof text, "%d", seed);
        program_run(&program, NULL, 0,
                    WORDS("train", "--local", "2", "--workers", "4", "--model", "mlp", "--optimizer", "adam", "--batch",
                          "32", "--epochs", "30", "--seed", text, "--json"));
        sum += accuracy_of(program.said);
        program_finish(&program);
    }
    print_message("mean of %d seeds: %.4f\n", SEEDS, sum / SEEDS);
    assert_true(sum / SEEDS >= 0.95);
}

static void every_optimizer_reaches_92_percent_with_its_default_rate(void **state) {
    struct program program;
    size_t lines = 0;
    (void)state;
    program_run(&program, NULL, 0,
                WORDS("train", "--local", "2", "--workers", "4", "--model", "mlp", "--optimizer", "all", "--batch",
                      "32", "--epochs", "30", "--json"));
    for (const char *line = program.said; *line != '\0'; line = strchr(line, '\n') + 1) {
        double accuracy = accuracy_of(line);
        if (accuracy < 0.92) {
            fail_msg("%s", line);
        }
        lines++;
    }
    assert_int_equal(lines, 8);
    program_finish(&program);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adam_reaches_95_percent_in_the_mean_of_ten_seeds),
        cmocka_unit_test(every_optimizer_reaches_92_percent_with_its_default_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
