/* Files of sparse examples: what a line may be, who gets which example; and the gradient of logistic regression. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>
#include <unistd.h>

#include "client/simulator/counter.h"
#include "client/simulator/examples.h"
#include "client/simulator/logistic.h"

static char text[LIBSVM_TEXT_BYTES + 512];
static const struct libsvm_names indices = {.bits = 64}, hashed = {.hash = true, .seed = 5, .bits = 64};

static enum libsvm_verdict parse(const struct libsvm_names *names, const char *line, size_t length,
                                 struct libsvm_example *example) {
    char *exact = malloc(length + 1);
    assert_non_null(exact);
    memcpy(exact, line, length);
    exact[length] = '\0';
    enum libsvm_verdict verdict = libsvm_parse(names, exact, length, example, text, sizeof text);
    free(exact);
    return verdict;
}

static void expect_example(const char *line, bool positive, size_t count, const struct libsvm_feature *features) {
    struct libsvm_example example = {.count = 0};
    if (parse(&indices, line, strlen(line), &example) != LIBSVM_EXAMPLE) {
        fail_msg("'%s': %s", line, text);
    }
    assert_true(example.positive == positive && example.count == count);
    for (size_t i = 0; i < count; i++) {
        assert_true(example.features[i].id == features[i].id && example.features[i].value == features[i].value);
    }
    libsvm_finish(&example);
}

static void good_lines(void **state) {
    const struct libsvm_feature some[] = {{3, 0.5f}, {7, -2.0f}};
    (void)state;
    expect_example("1 3:0.5 7:-2", true, 2, some);
    expect_example("+1 3:5e-1 7:-2.0 # 8:1", true, 2, some);
    expect_example("\t-1.0  3:+.5\t7:-2\r", false, 2, some);
    expect_example("0 0003:0.5", false, 1, some);
    expect_example("-1", false, 0, NULL);
}

static void a_comment_begins_a_field(void **state) {
    struct libsvm_example example = {.count = 0};
    (void)state;
    assert_int_equal(parse(&indices, "1 3:2#x", 7, &example), LIBSVM_WRONG);
    assert_int_equal(parse(&indices, "1 3:2 #x", 8, &example), LIBSVM_EXAMPLE);
    assert_int_equal(example.count, 1);
    libsvm_finish(&example);
}

static void lines_that_are_nothing(void **state) {
    static const char *const lines[] = {"", " ", "\r", "# 1 2:3", "  #", " \t \r"};
    struct libsvm_example example = {.count = 0};
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_int_equal(parse(&indices, lines[i], strlen(lines[i]), &example), LIBSVM_NOTHING);
        assert_false(libsvm_is_example(lines[i], strlen(lines[i])));
    }
    assert_true(libsvm_is_example("x", 1));
    libsvm_finish(&example);
}

static void wrong_lines_name_the_field_and_the_rule(void **state) {
    static const struct {
        const char *line, *said;
    } cases[] = {
        {"2 1:1", "field 1, '2': the label"},
        {"a", "the label"},
        {"nan 1:1", "the label"},
        {"1:1", "the label"},
        {"0x1 1:1", "the label"},
        {"1 7", "field 2, '7': not a feature"},
        {"1 :1", "not a feature"},
        {"1 7:", "field 2, '7:': its value"},
        {"1 7:x", "its value"},
        {"1 7:nan", "its value"},
        {"1 7:inf", "its value"},
        {"1 7:1e39", "its value"},
        {"1 7:0x1", "its value"},
        {"1 7:1,8:1", "its index"},
        {"1 7:1 a:1", "field 3, 'a:1': its index"},
        {"1 -7:1", "its index"},
        {"1 qid:4 7:1", "its index"},
        {"1 1:2:3", "its index"},
        {"1 18446744073709551615:1", "its index"},
        {"1 18446744073709551616:1", "its index"},
        {"1 99999999999999999999999:1", "its index"},
    };
    struct libsvm_example example = {.count = 0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(&indices, cases[i].line, strlen(cases[i].line), &example), LIBSVM_WRONG);
        if (strstr(text, cases[i].said) == NULL) {
            fail_msg("'%s' is not in: %s", cases[i].said, text);
        }
    }
    assert_int_equal(parse(&indices, "1 3:1\0002", 7, &example), LIBSVM_WRONG); /* a NUL within */
    assert_int_equal(parse(&indices, "1 18446744073709551614:1", 24, &example), LIBSVM_EXAMPLE);
    assert_true(example.features[0].id == UINT64_MAX - 1);
    libsvm_finish(&example);
}

