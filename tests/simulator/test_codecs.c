/* What the forms in which values travel cost in accuracy, beside float32: the handwritten digits, four asynchronous
 * workers on two servers, means over ten seeds. */
#include "answers.h"
#include "program.h"

#include <jansson.h>
#include <math.h>

#define SEEDS 10

struct learned {
    double mean, variance; /* of the test accuracy, in points */
    double bytes;          /* gradients and weights of a step */
};

static struct learned learn(const char *optimizer, const char *codec) {
    struct learned learned = {.mean = 0.0};
    double sum = 0.0, squares = 0.0;
    for (int seed = 1; seed <= SEEDS; seed++) {
        struct program program;
        json_error_t error;
        char text[16];
        snprintf(text, sizeof text, "%d", seed);
        program_run(&program, NULL, 0,
                    WORDS("train", "--local", "2", "--workers", "4", "--model", "mlp", "--optimizer", optimizer,
                          "--batch", "32", "--epochs", "30", "--codec", codec, "--seed", text, "--json"));
        json_t *object = json_loadb(program.said, strcspn(program.said, "\n"), 0, &error);
        assert_non_null(object);
        double points = 100.0 * number_of(object, "test_accuracy");
        sum += points;
        squares += points * points;
        learned.bytes =
            (number_of(object, "bytes_sent") + number_of(object, "bytes_received")) / number_of(object, "steps");
        json_decref(object);
        program_finish(&program);
    }
    learned.mean = sum / SEEDS;
    learned.variance = (squares - sum * sum / SEEDS) / (SEEDS - 1);
    print_message("%-10s %-32s %7.0f bytes a step, accuracy %.2f %%, deviation %.2f\n", optimizer, codec, learned.bytes,
                  learned.mean, sqrt(learned.variance));
    return learned;
}

/* Within half a point and two standard errors of the difference. */
static void expect_near(const char *optimizer, const struct learned *plain, const char *codec, double most_bytes) {
    struct learned coded = learn(optimizer, codec);
    double allowed = 0.5 + 2.0 * sqrt((plain->variance + coded.variance) / SEEDS);
    if (plain->mean - coded.mean > allowed) {
        fail_msg("%s with %s: %.2f points where f32 has %.2f; %.2f less are allowed", optimizer, codec, coded.mean,
                 plain->mean, allowed);
    }
    assert_true(coded.bytes <= most_bytes * plain->bytes);
}

static void adam_learns_as_well(void **state) {
    struct learned plain = learn("adam", "f32/f32");
    (void)state;
    expect_near("adam", &plain, "bf16/bf16", 0.5);
    expect_near("adam", &plain, "f16/f16", 0.5);
    expect_near("adam", &plain, "int8/int8", 0.27);
    expect_near("adam", &plain, "int8:stochastic/int8:stochastic", 0.27);
    expect_near("adam", &plain, "topk:0.25/f32", 0.76);
}

/* Error feedback is made for steps that are the gradient's size. */
static void sgd_learns_as_well_from_one_value_in_a_hundred(void **state) {
    struct learned plain = learn("sgd", "f32/f32");
    (void)state;
    expect_near("sgd", &plain, "topk:0.01/f32", 0.52);
    expect_near("sgd", &plain, "topk:0.01/int8", 0.15);
    expect_near("sgd", &plain, "int8:feedback/int8", 0.27);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adam_learns_as_well),
        cmocka_unit_test(sgd_learns_as_well_from_one_value_in_a_hundred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
