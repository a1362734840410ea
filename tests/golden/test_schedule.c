/* Schedules against PyTorch's, update by update, and what settings they refuse. */
#include "lines.h"

#include <math.h>

#include "server/optimizers/optimizer.h"
#include "server/schedule.h"
#include "server/shard.h"

/* Canonical, with an optimizer whose lr is in the text. */
static struct tensor_spec spec_of(const char *settings) {
    char text[512];
    struct tensor_spec spec;
    struct error error;
    memset(&spec, 0, sizeof spec);
    strcpy(spec.name, "w");
    snprintf(text, sizeof text, "sgd:%s", settings);
    if (optimizer_spec_parse(text, &spec.optimizer, &error) != CANYON_OK ||
        shard_canonical_spec(&spec, &error) != CANYON_OK)
        fail_msg("%s: %s", settings, error.text);
    return spec;
}

/* PyTorch multiplies its rate from update to update, so its roundings add up. */
static void rates_are_those_of_pytorch(void **state) {
    (void)state;
    struct lines lines;
    struct schedule schedule;
    double lr = 0, worst = 0;
    size_t cases = 0, rates = 0;
    char name[256] = "";
    lines_open(&lines, CANYON_SOURCE_DIR "/tests/golden/schedules.txt");
    while (lines_next(&lines)) {
        if (lines_is(&lines, "case")) {
            snprintf(name, sizeof name, "%s", lines.words[1]);
            struct tensor_spec spec = spec_of(name);
            lr = spec.optimizer.settings[0].value;
            schedule_read(&spec.optimizer, &schedule);
            cases++;
        } else if (lines_is(&lines, "at")) {
            const double expected = lines_double(&lines, 2);
            const double rate = schedule_rate(&schedule, lr, lines_number(&lines, 1));
            const double error = fabs(rate - expected) / lr;
            if (!(error <= 2e-14) || !(fabs(rate - expected) <= 1e-12 * expected + 1e-15 * lr))
                fail_msg("%s, update %s: %.17g instead of %.17g", name, lines.words[1], rate, expected);
            worst = error > worst ? error : worst;
            rates++;
        }
    }
    lines_close(&lines);
    printf("%zu rates of %zu schedules, largest difference %.1e of lr\n", rates, cases, worst);
    assert_true(cases >= 20 && rates > 1000);
}

/* Far beyond their ends, and at the last update that can be counted. */
static void rates_stay_finite(void **state) {
    (void)state;
    const struct {
        const char *settings;
        double last;
    } ends[] = {{"lr=0.5", 0.5},
                {"lr=0.5,schedule=step,step_size=1", 0},
                {"lr=0.5,schedule=exponential,gamma=1", 0.5},
                {"lr=0.5,schedule=multistep,milestone1=5", 0.05},
                {"lr=0.5,schedule=onecycle,total_steps=1", 0.5 / 25 / 1e4},
                {"lr=0.5,schedule=onecycle,total_steps=9", 0.5 / 25 / 1e4},
                {"lr=0.5,schedule=polynomial,total_iters=9,power=0.3", 0},
                {"lr=0.5,schedule=inverse_sqrt", 0.5 / sqrt(1e15)},
                {"lr=0.5,warmup=1e15", 0.5}};
    static const uint64_t updates[] = {0, 1, 2, 8, 9, 10, 1000, UINT32_MAX, 999999999999999};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct tensor_spec spec = spec_of(ends[i].settings);
        struct schedule schedule;
        schedule_read(&spec.optimizer, &schedule);
        for (size_t u = 0; u < sizeof updates / sizeof updates[0]; u++) {
            const double rate = schedule_rate(&schedule, 0.5, updates[u]);
            assert_true(rate >= 0.0 && rate <= 0.5);
        }
        assert_true(fabs(schedule_rate(&schedule, 0.5, updates[8]) - ends[i].last) <= 1e-12 * ends[i].last);
    }
}

static void refused(const char *settings, const char *fragment) {
    char text[512];
    struct tensor_spec spec;
    struct error error = {.status = CANYON_OK};
    memset(&spec, 0, sizeof spec);
    strcpy(spec.name, "w");
    snprintf(text, sizeof text, "adam:%s", settings);
    if (optimizer_spec_parse(text, &spec.optimizer, &error) == CANYON_OK)
        assert_int_equal(shard_canonical_spec(&spec, &error), CANYON_INVALID_ARGUMENT);
    if (strstr(error.text, fragment) == NULL)
        fail_msg("%s: '%s' is not in '%s'", settings, fragment, error.text);
}

static void wrong_settings_are_refused(void **state) {
    (void)state;
    refused("schedule=cosin", "is none of constant, step, ");
    refused("schedule=4", "is none of");
    refused("schedule=cosine", "needs T_max");
    refused("schedule=cosine,T_max=0", "T_max=0 is not a whole number in [1, ");
    refused("schedule=cosine,T_max=1.5", "T_max=1.5 is not a whole number");
    refused("schedule=cosine,T_max=1e16", "T_max=");
    refused("schedule=cosine,T_max=5,gamma=0.5", "schedule=cosine has no gamma");
    refused("gamma=0.5", "schedule=constant has no gamma");
    refused("milestone1=5", "schedule=constant has no milestone1");
    refused("schedule=multistep", "needs milestone1");
    refused("schedule=multistep,milestone1=5,milestone2=5", "milestone2=5 is not after");
    refused("schedule=multistep,milestone1=5,milestone3=9", "there is a milestone3, but");
    refused("schedule=multistep,milestone1=5,milestone9=9", "no setting 'milestone9'");
    refused("schedule=exponential,gamma=0", "gamma=0 is not in (0, 1]");
    refused("warmup=-1", "warmup=-1 is not");
    refused("nonfinite=ignore", "is none of refuse, skip, clip");
    refused("warmup=5,warmup_start=2", "warmup_start=2 is not in [0, 1]");
}

