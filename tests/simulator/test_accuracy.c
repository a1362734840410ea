/* The promise of the quickstart: what four asynchronous workers on two servers learn; and that many learn as much as
 * one. */
#include "program.h"

#include <jansson.h>
#include <math.h>

#define SEEDS 10

static double accuracy_of(const char *line) {
    json_error_t error;
    json_t *object = json_loadb(line, strcspn(line, "\n"), 0, &error);
    assert_non_null(object);
    double accuracy = json_number_value(json_object_get(object, "test_accuracy"));
    json_decref(object);
    return accuracy;
}

/* Over the seeds, and its standard error. */
struct mean {
    double value, error;
};

static struct mean mean_accuracy(const char *workers, const char *epochs) {
    double sum = 0.0, squares = 0.0;
    for (int seed = 1; seed <= SEEDS; seed++) {
        struct program program;
        char text[16];
        snprintf(text, sizeof text, "%d", seed);
        program_run(&program, NULL, 0,
                    WORDS("train", "--local", "2", "--workers", workers, "--model", "mlp", "--optimizer", "adam",
                          "--batch", "32", "--epochs", epochs, "--seed", text, "--json"));
        double accuracy = accuracy_of(program.said);
        sum += accuracy;
        squares += accuracy * accuracy;
        program_finish(&program);
    }
    double value = sum / SEEDS, spread = fmax(0.0, squares - SEEDS * value * value) / (SEEDS - 1);
    const struct mean mean = {.value = value, .error = sqrt(spread / SEEDS)};
    print_message("%s workers, %s epochs, mean of %d seeds: %.4f +- %.4f\n", workers, epochs, SEEDS, mean.value,
                  mean.error);
    return mean;
}

static void adam_reaches_95_percent_in_the_mean_of_ten_seeds(void **state) {
    (void)state;
    assert_true(mean_accuracy("4", "30").value >= 0.95);
}

/* Gradients of 4 and 16 workers miss about 3 and 15 updates. When training has come to where more of it gains little,
 * what they have learnt is as good to half a point: not more than that, and two standard errors of the difference, away
 * from what one worker has. */
static void asynchronous_workers_learn_as_much_as_one(void **state) {
    static const char *const many[] = {"4", "16"};
    (void)state;
    struct mean one = mean_accuracy("1", "60");
    for (size_t i = 0; i < 2; i++) {
        struct mean mean = mean_accuracy(many[i], "60");
        double error = sqrt(one.error * one.error + mean.error * mean.error);
        if (fabs(mean.value - one.value) > 0.005 + 2.0 * error) {
            fail_msg("%s workers: %.4f +- %.4f, one: %.4f +- %.4f", many[i], mean.value, mean.error, one.value,
                     one.error);
        }
    }
}

/* Three are not made for this: Rprop is for whole-batch gradients; Lion's default rate, 0.0001, gets no weight further
 * than 0.13 in 1,320 steps; Yogi's, 0.01, is high for gradients that missed three updates: 16 runs ended between 0.816
 * and 0.98, with 0.93 in the mean, where one worker's end at 0.98. */
static double floor_of(const char *line) {
    double floor = 0.92;
    floor = strstr(line, "\"optimizer\":\"rprop\"") != NULL ? 0.6 : floor;
    floor = strstr(line, "\"optimizer\":\"yogi\"") != NULL ? 0.7 : floor;
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
        cmocka_unit_test(asynchronous_workers_learn_as_much_as_one),
        cmocka_unit_test(every_optimizer_learns_with_its_default_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
