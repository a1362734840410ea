#include "client/simulator/regress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/simulator/interrupt.h"
#include "client/simulator/regress_options.h"
#include "client/simulator/regress_report.h"
#include "client/simulator/regress_worker.h"

#define SERVERS    2  /* local ones, unless told otherwise */
#define TOLD_WRONG 10 /* lines that are wrong, of each file */

bool regress_is_meant(int argc, char **argv) {
    const char *model = "";
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        bool alone = strcmp(argv[i], "--model") == 0 || strcmp(argv[i], "-m") == 0;
        if (alone && i + 1 < argc) {
            model = argv[i + 1];
        } else if (strncmp(argv[i], "--model=", 8) == 0) {
            model = argv[i] + 8;
        } else if (strncmp(argv[i], "-m", 2) == 0) {
            model = argv[i] + 2;
        }
    }
    return strcmp(model, "lr") == 0;
}

static enum outcome say(const char *text) {
    fprintf(stderr, "%s: %s\n", REGRESS_PROGRAM, text);
    return OUTCOME_FAILED;
}

/* Reads a file to its end. Wrong lines are told, and are a failure. */
static enum outcome survey_file(const struct regress_options *options, const char *path, struct examples_count *count) {
    char text[LIBSVM_TEXT_BYTES + TEAM_TEXT_BYTES];
    const struct examples_choice choice = regress_training(options, 0);
    if (!examples_survey(path, &options->names, &choice, REGRESS_PROGRAM, TOLD_WRONG, count, text, sizeof text)) {
        return say(text);
    }
    if (count->wrong > TOLD_WRONG) {
        fprintf(stderr, "%s: %s: %" PRIu64 " more lines are wrong\n", REGRESS_PROGRAM, path, count->wrong - TOLD_WRONG);
    }
    return count->wrong > 0 ? OUTCOME_FAILED : OUTCOME_DONE;
}

static enum outcome survey(const struct regress_options *options, struct regress_survey *result) {
    char text[TEAM_TEXT_BYTES];
    memset(result, 0, sizeof *result);
    enum outcome outcome = survey_file(options, options->data, &result->data);
    if (options->test != NULL) {
        enum outcome tested = survey_file(options, options->test, &result->test);
        outcome = outcome == OUTCOME_DONE ? tested : outcome;
    }
    if (outcome == OUTCOME_DONE && result->data.train == 0) {
        snprintf(text, sizeof text, "%s has no examples to learn from", options->data);
        outcome = say(text);
    }
    return outcome;
}

static struct team_plan plan_of(const struct regress_options *options, const struct regress_survey *found,
                                const struct place *place, struct regress_context *context) {
    struct team_plan plan = {.program = REGRESS_PROGRAM,
                             .label = options->single ? "one process" : options->optimizer,
                             .unit = "examples",
                             .place = place,
                             .workers = (uint32_t)options->workers,
                             .table_count = 1,
                             .work = found->data.train * options->epochs,
                             .context = context,
                             .train = regress_train,
                             .finish = regress_test};
    plan.tables[0] = (struct rows_spec){.name = "weights", .dim = 1, .optimizer = options->optimizer};
    return plan;
}

static enum outcome train(const struct regress_options *options, const struct regress_survey *found,
                          const struct place *place) {
    struct regress_score *score = team_share(sizeof *score);
    struct regress_context context = {.options = options, .test = score};
    struct regress_result result = {.team = {.work = 0}};
    context.test_examples = options->test != NULL ? found->test.examples : found->data.held;
    if (score == NULL) {
        return say("no memory for the test's result");
    }
    const struct team_plan plan = plan_of(options, found, place, &context);
    enum outcome outcome = team_run(&plan, &result.team);
    result.test = *score;
    if (outcome == OUTCOME_DONE) {
        bool printed = options->json ? regress_report_json(stdout, options, found, &result)
                                     : regress_report_text(stdout, options, found, &result);
        outcome = printed ? OUTCOME_DONE : say("cannot write to standard output");
    }
    team_unshare(score, sizeof *score);
    return outcome;
}

static enum outcome run(const struct regress_options *options) {
    struct regress_survey found;
    struct place place;
    enum outcome outcome = survey(options, &found);
    if (outcome != OUTCOME_DONE || options->single) {
        return outcome != OUTCOME_DONE ? outcome : train(options, &found, NULL);
    }
    outcome = place_open(&place, &options->where, SERVERS, REGRESS_PROGRAM);
    if (outcome == OUTCOME_DONE) {
        outcome = train(options, &found, &place);
        if (!place_close(&place, REGRESS_PROGRAM) && outcome == OUTCOME_DONE) {
            outcome = OUTCOME_FAILED;
        }
    }
    return outcome;
}

int regress_main(int argc, char **argv) {
    struct regress_options options;
    enum arguments_verdict verdict = regress_options_parse(&options, argc, argv);
    if (verdict != ARGUMENTS_RUN) {
        return verdict == ARGUMENTS_HELP ? OUTCOME_DONE : OUTCOME_USAGE;
    }
    enum outcome outcome = run(&options);
    return interrupt_signal() != 0 ? interrupt_exit_code() : (int)outcome;
}