static uint64_t id_of(const struct libsvm_names *names, const char *name) {
    struct libsvm_example example = {.count = 0};
    char line[600];
    int length = snprintf(line, sizeof line, "1 %s:1", name);
    assert_int_equal(parse(names, line, (size_t)length, &example), LIBSVM_EXAMPLE);
    uint64_t id = example.features[0].id;
    libsvm_finish(&example);
    return id;
}

static void names_are_hashed(void **state) {
    struct libsvm_names other = hashed, few = hashed, cut = indices;
    struct libsvm_example example = {.count = 0};
    char longest[300];
    bool seen[16] = {false};
    size_t different = 0;
    (void)state;
    other.seed = 6;
    few.bits = 4;
    cut.bits = 8;
    assert_true(id_of(&hashed, "word=sea") == id_of(&hashed, "word=sea"));
    assert_true(id_of(&hashed, "word=sea") != id_of(&hashed, "word=see"));
    assert_true(id_of(&hashed, "word=sea") != id_of(&other, "word=sea"));
    assert_true(id_of(&hashed, "a:b") != id_of(&hashed, "a")); /* the last colon ends the name */
    assert_true(id_of(&hashed, "7") != 7);
    assert_int_equal(id_of(&cut, "258"), 2);
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        uint64_t id = id_of(&few, name);
        assert_true(id < 16);
        different += !seen[id];
        seen[id] = true;
    }
    assert_int_equal(different, 16);
    memset(longest, 'x', sizeof longest);
    longest[LIBSVM_NAME_HIGH] = '\0';
    id_of(&hashed, longest);
    longest[LIBSVM_NAME_HIGH] = 'x';
    longest[LIBSVM_NAME_HIGH + 1] = '\0';
    char line[600];
    int length = snprintf(line, sizeof line, "1 %s:1", longest);
    assert_int_equal(parse(&hashed, line, (size_t)length, &example), LIBSVM_WRONG);
    assert_non_null(strstr(text, "longer than 255"));
    libsvm_finish(&example);
}

/* ---- files ---- */

static char path[64];

static void write_file(const char *content) {
    snprintf(path, sizeof path, "/tmp/canyon-examples-XXXXXX");
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, content, strlen(content)), strlen(content));
    close(descriptor);
}

/* Marks the examples that a choice gives; their one feature's index says which. */
static size_t read_choice(const struct examples_choice *choice, unsigned *times) {
    struct examples examples;
    struct libsvm_example example = {.count = 0};
    enum examples_state state = EXAMPLES_READ;
    size_t count = 0;
    if (!examples_open(&examples, path, &indices, choice, text, sizeof text)) {
        fail_msg("%s", text);
    }
    while ((state = examples_next(&examples, &example, text, sizeof text)) == EXAMPLES_READ) {
        assert_int_equal(example.count, 1);
        times[example.features[0].id]++;
        count++;
    }
    assert_int_equal(state, EXAMPLES_ENDED);
    libsvm_finish(&example);
    examples_close(&examples);
    examples_close(&examples);
    return count;
}

static void every_example_has_one_owner(void **state) {
    enum { COUNT = 2000 };
    static char content[COUNT * 16];
    size_t at = 0;
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        at += (size_t)sprintf(content + at, "%s%d %d:1\n", i % 5 == 0 ? "# between\n\n" : "", i % 2, i);
    }
    write_file(content);
    for (uint32_t workers = 1; workers <= 7; workers += 3) {
        unsigned times[COUNT] = {0};
        size_t held = 0, least = COUNT, most = 0;
        for (uint32_t w = 0; w < workers; w++) {
            size_t share = read_choice(&(struct examples_choice){EXAMPLES_TRAIN, 0.25, 8, w, workers}, times);
            least = share < least ? share : least;
            most = share > most ? share : most;
        }
        held = read_choice(&(struct examples_choice){EXAMPLES_HELD, 0.25, 8, 0, 1}, times);
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(times[i], 1);
        }
        assert_true(most - least <= 1);
        assert_true(held > 400 && held < 600); /* 500, deviation 19 */
    }
    unsigned all[COUNT] = {0};
    assert_int_equal(read_choice(&(struct examples_choice){EXAMPLES_ALL, 0.25, 8, 0, 1}, all), COUNT);
    remove(path);
}

