/* Command lines: what is accepted, what is refused and in which words, and the help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/tools/arguments.h"
#include "tests/tools/capture.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const models[] = {"softmax", "mlp", NULL};

/* One command line with an option of every kind, and where its values go. */
struct fixture {
    bool json, quiet;
    const char *servers, *model, *file, *second;
    uint64_t workers, any;
    double rate, free_number;
    struct argument_texts texts;
    struct argument options[9];
    struct positional positionals[2];
    struct command_line line;
    char *out, *err;
    int used;
};

static void fill(struct fixture *fixture) {
    *fixture = (struct fixture){.servers = "default", .model = "mlp", .workers = 4, .rate = 0.5};
    const struct argument options[] = {
        {.name = "json", .letter = 'j', .help = "JSON", .kind = ARGUMENT_FLAG, .target = &fixture->json},
        {.name = "quiet", .letter = 'q', .help = "say less", .kind = ARGUMENT_FLAG, .target = &fixture->quiet},
        {.name = "servers",
         .letter = 's',
         .value = "LIST",
         .help = "where",
         .kind = ARGUMENT_TEXT,
         .target = &fixture->servers},
        {.name = "model",
         .value = "NAME",
         .help = "which",
         .kind = ARGUMENT_TEXT,
         .target = &fixture->model,
         .choices = models},
        {.name = "workers",
         .letter = 'w',
         .value = "W",
         .help = "how many",
         .kind = ARGUMENT_UNSIGNED,
         .target = &fixture->workers,
         .low = 1,
         .high = 256},
        {.name = "any", .value = "N", .help = "any", .kind = ARGUMENT_UNSIGNED, .target = &fixture->any},
        {.name = "rate",
         .value = "X",
         .help = "rate",
         .kind = ARGUMENT_DOUBLE,
         .target = &fixture->rate,
         .least = 0,
         .most = 1},
        {.name = "free", .value = "X", .help = "free", .kind = ARGUMENT_DOUBLE, .target = &fixture->free_number},
        {.name = "add", .value = "X", .help = "again", .kind = ARGUMENT_TEXTS, .target = &fixture->texts},
    };
    memcpy(fixture->options, options, sizeof options);
    fixture->positionals[0] = (struct positional){"FILE", "the file", &fixture->file, false};
    fixture->positionals[1] = (struct positional){"SECOND", "another", &fixture->second, true};
    fixture->line = (struct command_line){.program = "prog cmd",
                                          .summary = "Does it.",
                                          .options = fixture->options,
                                          .option_count = COUNT(options),
                                          .positionals = fixture->positionals,
                                          .positional_count = 2,
                                          .details = "Some details.",
                                          .examples = "  prog cmd x"};
}

/* Splits `words` at blanks and parses them. */
static enum arguments_verdict parse(struct fixture *fixture, const char *words) {
    static char copy[1024];
    char *argv[64] = {copy}, *place = NULL;
    int argc = 1;
    assert_true(strlen(words) < sizeof copy);
    strcpy(copy, words);
    for (char *word = strtok_r(copy, " ", &place); word != NULL; word = strtok_r(NULL, " ", &place)) {
        argv[argc++] = word;
    }
    struct capture out, err;
    free(fixture->out);
    free(fixture->err);
    capture_begin(&out);
    capture_begin(&err);
    enum arguments_verdict verdict = arguments_parse_to(&fixture->line, argc, argv, &fixture->used, out.file, err.file);
    fixture->out = capture_end(&out);
    fixture->err = capture_end(&err);
    return verdict;
}

static void finish(struct fixture *fixture) {
    free(fixture->out);
    free(fixture->err);
}

static void test_every_form(void **state) {
    (void)state;
    struct fixture f;
    fill(&f);
    assert_int_equal(parse(&f, "--servers a:1 in.txt --workers=7 --rate 0.25 -jq --model softmax second --free -3e2"),
                     ARGUMENTS_RUN);
    assert_string_equal(f.servers, "a:1");
    assert_int_equal(f.workers, 7);
    assert_true(f.json && f.quiet);
    assert_true(f.rate == 0.25 && f.free_number == -300.0);
    assert_string_equal(f.model, "softmax");
    assert_string_equal(f.file, "in.txt");
    assert_string_equal(f.second, "second");
    assert_string_equal(f.err, "");
    finish(&f);
}

