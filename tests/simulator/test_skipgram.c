/* Skip-gram: the gradient against numerical differentiation, and what batches are made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "client/simulator/counter.h"
#include "client/simulator/skipgram.h"

#define DIM 19 /* not a multiple of anything */

static char text[512];

/* Passages of `least` to 40 words from a vocabulary of 50, the first words the most frequent. */
static void make_corpus(struct corpus *corpus, size_t passages, uint32_t least) {
    char *content = calloc(passages * 42, 8);
    size_t at = 0;
    assert_non_null(content);
    for (size_t p = 0; p < passages; p++) {
        size_t count = least + counter_below(5, p, 1000, 41 - least);
        for (size_t i = 0; i < count; i++) {
            uint32_t a = counter_below(5, p, 2 * i, 50), b = counter_below(5, p, 2 * i + 1, 50);
            uint32_t word = a < b ? a : b;
            at += (size_t)sprintf(content + at, "w%c%c ", 'a' + (int)(word / 10), 'a' + (int)(word % 10));
        }
        at += (size_t)sprintf(content + at, "\n\n");
    }
    if (!corpus_make(corpus, content, at, 1, text, sizeof text)) {
        fail_msg("%s", text);
    }
    free(content);
}

static const struct skipgram_settings usual = {
    .window = 5, .negatives = 4, .batch = 100, .subsample = 0.0, .epochs = 2, .seed = 3};

static void make_model(struct skipgram_model *model, const struct corpus *corpus,
                       const struct skipgram_settings *settings) {
    assert_true(skipgram_model_make(model, corpus, settings));
}

/* ---- the gradient ---- */

/* The loss in double, by the formula in skipgram.h. */
static double loss_of(const struct skipgram_batch *batch, uint32_t negatives, const double *inputs,
                      const double *outputs) {
    double loss = 0.0;
    for (size_t c = 0; c < batch->centre_count; c++) {
        for (uint32_t n = 0; n < batch->centres[c].count; n++) {
            const double *v = inputs + (size_t)batch->neighbours[batch->centres[c].first + n] * DIM;
            for (uint32_t t = 0; t <= negatives; t++) {
                const double *u = outputs + (size_t)batch->targets[c * (1 + negatives) + t] * DIM;
                double x = 0.0;
                for (size_t i = 0; i < DIM; i++) {
                    x += v[i] * u[i];
                }
                loss += -log(1.0 / (1.0 + exp(t == 0 ? -x : x)));
            }
        }
    }
    return loss;
}

static void fill(float *weights, double *doubles, size_t count, uint64_t stream) {
    for (size_t i = 0; i < count; i++) {
        weights[i] = counter_sign_unit(1, stream, i);
        doubles[i] = (double)weights[i];
    }
}

/* Central differences of the loss at `x`, for each of `count` weights. */
static void expect_gradient(const struct skipgram_batch *batch, double *inputs, double *outputs, double *x,
                            size_t count, const float *gradient) {
    const double h = 1e-5;
    for (size_t i = 0; i < count; i++) {
        double kept = x[i];
        x[i] = kept + h;
        double above = loss_of(batch, usual.negatives, inputs, outputs);
        x[i] = kept - h;
        double below = loss_of(batch, usual.negatives, inputs, outputs);
        x[i] = kept;
        double numeric = (above - below) / (2.0 * h);
        if (fabs(numeric - (double)gradient[i]) > 1e-4 * (1.0 + fabs(numeric))) {
            fail_msg("weight %zu: %.9g, but by differences %.9g", i, (double)gradient[i], numeric);
        }
    }
}

static void the_gradient_is_that_of_the_loss(void **state) {
    enum { ROWS = 50, FLOATS = ROWS * DIM };
    static float inputs[FLOATS], outputs[FLOATS], input_gradient[FLOATS], output_gradient[FLOATS];
    static double exact_inputs[FLOATS], exact_outputs[FLOATS];
    struct corpus corpus;
    struct skipgram_model model;
    struct skipgram_batch batch;
    struct skipgram_settings settings = usual;
    (void)state;
    settings.batch = 30;
    make_corpus(&corpus, 20, 2);
    make_model(&model, &corpus, &settings);
    assert_true(skipgram_batch_make(&batch, &model));
    struct skipgram_way *way = skipgram_way_create(&model, 0, 1);
    assert_non_null(way);
    assert_true(skipgram_way_next(way, &batch) && batch.neighbour_count > 0);
    fill(inputs, exact_inputs, FLOATS, 1);
    fill(outputs, exact_outputs, FLOATS, 2);
    memset(input_gradient, 0xff, sizeof input_gradient); /* NaN: to be overwritten */
    memset(output_gradient, 0xff, sizeof output_gradient);
    double loss = skipgram_gradient(&batch, settings.negatives, DIM, inputs, outputs, input_gradient, output_gradient);
    double exact = loss_of(&batch, settings.negatives, exact_inputs, exact_outputs);
    assert_true(fabs(loss - exact) < 1e-5 * exact);
    expect_gradient(&batch, exact_inputs, exact_outputs, exact_inputs, batch.inputs.count * DIM, input_gradient);
    expect_gradient(&batch, exact_inputs, exact_outputs, exact_outputs, batch.outputs.count * DIM, output_gradient);
    skipgram_way_destroy(way);
    skipgram_batch_finish(&batch);
    skipgram_model_finish(&model);
    corpus_finish(&corpus);
}

