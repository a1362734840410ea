/* canyon-sim train --model lr: against logistic regression solved in double, on examples with known weights. */
#include "answers.h"
#include "program.h"

#include <jansson.h>
#include <math.h>

#include "client/simulator/counter.h"

#define FEATURES 30
#define EACH     6 /* features of an example, all with values from -1 to 1 */
#define TRAIN    6000
#define TEST     3000

static char train_path[64], test_path[64], named_path[64];

/* Example `number`: its features, and a label drawn by the true weights. The last weight is the bias. */
struct example {
    unsigned features[EACH];
    float values[EACH];
    bool positive;
};

static struct example example_of(uint64_t number) {
    struct example example;
    double score = -0.4;
    for (unsigned i = 0; i < EACH; i++) {
        example.features[i] = 5 * i + counter_below(21, number, 2 * i, FEATURES / EACH);
        example.values[i] = counter_sign_unit(21, number, 2 * i + 1);
        score += 3.0 * (double)counter_sign_unit(22, 0, example.features[i]) * (double)example.values[i];
    }
    double draw = 0.5 + 0.5 * (double)counter_sign_unit(21, number, 1000);
    example.positive = draw < 1.0 / (1.0 + exp(-score));
    return example;
}

static void write_examples(char path[64], uint64_t first, uint64_t count, const char *name) {
    snprintf(path, 64, "/tmp/canyon-regress-XXXXXX");
    int descriptor = mkstemp(path);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    assert_non_null(file);
    for (uint64_t n = first; n < first + count; n++) {
        struct example example = example_of(n);
        fprintf(file, "%s", example.positive ? "+1" : n % 2 == 0 ? "-1" : "0");
        for (unsigned i = 0; i < EACH; i++) {
            fprintf(file, " %s%u:%.9g", name, example.features[i] + 1, (double)example.values[i]);
        }
        fprintf(file, "\n");
    }
    fclose(file);
}

static int write_files(void **state) {
    (void)state;
    write_examples(train_path, 0, TRAIN, "");
    write_examples(test_path, TRAIN, TEST, "");
    write_examples(named_path, 0, TRAIN, "colour=f");
    return 0;
}

static int remove_files(void **state) {
    (void)state;
    return remove(train_path) | remove(test_path) | remove(named_path);
}

/* ---- the reference ---- */

static double score_of(const double *weights, const struct example *example) {
    double score = weights[FEATURES];
    for (unsigned i = 0; i < EACH; i++) {
        score += weights[example->features[i]] * (double)example->values[i];
    }
    return score;
}

/* The weights with the least loss on the training examples: gradient descent on all of them in double. */
static void solve(double weights[FEATURES + 1]) {
    memset(weights, 0, (FEATURES + 1) * sizeof *weights);
    for (int step = 0; step < 1500; step++) {
        double gradient[FEATURES + 1] = {0.0}, size = 0.0;
        for (uint64_t n = 0; n < TRAIN; n++) {
            struct example example = example_of(n);
            double slope = 1.0 / (1.0 + exp(-score_of(weights, &example))) - (example.positive ? 1.0 : 0.0);
            gradient[FEATURES] += slope / TRAIN;
            for (unsigned i = 0; i < EACH; i++) {
                gradient[example.features[i]] += slope * (double)example.values[i] / TRAIN;
            }
        }
        for (size_t i = 0; i <= FEATURES; i++) {
            /* A feature is there in a fifth of the examples, with a mean square of a third. */
            weights[i] -= gradient[i] * (i == FEATURES ? 2.0 : 20.0);
            size = fmax(size, fabs(gradient[i]));
        }
        if (size < 1e-5) {
            return;
        }
    }
    fail_msg("the reference did not converge");
}