/* The line of a schedule in the table of the reference page; fails when there is none. */
static void page_line(const char *kind, char *line, int bytes) {
    char begin[64];
    FILE *page = fopen(CANYON_SOURCE_DIR "/server/optimizers/README.md", "r");
    bool found = false;
    assert_non_null(page);
    snprintf(begin, sizeof begin, "| `%s` | ", kind);
    while (!found && fgets(line, bytes, page) != NULL)
        found = strncmp(line, begin, strlen(begin)) == 0;
    fclose(page);
    if (!found)
        fail_msg("the page has no line that begins with %s", begin);
}

/* Which settings the page gives a schedule, and their defaults. */
static void the_page_has_every_setting(void **state) {
    (void)state;
    static const char *const kinds[][2] = {
        {"step", "step_size=5"},       {"multistep", "milestone1=5"},   {"exponential", ""}, {"cosine", "T_max=5"},
        {"onecycle", "total_steps=5"}, {"polynomial", "total_iters=5"}, {"inverse_sqrt", ""}};
    assert_int_equal(sizeof kinds / sizeof kinds[0], SCHEDULE_INVERSE_SQRT); /* all but constant */
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        char text[128], line[512], cell[512], wanted[64];
        size_t ticks = 0, there = strcmp(kinds[k][0], "multistep") == 0; /* milestone8 has no line of its own */
        page_line(kinds[k][0], line, sizeof line);
        assert_int_equal(sscanf(line, "| %*s | %511[^|]", cell), 1);
        snprintf(text, sizeof text, "schedule=%s%s%s", kinds[k][0], kinds[k][1][0] == '\0' ? "" : ",", kinds[k][1]);
        struct tensor_spec spec = spec_of(text);
        for (uint32_t i = 0; i < spec.optimizer.count; i++) {
            const struct setting *setting = &spec.optimizer.settings[i];
            if (!schedule_has_setting(setting->name) || strcmp(setting->name, "schedule") == 0)
                continue;
            if (strstr(kinds[k][1], setting->name) != NULL)
                snprintf(wanted, sizeof wanted, "`%.31s`", setting->name);
            else
                snprintf(wanted, sizeof wanted, "`%.31s` (%g)", setting->name, setting->value);
            if (strstr(cell, wanted) == NULL)
                fail_msg("%s: the page has '%s', without %s", kinds[k][0], cell, wanted);
            there++;
        }
        for (const char *c = cell; *c != '\0'; c++)
            ticks += *c == '`';
        assert_int_equal(ticks, 2 * there);
    }
}

static void same_as(struct tensor_spec spec, const char *settings) {
    struct tensor_spec expected = spec_of(settings);
    char one[512], other[512];
    if (memcmp(&spec, &expected, sizeof spec) != 0)
        fail_msg("%s instead of %s", optimizer_spec_text(&spec.optimizer, one, sizeof one),
                 optimizer_spec_text(&expected.optimizer, other, sizeof other));
}

static struct tensor_spec merged(struct tensor_spec spec, const char *settings) {
    struct optimizer_spec changes;
    struct error error;
    memset(&changes, 0, sizeof changes);
    if (optimizer_settings_parse(settings, &changes, &error) != CANYON_OK ||
        shard_merge_settings(&spec, changes.settings, changes.count, &error) != CANYON_OK)
        fail_msg("%s: %s", settings, error.text);
    return spec;
}

/* One meaning, one form; and what a change of the schedule leaves of the one before. */
static void the_canonical_form(void **state) {
    (void)state;
    same_as(spec_of("schedule=constant,warmup=0,lr=0.5"), "lr=0.5");
    same_as(spec_of("schedule=step,step_size=5"), "gamma=0.1,step_size=5,schedule=step");
    same_as(spec_of("nonfinite=refuse,lr=0.5"), "lr=0.5");
    same_as(merged(spec_of("nonfinite=skip,lr=0.5"), "nonfinite=clip"), "lr=0.5,nonfinite=clip");
    same_as(spec_of("warmup=5"), "warmup=5,warmup_start=0.3333333333333333");
    assert_int_equal(spec_of("lr=0.5").optimizer.count, optimizer_find("sgd")->hyperparameter_count);
    struct tensor_spec spec = merged(spec_of("lr=0.5,warmup=3"), "schedule=cosine,T_max=10");
    same_as(spec, "lr=0.5,warmup=3,schedule=cosine,T_max=10,eta_min=0");
    spec = merged(spec, "eta_min=0.25,lr=1");
    same_as(spec, "lr=1,warmup=3,schedule=cosine,T_max=10,eta_min=0.25");
    spec = merged(spec, "schedule=multistep,milestone1=5,milestone2=7");
    same_as(spec, "lr=1,warmup=3,schedule=multistep,milestone1=5,milestone2=7");
    spec = merged(spec, "milestone1=9,warmup=0");
    same_as(spec, "lr=1,schedule=multistep,milestone1=9");
    same_as(merged(spec, "schedule=constant"), "lr=1");
    struct setting wrong = {.name = "T_max", .value = 5};
    struct tensor_spec before = spec;
    assert_int_equal(shard_merge_settings(&spec, &wrong, 1, NULL), CANYON_INVALID_ARGUMENT);
    assert_memory_equal(&spec, &before, sizeof spec);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_those_of_pytorch), cmocka_unit_test(rates_stay_finite),
        cmocka_unit_test(wrong_settings_are_refused), cmocka_unit_test(the_page_has_every_setting),
        cmocka_unit_test(the_canonical_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
