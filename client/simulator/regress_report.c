#include "client/simulator/regress_report.h"

#include <inttypes.h>
#include <math.h>

#include "client/simulator/team_report.h"
#include "client/tools/number.h"
#include "client/tools/record.h"

static bool has_both(const struct regress_score *score) {
    return score->positives > 0 && score->positives < score->examples;
}

/* The mean loss of always saying what share of the test part is positive: what there is to win. */
static double blind_loss(const struct regress_score *score) {
    double share = (double)score->positives / (double)score->examples;
    return has_both(score) ? -share * log(share) - (1.0 - share) * log(1.0 - share) : 0.0;
}

static void print_training(FILE *out, const struct regress_options *options, const struct regress_survey *survey,
                           const struct regress_result *result) {
    const struct team_result *team = &result->team;
    char examples[NUMBER_BYTES], features[NUMBER_BYTES], rows[NUMBER_BYTES];
    double each = survey->data.examples > 0 ? (double)survey->data.features / (double)survey->data.examples : 0.0;
    fprintf(out, "data        %s examples to learn from, %s features each in the mean\n",
            number_grouped(survey->data.train, examples, sizeof examples),
            number_count(each, features, sizeof features));
    const struct team_told told = {.single = options->single,
                                   .workers = options->workers,
                                   .epochs = options->epochs,
                                   .optimizer = options->optimizer,
                                   .work = "examples"};
    team_print(out, &told, team);
    fprintf(out, "            %s rows in the table\n", number_grouped(result->test.rows, rows, sizeof rows));
}

static void print_test(FILE *out, const struct regress_options *options, const struct regress_score *test) {
    char examples[NUMBER_BYTES], positives[NUMBER_BYTES];
    if (test->examples == 0) {
        fprintf(out, "test        nothing was held out, and no --test file given\n");
        return;
    }
    fprintf(out, "test        %s examples%s%s, %s of them positive\n",
            number_grouped(test->examples, examples, sizeof examples), options->test == NULL ? " held out" : " of ",
            options->test == NULL ? "" : options->test, number_grouped(test->positives, positives, sizeof positives));
    fprintf(out, "log-loss    %.4f nats; %.4f without looking at features\n", test->loss, blind_loss(test));
    if (has_both(test)) {
        fprintf(out, "AUC         %.4f +- %.4f\n", test->auc.area, test->auc.error);
    } else {
        fprintf(out, "AUC         not known: all examples of the test are of one class\n");
    }
}

bool regress_report_text(FILE *out, const struct regress_options *options, const struct regress_survey *survey,
                         const struct regress_result *result) {
    print_training(out, options, survey, result);
    print_test(out, options, &result->test);
    return fflush(out) == 0 && !ferror(out);
}

/* null when there is nothing that it could say. */
static json_t *number_if(bool known, double number) {
    return known ? record_number(number) : json_null();
}

bool regress_report_json(FILE *out, const struct regress_options *options, const struct regress_survey *survey,
                         const struct regress_result *result) {
    const struct team_result *team = &result->team;
    const struct regress_score *test = &result->test;
    const struct record_field fields[] = {
        {"model", json_string("lr")},
        {"workers", record_unsigned(options->workers)},
        {"servers", record_unsigned(team->servers)},
        {"optimizer", json_string(options->optimizer)},
        {"batch", record_unsigned(options->batch)},
        {"ahead", record_unsigned(options->ahead)},
        {"epochs", record_unsigned(options->epochs)},
        {"seed", record_unsigned(options->seed)},
        {"holdout", record_number(options->held)},
        {"hash", options->names.hash ? record_unsigned(options->names.seed) : json_null()},
        {"bits", record_unsigned(options->names.bits)},
        {"examples", record_unsigned(survey->data.train)},
        {"features", record_unsigned(survey->data.features)},
        {"trained_examples", record_unsigned(team->work)},
        {"examples_s", record_number(team_rate(team))},
        {"seconds", record_number(team->seconds)},
        {"rows", record_unsigned(team->rows)},
        {"table_rows", record_unsigned(test->rows)},
        {"bytes_sent", record_unsigned(team->sent)},
        {"bytes_received", record_unsigned(team->received)},
        {"loss", record_number(team->loss)},
        {"test_examples", record_unsigned(test->examples)},
        {"test_positives", record_unsigned(test->positives)},
        {"test_loss", number_if(test->examples > 0, test->loss)},
        {"test_auc", number_if(has_both(test), test->auc.area)},
        {"test_auc_error", number_if(has_both(test), test->auc.error)},
    };
    return record_print(out, record_object(fields, sizeof fields / sizeof *fields));
}
