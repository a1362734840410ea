/* The models: gradients against finite differences, losses against known values, learning on real data. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/simulator/counter.h"
#include "client/simulator/model.h"
#include "client/simulator/sampler.h"
#include "client/simulator/split.h"

static struct digits digits;
static struct split split;

static int load(void **state) {
    char text[DIGITS_TEXT_BYTES];
    (void)state;
    if (!digits_load(&digits, text, sizeof text)) {
        return -1;
    }
    split_make(&digits, &split);
    return 0;
}

static int unload(void **state) {
    (void)state;
    digits_finish(&digits);
    return 0;
}

static float *floats(size_t count) {
    float *values = calloc(count, sizeof *values);
    assert_non_null(values);
    return values;
}

static void the_tensors_are_laid_out_one_after_another(void **state) {
    struct model model;
    (void)state;
    model_init(&model, MODEL_SOFTMAX, 99);
    assert_int_equal(model.tensor_count, 2);
    assert_int_equal(model.parameters, 650);
    model_init(&model, MODEL_MLP, 64);
    assert_int_equal(model.tensor_count, 4);
    assert_int_equal(model.parameters, 64 * 64 + 64 + 640 + 10);
    size_t offset = 0;
    for (size_t t = 0; t < 4; t++) {
        assert_int_equal(model.tensors[t].offset, offset);
        offset += model.tensors[t].elements;
    }
    assert_int_equal(model.tensors[2].dims[0], 64);
    assert_int_equal(model.tensors[2].dims[1], 10);
    assert_int_equal(model.tensors[3].rank, 1);
}

/* The gradient of a whole batch: loss, and all model.parameters elements of `gradient`. */
static double gradient_of(const struct model *model, const float *parameters, const uint32_t *indices, size_t count,
                          float *gradient) {
    struct model_pass pass;
    float *dhidden = floats(model_pass_floats(model, count) + 1);
    double loss = model_pass_begin(&pass, model, parameters, &digits, indices, count, gradient, dhidden);
    while (model_pass_next(&pass)) {
    }
    free(dhidden);
    return loss;
}

/* The loss again, written down directly in double: what the model's gradients are checked against. */
static double reference_loss(const struct model *model, const double *parameters, const uint32_t *indices,
                             size_t count) {
    double sum = 0.0;
    for (size_t k = 0; k < count; k++) {
        const float *pixels = digits.pixels + (size_t)indices[k] * DIGITS_PIXELS;
        double layer[MODEL_HIDDEN_HIGH], total = 0.0, logits[DIGITS_CLASSES];
        size_t inputs = DIGITS_PIXELS;
        const double *at = parameters;
        for (size_t i = 0; i < inputs; i++) {
            layer[i] = (double)pixels[i];
        }
        if (model->kind == MODEL_MLP) {
            double next[MODEL_HIDDEN_HIGH];
            for (size_t h = 0; h < model->hidden; h++) {
                next[h] = at[inputs * model->hidden + h];
                for (size_t i = 0; i < inputs; i++) {
                    next[h] += layer[i] * at[i * model->hidden + h];
                }
                next[h] = next[h] > 0.0 ? next[h] : 0.0;
            }
            at += (inputs + 1) * model->hidden;
            inputs = model->hidden;
            memcpy(layer, next, inputs * sizeof *layer);
        }
        for (size_t c = 0; c < DIGITS_CLASSES; c++) {
            logits[c] = at[inputs * DIGITS_CLASSES + c];
            for (size_t i = 0; i < inputs; i++) {
                logits[c] += layer[i] * at[i * DIGITS_CLASSES + c];
            }
            total += exp(logits[c]);
        }
        sum += log(total) - logits[digits.labels[indices[k]]];
    }
    return sum / (double)count;
}

static void check_gradient(enum model_kind kind, size_t hidden, size_t count) {
    struct model model;
    model_init(&model, kind, hidden);
    float *parameters = floats(model.parameters), *gradient = floats(model.parameters);
    double *exact = calloc(model.parameters, sizeof *exact);
    assert_non_null(exact);
    model_first_weights(&model, 7, parameters);
    for (size_t i = 0; i < model.parameters; i++) {
        parameters[i] += 0.1f * counter_sign_unit(3, 3, i); /* biases are not 0 either */
        exact[i] = (double)parameters[i];
        gradient[i] = NAN; /* must be overwritten */
    }
    double loss = gradient_of(&model, parameters, split.train, count, gradient);
    assert_true(fabs(loss - reference_loss(&model, exact, split.train, count)) < 1e-5);
    for (size_t i = 0; i < model.parameters; i++) {
        const double step = 1e-5; /* small enough that few ReLUs change sides */
        exact[i] += step;
        double above = reference_loss(&model, exact, split.train, count);
        exact[i] -= 2.0 * step;
        double below = reference_loss(&model, exact, split.train, count);
        exact[i] = (double)parameters[i];
        double wanted = (above - below) / (2.0 * step);
        if (fabs((double)gradient[i] - wanted) > 2e-5) {
            fail_msg("parameter %zu: gradient %.9g, finite difference %.9g", i, (double)gradient[i], wanted);
        }
    }
    free(exact);
    free(gradient);
    free(parameters);
}

static void gradients_are_finite_differences(void **state) {
    (void)state;
    check_gradient(MODEL_SOFTMAX, 0, 1);
    check_gradient(MODEL_SOFTMAX, 0, 9);
    check_gradient(MODEL_MLP, 16, 1);
    check_gradient(MODEL_MLP, 5, 6);
}