static void judge(const double *weights, double *loss, double *area) {
    static double positives[TEST], negatives[TEST];
    size_t p = 0, n = 0;
    *loss = *area = 0.0;
    for (uint64_t i = TRAIN; i < TRAIN + TEST; i++) {
        struct example example = example_of(i);
        double score = score_of(weights, &example);
        *loss += log(1.0 + exp(example.positive ? -score : score)) / TEST;
        *(example.positive ? &positives[p++] : &negatives[n++]) = score;
    }
    for (size_t i = 0; i < p; i++) {
        for (size_t j = 0; j < n; j++) {
            *area += positives[i] > negatives[j] ? 1.0 : 0.0;
        }
    }
    *area /= (double)p * (double)n;
}

/* ---- the program ---- */

static json_t *run(int code, const char *const *words) {
    struct program program;
    json_error_t error;
    program_run(&program, NULL, code, words);
    json_t *object = json_loads(program.said, 0, &error);
    if (object == NULL) {
        fail_msg("%s in:\n%s", error.text, program.said);
    }
    program_finish(&program);
    return object;
}

static void every_optimizer_comes_near_the_best_weights(void **state) {
    static const char *const optimizers[] = {"ftrl", "ftrl:lambda1=0.5", "adagrad:lr=0.3", "adam:lr=0.005",
                                             "sgd:lr=0.005"};
    double weights[FEATURES + 1], loss = 0.0, area = 0.0;
    (void)state;
    solve(weights);
    judge(weights, &loss, &area);
    print_message("reference: log-loss %.4f, AUC %.4f\n", loss, area);
    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++) {
        json_t *object = run(0, WORDS("train", "--model", "lr", "--single", "--data", train_path, "--test", test_path,
                                      "--epochs", "10", "-o", optimizers[i], "--json"));
        double got = number_of(object, "test_loss"), got_area = number_of(object, "test_auc");
        print_message("%s: log-loss %.4f, AUC %.4f\n", optimizers[i], got, got_area);
        assert_true(fabs(got - loss) < 0.01);
        assert_true(fabs(got_area - area) < 0.005);
        assert_true(number_of(object, "test_examples") == TEST);
        assert_true(number_of(object, "trained_examples") == 10 * TRAIN);
        json_decref(object);
    }
}

static void json_has_its_keys(void **state) {
    static const char *const keys[] = {
        "model",         "workers",       "servers",        "optimizer",        "batch",
        "ahead",         "epochs",        "seed",           "holdout",          "hash",
        "bits",          "examples",      "features",       "trained_examples", "examples_s",
        "seconds",       "rows",          "table_rows",     "bytes_sent",       "bytes_received",
        "loss",          "test_examples", "test_positives", "test_loss",        "test_auc",
        "test_auc_error"};
    (void)state;
    json_t *object = run(0, WORDS("train", "-mlr", "--single", "--data", train_path, "--json"));
    assert_int_equal(json_object_size(object), sizeof keys / sizeof *keys);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        assert_non_null(json_object_get(object, keys[i]));
    }
    assert_true(number_of(object, "examples") + number_of(object, "test_examples") == TRAIN);
    assert_true(fabs(number_of(object, "test_examples") - 0.1 * TRAIN) < 120.0); /* five deviations */
    assert_true(number_of(object, "features") == TRAIN * EACH);
    assert_true(number_of(object, "table_rows") == FEATURES + 1);
    json_decref(object);
}

/* Names that are hashed give the very same training as the indices they stand for. */
static void hashed_names_train_like_indices(void **state) {
    (void)state;
    json_t *plain = run(0, WORDS("train", "--model=lr", "--single", "--data", train_path, "--json"));
    json_t *named = run(0, WORDS("train", "--model=lr", "--single", "--data", named_path, "--hash", "9", "--json"));
    json_t *again = run(0, WORDS("train", "--model=lr", "--single", "--data", named_path, "--hash", "9", "--json"));
    json_t *cut =
        run(0, WORDS("train", "--model=lr", "--single", "--data", named_path, "--hash", "9", "--bits", "3", "--json"));
    assert_true(number_of(plain, "test_loss") == number_of(named, "test_loss"));
    assert_true(number_of(plain, "test_auc") == number_of(named, "test_auc"));
    assert_true(number_of(again, "test_loss") == number_of(named, "test_loss"));
    assert_true(number_of(cut, "test_loss") > number_of(named, "test_loss") + 0.01); /* 8 weights for 30 features */
    json_decref(plain);
    json_decref(named);
    json_decref(again);
    json_decref(cut);
}

