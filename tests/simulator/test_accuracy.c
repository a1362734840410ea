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

/* Two are not made for this: Rprop is for whole-batch gradients, and Lion's default rate, 0.0001, gets no weight
 * further than 0.13 in 1,320 steps. */
static double floor_of(const char *line) {
    double floor = 0.92;
    floor = strstr(line, "\"optimizer\":\"rprop\"") != NULL ? 0.6 : floor;
    return strstr(line, "\"optimizer\":\"lion\"") != NULL ? 0.8 : floor;
}

static void every_optimizer_learns_with_its_default_rate(void **state) {
    struct program program;
    size_t lines = 0;
    (void)state;
    program_run(&program, NULL, 0,
                WORDS("train", "--local", "2", "--workers", "4", "--model", "mlp", "--optimizer", "all", "--batch",
                      "32", "--epochs", "30", "--json"));
    for (const char *line = program.said; *line != '\0'; line = strchr(line, '\n') + 1) {
        char copy[64];
        snprintf(copy, sizeof copy, "%.63s", line);
        if (accuracy_of(line) < floor_of(copy)) {
            fail_msg("%.*s", (int)strcspn(line, "\n"), line);
        }
        lines++;
    }
    assert_true(lines >= 17);
    program_finish(&program);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adam_reaches_95_percent_in_the_mean_of_ten_seeds),
        cmocka_unit_test(every_optimizer_learns_with_its_default_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