/* The promise on which a layer's push rests while the next one's gradient is computed: after the beginning the weights
 * are not read, and a layer that is done is not touched. */
static void a_pass_reads_no_weights_after_its_beginning(void **state) {
    enum { COUNT = 33 };
    struct model model;
    struct model_pass pass;
    (void)state;
    model_init(&model, MODEL_MLP, 24);
    float *parameters = floats(model.parameters), *gradient = floats(model.parameters);
    float *whole = floats(model.parameters), *dhidden = floats(model_pass_floats(&model, COUNT));
    model_first_weights(&model, 5, parameters);
    double loss = gradient_of(&model, parameters, split.train, COUNT, whole);
    assert_true(model_pass_begin(&pass, &model, parameters, &digits, split.train, COUNT, gradient, dhidden) == loss);
    assert_int_equal(pass.layer, 1);
    size_t upper = model.tensors[2].offset;
    assert_memory_equal(gradient + upper, whole + upper, (model.parameters - upper) * sizeof *whole);
    for (size_t i = 0; i < model.parameters; i++) {
        parameters[i] = NAN; /* as if others' weights arrived */
        gradient[i] = i >= upper ? NAN : gradient[i];
    }
    assert_true(model_pass_next(&pass));
    assert_int_equal(pass.layer, 0);
    assert_memory_equal(gradient, whole, upper * sizeof *whole);
    for (size_t i = upper; i < model.parameters; i++) {
        assert_true(isnan(gradient[i]));
    }
    assert_false(model_pass_next(&pass));
    free(dhidden);
    free(whole);
    free(gradient);
    free(parameters);
}

static void without_knowledge_the_loss_is_log_10(void **state) {
    struct model model;
    (void)state;
    model_init(&model, MODEL_MLP, 8);
    float *parameters = floats(model.parameters);
    struct model_score score = model_evaluate(&model, parameters, &digits, split.test, SPLIT_TEST);
    assert_true(fabs(score.loss - log(10.0)) < 1e-6);
    assert_true(fabs(score.accuracy - 50.0 / 500.0) < 1e-12); /* all are taken for 0, of which there are 50 */
    free(parameters);
}

static void large_logits_do_not_overflow(void **state) {
    struct model model;
    (void)state;
    model_init(&model, MODEL_SOFTMAX, 0);
    float *parameters = floats(model.parameters), *gradient = floats(model.parameters);
    const uint32_t first = 0;
    size_t label = digits.labels[0], wrong = (label + 1) % 10;
    parameters[640 + wrong] = 1e4f;
    double loss = gradient_of(&model, parameters, &first, 1, gradient);
    assert_true(fabs(loss - 1e4) < 1e-2);
    assert_true(gradient[640 + label] == -1.0f);
    assert_true(gradient[640 + wrong] == 1.0f);
    free(gradient);
    free(parameters);
}

static void first_weights_stay_in_their_bounds(void **state) {
    struct model model;
    double sum = 0.0, squares = 0.0;
    (void)state;
    model_init(&model, MODEL_MLP, 64);
    float *one = floats(model.parameters), *same = floats(model.parameters), *other = floats(model.parameters);
    model_first_weights(&model, 1, one);
    model_first_weights(&model, 1, same);
    model_first_weights(&model, 2, other);
    assert_memory_equal(one, same, model.parameters * sizeof *one);
    assert_memory_not_equal(one, other, 4096 * sizeof *one);
    for (size_t i = 0; i < 4096; i++) {
        assert_true(fabsf(one[i]) <= sqrtf(6.0f / 64.0f));
        sum += (double)one[i];
        squares += (double)one[i] * (double)one[i];
    }
    /* Kaiming: mean 0, variance 2 / 64. */
    assert_true(fabs(sum / 4096.0) < 0.012);
    assert_true(fabs(squares / 4096.0 - 2.0 / 64.0) < 0.002);
    for (size_t i = 0; i < 64; i++) {
        assert_true(one[4096 + i] == 0.0f);
    }
    for (size_t i = 0; i < 640; i++) {
        assert_true(fabsf(one[4160 + i]) <= sqrtf(6.0f / 74.0f));
    }
    free(other);
    free(same);
    free(one);
}

/* Plain descent with these gradients learns the digits: whatever is wrong elsewhere, the model is not. */
static void gradient_descent_learns(void **state) {
    struct model model;
    struct sampler sampler;
    const uint32_t *indices = NULL;
    size_t count = 0;
    (void)state;
    model_init(&model, MODEL_MLP, 32);
    float *parameters = floats(model.parameters), *gradient = floats(model.parameters);
    model_first_weights(&model, 1, parameters);
    sampler_init(&sampler, &split, 0, 1, 32, 10, 1);
    while ((count = sampler_next(&sampler, &indices)) > 0) {
        gradient_of(&model, parameters, indices, count, gradient);
        for (size_t i = 0; i < model.parameters; i++) {
            parameters[i] -= 0.1f * gradient[i];
        }
    }
    struct model_score score = model_evaluate(&model, parameters, &digits, split.test, SPLIT_TEST);
    assert_true(score.accuracy > 0.9);
    assert_true(score.loss < 0.4);
    free(gradient);
    free(parameters);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tensors_are_laid_out_one_after_another),
        cmocka_unit_test(gradients_are_finite_differences),
        cmocka_unit_test(a_pass_reads_no_weights_after_its_beginning),
        cmocka_unit_test(without_knowledge_the_loss_is_log_10),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(first_weights_stay_in_their_bounds),
        cmocka_unit_test(gradient_descent_learns),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