/* One worker's table is the one that the same training makes in its own memory, but for roundings of the optimizer. */
static void one_worker_on_servers_is_the_single_process(void **state) {
    static const char *const optimizers[] = {"ftrl:lambda1=0.5", "adagrad:lr=0.3", "adam:lr=0.005", "sgd:lr=0.005"};
    (void)state;
    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++) {
        json_t *single = run(0, WORDS("train", "-m", "lr", "--single", "--data", train_path, "--epochs", "2", "-o",
                                      optimizers[i], "--json"));
        json_t *served = run(0, WORDS("train", "-m", "lr", "--local", "2", "-w", "1", "--ahead", "0", "--data",
                                      train_path, "--epochs", "2", "-o", optimizers[i], "--json"));
        double loss = number_of(single, "test_loss"), other = number_of(served, "test_loss");
        if (fabs(loss - other) > 1e-5) {
            fail_msg("%s: log-loss %.9g in one process, %.9g on servers", optimizers[i], loss, other);
        }
        assert_true(number_of(single, "table_rows") == number_of(served, "table_rows"));
        assert_true(number_of(single, "rows") == number_of(served, "rows"));
        json_decref(single);
        json_decref(served);
    }
}

static void workers_come_near_the_single_process(void **state) {
    (void)state;
    json_t *single = run(0, WORDS("train", "-m", "lr", "--single", "--data", named_path, "--hash", "1", "--json"));
    json_t *many = run(
        0, WORDS("train", "-m", "lr", "--local", "2", "--workers", "4", "--data", named_path, "--hash", "1", "--json"));
    assert_true(fabs(number_of(single, "test_auc") - number_of(many, "test_auc")) < 0.01);
    assert_true(fabs(number_of(single, "test_loss") - number_of(many, "test_loss")) < 0.02);
    assert_true(number_of(many, "trained_examples") == number_of(single, "trained_examples"));
    assert_true(number_of(many, "table_rows") == FEATURES + 1 && number_of(many, "servers") == 2);
    json_decref(single);
    json_decref(many);
}

static void one_worker_is_deterministic(void **state) {
    json_t *objects[2];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        objects[i] = run(0, WORDS("train", "-m", "lr", "--local", i == 0 ? "1" : "3", "--workers", "1", "--ahead", "3",
                                  "--data", train_path, "--epochs", "2", "--json"));
    }
    assert_true(number_of(objects[0], "test_loss") == number_of(objects[1], "test_loss"));
    assert_true(number_of(objects[0], "test_auc") == number_of(objects[1], "test_auc"));
    json_decref(objects[0]);
    json_decref(objects[1]);
}

static void expect_failure(int code, const char *said, const char *const *words) {
    struct program program;
    program_run(&program, NULL, code, words);
    expect_part(program.told, said);
    program_finish(&program);
}

