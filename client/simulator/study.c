#include "client/simulator/study.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/simulator/interrupt.h"
#include "client/simulator/run.h"
#include "client/simulator/study_report.h"

#define PROGRAM    STUDY_PROGRAM
#define TRAIL_MS   4 /* between two looks at the weights */
#define TEXT_BYTES 512
#define HIDDEN     64

struct study {
    struct study_options options;
    struct digits digits;
    struct split split;
    struct plan plan;
    struct study_row rows[2 * STUDY_MODES_HIGH];
    size_t row_count, finished;
    struct run_result result;
    struct progression way;
};

static bool study_prepare(struct study *study) {
    const struct study_options *options = &study->options;
    char text[DIGITS_TEXT_BYTES];
    if (!digits_load(&study->digits, text, sizeof text)) {
        fprintf(stderr, "%s: %s\n", PROGRAM, text);
        return false;
    }
    split_make(&study->digits, &study->split);
    study->plan = (struct plan){.program = PROGRAM,
                                .digits = &study->digits,
                                .split = &study->split,
                                .optimizer = options->optimizer,
                                .workers = (uint32_t)options->workers,
                                .batch = options->batch,
                                .epochs = options->epochs,
                                .trail_ms = TRAIL_MS};
    model_init(&study->plan.model, MODEL_MLP, HIDDEN);
    coding_read("f32", &study->plan.coding, text, sizeof text);
    for (size_t i = 0; i < 2 * options->mode_count; i++) {
        study->rows[i].mode = options->modes[i % options->mode_count];
        study->rows[i].slow = i >= options->mode_count;
    }
    study->row_count = 2 * options->mode_count;
    return true;
}

static void study_pace(struct study *study, const struct study_row *row) {
    const struct study_options *options = &study->options;
    struct pacing *pacing = &study->plan.pacing;
    char why[PACING_TEXT_BYTES];
    *pacing = (struct pacing){.mode = NULL};
    pacing_mode(pacing, row->mode, why, sizeof why); /* was found right when the options were read */
    for (uint32_t i = 0; i < study->plan.workers; i++) {
        pacing->delay_ms[i] = (uint32_t)options->work_ms;
    }
    pacing->delay_ms[study->plan.workers - 1] += row->slow ? (uint32_t)options->slow_ms : 0;
}

/* One mode, one seed, with servers of its own: a job's mode is changed from a clock on, and here it is to be the same
 * from the first. */
static enum outcome study_once(struct study *study, struct study_row *row, uint64_t seed, const char *label) {
    struct place place;
    struct plan *plan = &study->plan;
    struct run_result *result = &study->result;
    enum outcome outcome = place_open(&place, &study->options.where, 2, PROGRAM);
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    study->options.where.quiet = true;
    study_pace(study, row);
    plan->servers = place.servers;
    plan->keys = place.keys;
    plan->prefix = place.prefix;
    plan->timeout_ms = place.timeout_ms;
    plan->seed = seed;
    study->way.count = 0;
    result->progression = &study->way;
    outcome = run_train(plan, place.local, label, result);
    if (outcome == OUTCOME_DONE) {
        const struct study_run run = {.goal = progression_reaches(&study->way, study->options.goal / 100.0),
                                      .steps = result->steps,
                                      .staleness_max = result->staleness_max,
                                      .seconds = result->seconds,
                                      .accuracy = result->test_accuracy,
                                      .staleness_mean = result->staleness_mean};
        study_row_add(row, &run);
        row->way = row->runs == 1 ? study->way : row->way;
    }
    return place_close(&place, PROGRAM) || outcome != OUTCOME_DONE ? outcome : OUTCOME_FAILED;
}

static enum outcome study_row_run(struct study *study, struct study_row *row) {
    const struct study_options *options = &study->options;
    enum outcome outcome = OUTCOME_DONE;
    char label[128];
    for (uint64_t i = 0; i < options->seeds && outcome == OUTCOME_DONE; i++) {
        snprintf(label, sizeof label, "%zu/%zu %s%s", study->finished + 1, study->row_count, row->mode,
                 row->slow ? ", a slow worker" : "");
        outcome = study_once(study, row, options->seed + i, label);
    }
    if (outcome == OUTCOME_DONE) {
        study->finished++;
        if (options->json && !study_json(stdout, options, row)) {
            fprintf(stderr, "%s: cannot write to standard output\n", PROGRAM);
            outcome = OUTCOME_FAILED;
        }
    }
    return outcome;
}

/* What was finished is told, also when a later run failed. */
static enum outcome study_tell(const struct study *study) {
    const struct study_options *options = &study->options;
    enum outcome outcome = OUTCOME_DONE;
    char text[TEXT_BYTES];
    if (study->finished == 0) {
        return outcome;
    }
    if (!options->json && (!study_table(stdout, options, study->rows, study->finished) || fflush(stdout) != 0)) {
        fprintf(stderr, "%s: cannot write to standard output\n", PROGRAM);
        outcome = OUTCOME_FAILED;
    }
    if (options->plot != NULL && interrupt_signal() == 0) {
        if (study_plot(options, study->rows, study->finished, text, sizeof text)) {
            fprintf(options->json ? stderr : stdout, "accuracy against time and steps: %s\n", options->plot);
        } else {
            fprintf(stderr, "%s: no picture: %s\n", PROGRAM, text);
            outcome = OUTCOME_FAILED;
        }
    }
    return outcome;
}

int study_main(int argc, char **argv) {
    int code = OUTCOME_FAILED;
    enum outcome outcome = OUTCOME_DONE;
    struct study *study = calloc(1, sizeof *study);
    if (study == NULL) {
        fprintf(stderr, "%s: no memory\n", PROGRAM);
        return code;
    }
    enum arguments_verdict verdict = study_options_parse(&study->options, argc, argv);
    if (verdict != ARGUMENTS_RUN) {
        code = verdict == ARGUMENTS_HELP ? OUTCOME_DONE : OUTCOME_USAGE;
    } else if (study_prepare(study)) {
        for (size_t i = 0; i < study->row_count && outcome == OUTCOME_DONE; i++) {
            outcome = study_row_run(study, &study->rows[i]);
        }
        enum outcome told = study_tell(study);
        code = (int)(outcome == OUTCOME_DONE ? told : outcome);
        code = interrupt_signal() != 0 ? interrupt_exit_code() : code;
    }
    digits_finish(&study->digits);
    free(study);
    return code;
}