static void test_short_forms(void **state) {
    (void)state;
    struct fixture f;
    fill(&f);
    assert_int_equal(parse(&f, "-w9 -s b:2 x"), ARGUMENTS_RUN);
    assert_int_equal(f.workers, 9);
    assert_string_equal(f.servers, "b:2");
    assert_int_equal(parse(&f, "-jw 12 x"), ARGUMENTS_RUN);
    assert_int_equal(f.workers, 12);
    assert_int_equal(parse(&f, "-w1 -w2 x"), ARGUMENTS_RUN);
    assert_int_equal(f.workers, 2);
    finish(&f);
}

static void test_defaults_stay(void **state) {
    (void)state;
    struct fixture f;
    fill(&f);
    assert_int_equal(parse(&f, "x"), ARGUMENTS_RUN);
    assert_string_equal(f.servers, "default");
    assert_int_equal(f.workers, 4);
    assert_null(f.second);
    assert_false(f.json);
    finish(&f);
}

static void test_dashes(void **state) {
    (void)state;
    struct fixture f;
    fill(&f);
    assert_int_equal(parse(&f, "-- --json -"), ARGUMENTS_RUN);
    assert_false(f.json);
    assert_string_equal(f.file, "--json");
    assert_string_equal(f.second, "-");
    assert_int_equal(parse(&f, "x --servers -1,2"), ARGUMENTS_RUN);
    assert_string_equal(f.servers, "-1,2");
    assert_int_equal(parse(&f, "x --servers=--odd"), ARGUMENTS_RUN);
    assert_string_equal(f.servers, "--odd");
    assert_int_equal(parse(&f, "x --servers="), ARGUMENTS_RUN);
    assert_string_equal(f.servers, "");
    finish(&f);
}

static void test_texts_are_collected(void **state) {
    (void)state;
    struct fixture f;
    fill(&f);
    assert_int_equal(parse(&f, "x --add a --add=b --add c"), ARGUMENTS_RUN);
    assert_int_equal(f.texts.count, 3);
    assert_string_equal(f.texts.items[2], "c");
    f.texts.count = ARGUMENT_TEXTS_HIGH;
    assert_int_equal(parse(&f, "x --add one"), ARGUMENTS_WRONG);
    assert_int_equal(f.texts.count, ARGUMENT_TEXTS_HIGH);
    finish(&f);
}

/* Each wrong line is refused, in words that contain all the given ones. */
static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *words, *says[3];
    } cases[] = {
        {"x --workers 0", {"--workers", "'0'", "from 1 to 256"}},
        {"x --workers 257", {"--workers", "'257'", "from 1 to 256"}},
        {"x --workers -1", {"--workers", "'-1'", "whole number"}},
        {"x --workers 4x", {"'4x'", "whole number", "prog cmd: "}},
        {"x --workers=", {"''", "whole number", "--workers"}},
        {"x --any 18446744073709551616", {"--any", "18446744073709551616", "0 or more"}},
        {"x --rate 1.5", {"--rate", "'1.5'", "from 0 to 1"}},
        {"x --rate nan", {"--rate", "'nan'", "finite"}},
        {"x --free inf", {"--free", "'inf'", "finite"}},
        {"x --free 1e999", {"--free", "'1e999'", "finite"}},
        {"x --free 1,5", {"--free", "'1,5'", "finite"}},
        {"x --model cnn", {"--model", "'cnn'", "softmax, mlp"}},
        {"x --severs a", {"--severs", "did you mean", "--servers"}},
        {"x --work 3", {"no option --work", "did you mean", "--workers"}},
        {"x --zzzzzz", {"no option --zzzzzz", "--help", "prog cmd"}},
        {"x -z", {"no option -z", "--help", "prog cmd"}},
        {"x --json=1", {"--json", "no value", "'1'"}},
        {"x --servers", {"--servers", "needs a value", "LIST"}},
        {"x --servers --json", {"--servers", "needs a value", "LIST"}},
        {"x y z", {"'z'", "too many", "prog cmd"}},
        {"--json", {"FILE", "missing", "the file"}},
    };
    struct fixture f;
    for (size_t i = 0; i < COUNT(cases); i++) {
        fill(&f);
        print_message("%s\n", cases[i].words);
        assert_int_equal(parse(&f, cases[i].words), ARGUMENTS_WRONG);
        assert_string_equal(f.out, "");
        for (size_t k = 0; k < 3; k++) {
            if (strstr(f.err, cases[i].says[k]) == NULL) {
                fail_msg("'%s' does not say '%s'", f.err, cases[i].says[k]);
            }
        }
        assert_int_equal(f.workers, 4);
        assert_true(f.rate == 0.5);
        finish(&f);
    }
}