/* Products far beyond what exp can hold give a finite loss and slopes of 0 or 1. */
static void large_products_do_no_harm(void **state) {
    uint32_t targets[2] = {0, 1}, neighbours[1] = {0};
    struct skipgram_centre centre = {.first = 0, .count = 1};
    const struct skipgram_batch batch = {.inputs.count = 1,
                                         .outputs.count = 2,
                                         .centres = &centre,
                                         .targets = targets,
                                         .neighbours = neighbours,
                                         .centre_count = 1,
                                         .neighbour_count = 1};
    float input = 100.0f, outputs[2] = {-50.0f, 50.0f}, input_gradient = 0.0f, output_gradient[2];
    (void)state;
    double loss = skipgram_gradient(&batch, 1, 1, &input, outputs, &input_gradient, output_gradient);
    assert_true(fabs(loss - 10000.0) < 1e-3);
    assert_true(input_gradient == 100.0f && output_gradient[0] == -100.0f && output_gradient[1] == 100.0f);
    outputs[0] = 50.0f;
    outputs[1] = -50.0f;
    loss = skipgram_gradient(&batch, 1, 1, &input, outputs, &input_gradient, output_gradient);
    assert_true(loss >= 0.0 && loss < 1e-6 && fabsf(input_gradient) < 1e-6f);
}

/* ---- batches ---- */

/* Each id once, all below `size`; every place in use by someone. */
static void expect_side(const struct skipgram_side *side, uint32_t size) {
    bool seen[64] = {false};
    for (size_t i = 0; i < side->count; i++) {
        assert_true(side->ids[i] < size && !seen[side->ids[i]]);
        seen[side->ids[i]] = true;
    }
}

static void expect_batch(const struct skipgram_batch *batch, const struct skipgram_model *model) {
    const struct skipgram_settings *settings = &model->settings;
    size_t neighbours = 0;
    expect_side(&batch->inputs, vocabulary_size(model->corpus->vocabulary));
    expect_side(&batch->outputs, vocabulary_size(model->corpus->vocabulary));
    assert_true(batch->inputs.count <= skipgram_rows_high(model) && batch->outputs.count <= skipgram_rows_high(model));
    for (size_t c = 0; c < batch->centre_count; c++) {
        const struct skipgram_centre *centre = &batch->centres[c];
        const uint32_t *targets = batch->targets + c * (1 + settings->negatives);
        assert_int_equal(centre->first, neighbours);
        assert_true(centre->count >= 1 && centre->count <= 2 * settings->window);
        neighbours += centre->count;
        for (uint32_t t = 0; t <= settings->negatives; t++) {
            assert_true(targets[t] < batch->outputs.count);
            assert_true(t == 0 || targets[t] != targets[0]);
        }
    }
    assert_int_equal(batch->neighbour_count, neighbours);
    for (size_t n = 0; n < neighbours; n++) {
        assert_true(batch->neighbours[n] < batch->inputs.count);
    }
}

/* Goes a worker's whole way; adds up how often each word was a centre. Returns the words. */
static uint64_t walk(const struct skipgram_model *model, uint32_t worker, uint32_t workers, uint64_t *centres) {
    struct skipgram_batch batch;
    uint64_t words = 0;
    assert_true(skipgram_batch_make(&batch, model));
    struct skipgram_way *way = skipgram_way_create(model, worker, workers);
    assert_non_null(way);
    while (skipgram_way_next(way, &batch)) {
        expect_batch(&batch, model);
        words += batch.words;
        for (size_t c = 0; c < batch.centre_count; c++) {
            centres[batch.outputs.ids[batch.targets[c * (1 + model->settings.negatives)]]]++;
        }
    }
    assert_false(skipgram_way_next(way, &batch));
    skipgram_way_destroy(way);
    skipgram_batch_finish(&batch);
    return words;
}

static void every_word_is_a_centre_once_an_epoch_whoever_has_it(void **state) {
    struct corpus corpus;
    struct skipgram_model model;
    (void)state;
    make_corpus(&corpus, 100, 2);
    make_model(&model, &corpus, &usual);
    for (uint32_t workers = 1; workers <= 150; workers += 49) {
        uint64_t centres[64] = {0}, words = 0;
        for (uint32_t w = 0; w < workers; w++) {
            words += walk(&model, w, workers, centres);
        }
        assert_int_equal(words, corpus.word_count * usual.epochs);
        for (uint32_t i = 0; i < vocabulary_size(corpus.vocabulary); i++) {
            assert_int_equal(centres[i], vocabulary_seen(corpus.vocabulary, i) * usual.epochs);
        }
    }
    skipgram_model_finish(&model);
    corpus_finish(&corpus);
}