static void a_survey_counts_and_goes_on_after_wrong_lines(void **state) {
    struct examples_count count;
    const struct examples_choice choice = {.held = 0.0, .workers = 1};
    (void)state;
    write_file("1 1:1 2:1\n\nbad\n0 3:1\n# no\n-1\n1 x:1");
    assert_true(examples_survey(path, &indices, &choice, "test", 0, &count, text, sizeof text));
    assert_int_equal(count.examples, 5);
    assert_int_equal(count.wrong, 2);
    assert_int_equal(count.positives, 1);
    assert_int_equal(count.train, 5);
    struct examples examples;
    struct libsvm_example example = {.count = 0};
    assert_true(examples_open(&examples, path, &indices, &choice, text, sizeof text));
    assert_int_equal(examples_next(&examples, &example, text, sizeof text), EXAMPLES_READ);
    assert_int_equal(examples_next(&examples, &example, text, sizeof text), EXAMPLES_WRONG);
    char expected[128];
    snprintf(expected, sizeof expected, "%s:3: field 1, 'bad'", path);
    assert_non_null(strstr(text, expected));
    libsvm_finish(&example);
    examples_close(&examples);
    remove(path);
    assert_false(examples_survey(path, &indices, &choice, "test", 0, &count, text, sizeof text));
    assert_non_null(strstr(text, "cannot open"));
    assert_false(examples_survey("/dev/null", &indices, &choice, "test", 0, &count, text, sizeof text));
    assert_non_null(strstr(text, "regular file"));
}

/* ---- logistic regression ---- */

static double exact_loss(const struct logistic_batch *batch, const double *weights) {
    double loss = 0.0;
    size_t at = 0;
    for (size_t e = 0; e < batch->count; e++) {
        double score = 0.0;
        for (; at < batch->ends[e]; at++) {
            score += weights[batch->entries[at].place] * (double)batch->entries[at].value;
        }
        double p = 1.0 / (1.0 + exp(-score));
        loss -= log(batch->positive[e] ? p : 1.0 - p);
    }
    return loss;
}

static void the_gradient_is_that_of_the_loss(void **state) {
    static const char *const lines[] = {"1 1:1 2:-2", "0 2:0.5 9:1", "1", "-1 9:3 9:1 1:0.25", "1 4:1"};
    struct libsvm_example example = {.count = 0};
    struct logistic_batch batch = {.count = 0};
    float weights[8], gradient[8], scores[8];
    double exact[8];
    (void)state;
    for (int round = 0; round < 2; round++) { /* the second in used memory */
        logistic_begin(&batch);
        for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
            assert_int_equal(parse(&indices, lines[i], strlen(lines[i]), &example), LIBSVM_EXAMPLE);
            assert_true(logistic_add(&batch, &example));
        }
        assert_int_equal(batch.rows.count, 5); /* 1, 2, 4, 9 and the bias */
        for (size_t i = 0; i < 5; i++) {
            exact[i] = (double)(weights[i] = counter_sign_unit(4, 0, i));
        }
        double loss = logistic_gradient(&batch, weights, gradient);
        assert_true(fabs(loss - exact_loss(&batch, exact)) < 1e-9);
        assert_true(fabs(logistic_scores(&batch, weights, scores) - loss) < 1e-12);
        for (size_t i = 0; i < 5; i++) {
            double kept = exact[i], h = 1e-5;
            exact[i] = kept + h;
            double above = exact_loss(&batch, exact);
            exact[i] = kept - h;
            double numeric = (above - exact_loss(&batch, exact)) / (2.0 * h);
            exact[i] = kept;
            assert_true(fabs(numeric - (double)gradient[i]) < 1e-5);
        }
    }
    weights[0] = 1e30f; /* a score beyond exp: the loss stays finite */
    assert_true(isfinite(logistic_gradient(&batch, weights, gradient)));
    logistic_finish(&batch);
    libsvm_finish(&example);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_lines),
        cmocka_unit_test(a_comment_begins_a_field),
        cmocka_unit_test(lines_that_are_nothing),
        cmocka_unit_test(wrong_lines_name_the_field_and_the_rule),
        cmocka_unit_test(names_are_hashed),
        cmocka_unit_test(every_example_has_one_owner),
        cmocka_unit_test(a_survey_counts_and_goes_on_after_wrong_lines),
        cmocka_unit_test(the_gradient_is_that_of_the_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
