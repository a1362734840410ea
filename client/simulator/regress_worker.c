#include "client/simulator/regress_worker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/simulator/logistic.h"
#include "client/simulator/room.h"

#define TEST_BATCH 1024u

struct examples_choice regress_training(const struct regress_options *options, uint32_t worker) {
    return (struct examples_choice){.part = EXAMPLES_TRAIN,
                                    .held = options->held,
                                    .seed = options->seed,
                                    .worker = worker,
                                    .workers = (uint32_t)options->workers};
}

struct examples_choice regress_testing(const struct regress_options *options) {
    return (struct examples_choice){.part = options->test != NULL ? EXAMPLES_ALL : EXAMPLES_HELD,
                                    .held = options->held,
                                    .seed = options->seed,
                                    .workers = 1};
}

/* Adds up to `most` examples to an empty batch. Fewer: the file is at its end. */
static enum canyon_status read_batch(struct examples *examples, struct libsvm_example *example,
                                     struct logistic_batch *batch, size_t most, char *text, size_t bytes) {
    enum examples_state state = EXAMPLES_READ;
    logistic_begin(batch);
    while (batch->count < most && (state = examples_next(examples, example, text, bytes)) == EXAMPLES_READ) {
        if (!logistic_add(batch, example)) {
            snprintf(text, bytes, "no memory for a batch of examples");
            return CANYON_NO_MEMORY;
        }
    }
    return state == EXAMPLES_READ || state == EXAMPLES_ENDED ? CANYON_OK : CANYON_INVALID_ARGUMENT;
}

/* ---- training ---- */

struct trainer {
    const struct regress_options *options;
    struct examples_choice choice;
    struct examples examples;
    struct libsvm_example example;
    struct logistic_batch batches[FLOW_PLACES(FLOW_AHEAD_HIGH)];
    uint64_t epoch; /* how many have been begun */
    struct team_tally *tally;
};

static enum canyon_status trainer_make(void *context, size_t place, struct flow_part *parts, bool *more, char *text,
                                       size_t bytes) {
    struct trainer *trainer = context;
    struct logistic_batch *batch = &trainer->batches[place];
    enum canyon_status status = CANYON_OK;
    logistic_begin(batch);
    *more = true;
    while (status == CANYON_OK && batch->count == 0 && *more) {
        if (trainer->examples.path == NULL) { /* an epoch is over, or none was begun */
            *more = trainer->epoch < trainer->options->epochs;
            if (*more && !examples_open(&trainer->examples, trainer->options->data, &trainer->options->names,
                                        &trainer->choice, text, bytes)) {
                return CANYON_INVALID_ARGUMENT;
            }
            trainer->epoch++;
        } else {
            status = read_batch(&trainer->examples, &trainer->example, batch, trainer->options->batch, text, bytes);
            if (batch->count < trainer->options->batch) {
                examples_close(&trainer->examples);
            }
        }
    }
    parts[0].ids = batch->rows.ids;
    parts[0].count = batch->rows.count;
    return status;
}

static enum canyon_status trainer_compute(void *context, size_t place, const struct flow_part *parts, char *text,
                                          size_t bytes) {
    struct trainer *trainer = context;
    const struct logistic_batch *batch = &trainer->batches[place];
    double loss = logistic_gradient(batch, parts[0].weights, parts[0].gradient);
    if (!isfinite(loss)) {
        snprintf(text, bytes, "the loss is not a finite number any more: the training diverged; use a smaller lr");
        return CANYON_NOT_FINITE;
    }
    team_add_loss(trainer->tally, loss, batch->count);
    atomic_fetch_add_explicit(&trainer->tally->rows, parts[0].count, memory_order_relaxed);
    atomic_fetch_add_explicit(&trainer->tally->work, batch->count, memory_order_relaxed);
    return CANYON_OK;
}