/* sqrt(t/f) + t/f, from word2vec; over 200 epochs, five standard deviations. */
static void frequent_words_are_passed_over(void **state) {
    struct corpus corpus;
    struct skipgram_model model;
    struct skipgram_settings settings = usual;
    uint64_t centres[64] = {0};
    (void)state;
    settings.subsample = 0.003;
    settings.epochs = 200;
    settings.batch = 1000;
    make_corpus(&corpus, 100, 40);
    make_model(&model, &corpus, &settings);
    walk(&model, 0, 1, centres);
    for (uint32_t i = 0; i < vocabulary_size(corpus.vocabulary); i++) {
        double seen = (double)vocabulary_seen(corpus.vocabulary, i), f = seen / (double)corpus.word_count;
        double keep = fmin(1.0, sqrt(0.003 / f) + 0.003 / f), draws = 200.0 * seen;
        double deviation = sqrt(draws * keep * (1.0 - keep));
        /* A word left alone in its passage is no centre; of 40 words some ten are left. */
        assert_true(fabs((double)centres[i] - draws * keep) <= 5.0 * deviation + 0.002 * draws);
        assert_true(keep == 1.0 || (double)centres[i] < draws);
    }
    skipgram_model_finish(&model);
    corpus_finish(&corpus);
}

/* Two ways with the same seed are the same to the last draw; another seed is another way. */
static void ways_depend_on_the_seed_alone(void **state) {
    struct corpus corpus;
    struct skipgram_model models[3];
    struct skipgram_batch batches[3];
    struct skipgram_way *ways[3];
    struct skipgram_settings settings = usual;
    bool more = true, differs = false;
    (void)state;
    settings.subsample = 0.01;
    make_corpus(&corpus, 60, 2);
    for (size_t i = 0; i < 3; i++) {
        settings.seed = i == 2 ? 4 : 3;
        make_model(&models[i], &corpus, &settings);
        assert_true(skipgram_batch_make(&batches[i], &models[i]));
        ways[i] = skipgram_way_create(&models[i], 1, 2);
        assert_non_null(ways[i]);
    }
    while (more) {
        more = skipgram_way_next(ways[0], &batches[0]);
        assert_true(skipgram_way_next(ways[1], &batches[1]) == more);
        skipgram_way_next(ways[2], &batches[2]);
        const struct skipgram_batch *a = &batches[0], *b = &batches[1], *c = &batches[2];
        assert_true(a->centre_count == b->centre_count && a->neighbour_count == b->neighbour_count);
        assert_true(a->inputs.count == b->inputs.count && a->outputs.count == b->outputs.count);
        assert_memory_equal(a->inputs.ids, b->inputs.ids, a->inputs.count * sizeof *a->inputs.ids);
        assert_memory_equal(a->outputs.ids, b->outputs.ids, a->outputs.count * sizeof *a->outputs.ids);
        assert_memory_equal(a->neighbours, b->neighbours, a->neighbour_count * sizeof *a->neighbours);
        assert_memory_equal(a->targets, b->targets, a->centre_count * (1 + settings.negatives) * sizeof *a->targets);
        differs = differs || a->neighbour_count != c->neighbour_count ||
                  memcmp(a->neighbours, c->neighbours, a->neighbour_count * sizeof *a->neighbours) != 0;
    }
    assert_true(differs);
    for (size_t i = 0; i < 3; i++) {
        skipgram_way_destroy(ways[i]);
        skipgram_batch_finish(&batches[i]);
        skipgram_model_finish(&models[i]);
    }
    corpus_finish(&corpus);
}

/* In passages of two words each word's one neighbour is the other. */
static void neighbours_are_who_stands_near(void **state) {
    static const char content[] = "ab cd\n\nef gh\n\nab cd\n\nef gh\n\n";
    struct corpus corpus;
    struct skipgram_model model;
    struct skipgram_batch batch;
    (void)state;
    assert_true(corpus_make(&corpus, content, sizeof content - 1, 1, text, sizeof text));
    make_model(&model, &corpus, &usual);
    assert_true(skipgram_batch_make(&batch, &model));
    struct skipgram_way *way = skipgram_way_create(&model, 0, 1);
    assert_non_null(way);
    while (skipgram_way_next(way, &batch)) {
        for (size_t c = 0; c < batch.centre_count; c++) {
            uint64_t centre = batch.outputs.ids[batch.targets[c * (1 + usual.negatives)]];
            assert_int_equal(batch.centres[c].count, 1);
            uint64_t neighbour = batch.inputs.ids[batch.neighbours[batch.centres[c].first]];
            assert_int_equal(neighbour, centre ^ 1); /* ab 0, cd 1, ef 2, gh 3 */
        }
    }
    skipgram_way_destroy(way);
    skipgram_batch_finish(&batch);
    skipgram_model_finish(&model);
    corpus_finish(&corpus);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_is_that_of_the_loss),
        cmocka_unit_test(large_products_do_no_harm),
        cmocka_unit_test(every_word_is_a_centre_once_an_epoch_whoever_has_it),
        cmocka_unit_test(frequent_words_are_passed_over),
        cmocka_unit_test(ways_depend_on_the_seed_alone),
        cmocka_unit_test(neighbours_are_who_stands_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