static void test_a_wrong_option_of_any_length(void **state) {
    (void)state;
    struct fixture f;
    char words[600];
    fill(&f);
    memset(words, 'a', sizeof words);
    memcpy(words, "x --", 4);
    words[sizeof words - 1] = '\0';
    assert_int_equal(parse(&f, words), ARGUMENTS_WRONG);
    finish(&f);
}

static void test_stop_at_positional(void **state) {
    (void)state;
    struct fixture f;
    fill(&f);
    f.line.stop_at_positional = true;
    f.line.positional_count = 0;
    assert_int_equal(parse(&f, "--json -w 3 command --unknown"), ARGUMENTS_RUN);
    assert_int_equal(f.used, 4);
    assert_int_equal(f.workers, 3);
    assert_int_equal(parse(&f, "--json"), ARGUMENTS_RUN);
    assert_int_equal(f.used, 2);
    finish(&f);
}

static void test_help(void **state) {
    (void)state;
    struct fixture f;
    fill(&f);
    f.options[3].help = "a long explanation that goes on and on until it no longer fits on one line of the help and so "
                        "is continued on the next one, below where it began";
    assert_int_equal(parse(&f, "x --help --nonsense"), ARGUMENTS_HELP);
    assert_string_equal(f.err, "");
    assert_non_null(strstr(f.out, "Usage: prog cmd FILE [SECOND] [OPTION...]\n"));
    assert_non_null(strstr(f.out, "\nDoes it.\n"));
    assert_non_null(strstr(f.out, "  -w, --workers W"));
    assert_non_null(strstr(f.out, "      --model NAME"));
    assert_non_null(strstr(f.out, "-h, --help"));
    assert_non_null(strstr(f.out, "Some details."));
    assert_non_null(strstr(f.out, "Examples:\n  prog cmd x\n"));
    assert_non_null(strstr(f.out, "3 a server did not answer"));
    for (char *line = f.out; *line != '\0'; line += strcspn(line, "\n") + 1) {
        assert_true(strcspn(line, "\n") <= 80);
    }
    assert_int_equal(parse(&f, "-h"), ARGUMENTS_HELP);
    finish(&f);
}

static void test_nearest(void **state) {
    (void)state;
    static const char *const names[] = {"status", "tensors", "show", "pull", "assign", "drop"};
    assert_string_equal(arguments_nearest("statsu", names, 6), "status");
    assert_string_equal(arguments_nearest("tensor", names, 6), "tensors");
    assert_string_equal(arguments_nearest("asign", names, 6), "assign");
    assert_string_equal(arguments_nearest("pul", names, 6), "pull");
    assert_null(arguments_nearest("xyzzy", names, 6));
    assert_null(arguments_nearest("", names, 6));
    assert_null(arguments_nearest("pull", names, 0));
}

static void test_numbers(void **state) {
    (void)state;
    uint64_t whole = 5;
    double real = 5;
    assert_true(arguments_unsigned("18446744073709551615", &whole));
    assert_true(whole == UINT64_MAX);
    assert_false(arguments_unsigned(" 1", &whole));
    assert_false(arguments_unsigned("+1", &whole));
    assert_false(arguments_unsigned("", &whole));
    assert_false(arguments_unsigned("99999999999999999999", &whole));
    assert_true(whole == UINT64_MAX);
    assert_true(arguments_double("-1.5e-3", &real));
    assert_true(real == -1.5e-3);
    assert_false(arguments_double(" 1", &real));
    assert_false(arguments_double("1 ", &real));
    assert_false(arguments_double("", &real));
    assert_false(arguments_double("1e400", &real));
    assert_true(real == -1.5e-3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_form),
        cmocka_unit_test(test_short_forms),
        cmocka_unit_test(test_defaults_stay),
        cmocka_unit_test(test_dashes),
        cmocka_unit_test(test_texts_are_collected),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_a_wrong_option_of_any_length),
        cmocka_unit_test(test_stop_at_positional),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