static void what_is_wrong_is_told_with_its_line(void **state) {
    char path[] = "/tmp/canyon-regress-XXXXXX", expected[128];
    struct program program;
    int descriptor = mkstemp(path);
    (void)state;
    assert_true(descriptor >= 0);
    FILE *file = fdopen(descriptor, "w");
    assert_non_null(file);
    fprintf(file, "1 1:1\n1 x\n-1 2:1\n");
    for (int i = 0; i < 20; i++) {
        fprintf(file, "3 1:1\n");
    }
    fclose(file);
    program_run(&program, NULL, 1, WORDS("train", "--model", "lr", "--single", "--data", path));
    snprintf(expected, sizeof expected, "%s:2: field 2, 'x': not a feature", path);
    expect_part(program.told, expected);
    snprintf(expected, sizeof expected, "%s:4: field 1, '3': the label", path);
    expect_part(program.told, expected);
    expect_part(program.told, "11 more lines are wrong");
    program_finish(&program);
    expect_failure(1, "more lines are wrong",
                   WORDS("train", "--model", "lr", "--single", "--data", train_path, "--test", path));
    remove(path);
    expect_failure(1, "cannot open", WORDS("train", "--model", "lr", "--single", "--data", path));
    expect_failure(1, "is not a regular file", WORDS("train", "--model", "lr", "--single", "--data", "/dev/null"));
    expect_failure(1, "field 2, 'colour=f", WORDS("train", "--model", "lr", "--single", "--data", named_path));
}

static void wrong_options_are_named(void **state) {
    (void)state;
    expect_failure(2, "--data is missing", WORDS("train", "--model", "lr", "--single"));
    expect_failure(2, "--holdout", WORDS("train", "-m", "lr", "--data", "x", "--test", "y", "--holdout", "0.1"));
    expect_failure(2, "--hash is 'x'", WORDS("train", "-m", "lr", "--data", "x", "--hash", "x"));
    expect_failure(2, "--bits", WORDS("train", "-m", "lr", "--data", "x", "--bits", "65"));
    expect_failure(2, "are not for it", WORDS("train", "-m", "lr", "--data", "x", "--single", "-w", "2"));
    expect_failure(2, "sgd, adagrad, adam and ftrl",
                   WORDS("train", "-m", "lr", "--data", "x", "--single", "-o", "lion"));
    expect_failure(2, "--data", WORDS("train", "--model", "mlp", "--data", "x")); /* it is lr's */
}

/* Nothing held out, and examples of one class: no area, and no failure. */
static void a_test_may_have_nothing_to_tell(void **state) {
    char path[] = "/tmp/canyon-regress-XXXXXX";
    int descriptor = mkstemp(path);
    (void)state;
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, "1 1:1\n1 2:1\n\n# end", 18), 18);
    close(descriptor);
    json_t *object = run(0, WORDS("train", "-m", "lr", "--single", "--data", train_path, "--holdout", "0", "--json"));
    assert_true(json_is_null(json_object_get(object, "test_loss")));
    assert_true(number_of(object, "test_examples") == 0 && number_of(object, "examples") == TRAIN);
    json_decref(object);
    object = run(0, WORDS("train", "-m", "lr", "--single", "--data", train_path, "--test", path, "--json"));
    assert_true(json_is_null(json_object_get(object, "test_auc")));
    assert_true(number_of(object, "test_examples") == 2 && number_of(object, "test_loss") > 0.0);
    json_decref(object);
    remove(path);
}

static void help_is_its_own(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 0, WORDS("train", "--model", "lr", "--help"));
    expect_part(program.said, "--holdout");
    expect_part(program.said, "test_auc");
    program_finish(&program);
    program_run(&program, NULL, 0, WORDS("train", "--help"));
    expect_part(program.said, "canyon-sim train --model lr --help");
    program_finish(&program);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_optimizer_comes_near_the_best_weights),
        cmocka_unit_test(json_has_its_keys),
        cmocka_unit_test(hashed_names_train_like_indices),
        cmocka_unit_test(one_worker_on_servers_is_the_single_process),
        cmocka_unit_test(workers_come_near_the_single_process),
        cmocka_unit_test(one_worker_is_deterministic),
        cmocka_unit_test(what_is_wrong_is_told_with_its_line),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(a_test_may_have_nothing_to_tell),
        cmocka_unit_test(help_is_its_own),
    };
    return cmocka_run_group_tests(tests, write_files, remove_files);
}