enum canyon_status regress_train(void *plan_context, uint32_t worker, struct rows *const *tables,
                                 struct team_tally *tally, char *text, size_t bytes) {
    const struct regress_context *context = plan_context;
    struct trainer trainer = {
        .options = context->options, .choice = regress_training(context->options, worker), .tally = tally};
    const struct flow_maker maker = {.context = &trainer, .make = trainer_make, .compute = trainer_compute};
    enum canyon_status status = flow_run(&maker, tables, 1, (size_t)context->options->ahead, text, bytes);
    for (size_t b = 0; b < FLOW_PLACES(FLOW_AHEAD_HIGH); b++) {
        logistic_finish(&trainer.batches[b]);
    }
    libsvm_finish(&trainer.example);
    examples_close(&trainer.examples);
    return status;
}

/* ---- testing ---- */

struct tester {
    struct examples examples;
    struct libsvm_example example;
    struct logistic_batch batch;
    float *weights, *scores; /* of a batch */
    size_t weight_capacity, score_capacity;
    float *kinds[2]; /* scores of all negative, and of all positive examples */
    size_t counts[2], capacities[2];
    double loss;
};

/* Scores what the batch has. */
static enum canyon_status tester_score(struct tester *tester, struct rows *table, char *text, size_t bytes) {
    const struct logistic_batch *batch = &tester->batch;
    bool good = room_make(&tester->weights, &tester->weight_capacity, batch->rows.count, sizeof *tester->weights) &&
                room_make(&tester->scores, &tester->score_capacity, batch->count, sizeof *tester->scores);
    for (size_t k = 0; k < 2; k++) {
        good = good && room_make(&tester->kinds[k], &tester->capacities[k], tester->counts[k] + batch->count,
                                 sizeof *tester->kinds[k]);
    }
    if (!good) {
        snprintf(text, bytes, "no memory for the scores of the test");
        return CANYON_NO_MEMORY;
    }
    enum canyon_status status = rows_read(table, batch->rows.ids, batch->rows.count, tester->weights, text, bytes);
    if (status == CANYON_OK) {
        tester->loss += logistic_scores(batch, tester->weights, tester->scores);
        for (size_t e = 0; e < batch->count; e++) {
            size_t kind = batch->positive[e];
            tester->kinds[kind][tester->counts[kind]++] = tester->scores[e];
        }
    }
    return status;
}

static void tester_result(struct tester *tester, struct regress_score *score) {
    *score = (struct regress_score){.positives = tester->counts[1], .examples = tester->counts[0] + tester->counts[1]};
    score->loss = score->examples > 0 ? tester->loss / (double)score->examples : 0.0;
    if (tester->counts[0] > 0 && tester->counts[1] > 0) {
        score->auc = auc_of(tester->kinds[1], tester->counts[1], tester->kinds[0], tester->counts[0]);
    }
}

enum canyon_status regress_test(void *plan_context, struct rows *const *tables, char *text, size_t bytes) {
    const struct regress_context *context = plan_context;
    const struct regress_options *options = context->options;
    const struct examples_choice choice = regress_testing(options);
    struct tester tester = {.loss = 0.0};
    enum canyon_status status = CANYON_OK;
    bool more = context->test_examples > 0;
    if (more && !examples_open(&tester.examples, options->test != NULL ? options->test : options->data, &options->names,
                               &choice, text, bytes)) {
        status = CANYON_INVALID_ARGUMENT;
    }
    while (status == CANYON_OK && more) {
        status = read_batch(&tester.examples, &tester.example, &tester.batch, TEST_BATCH, text, bytes);
        more = tester.batch.count == TEST_BATCH;
        if (status == CANYON_OK && tester.batch.count > 0) {
            status = tester_score(&tester, tables[0], text, bytes);
        }
    }
    if (status == CANYON_OK) {
        tester_result(&tester, context->test);
        status = rows_count(tables[0], &context->test->rows, text, bytes);
    }
    free(tester.weights);
    free(tester.scores);
    free(tester.kinds[0]);
    free(tester.kinds[1]);
    logistic_finish(&tester.batch);
    libsvm_finish(&tester.example);
    examples_close(&tester.examples);
    return status;
}
