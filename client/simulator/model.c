#include "client/simulator/model.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "client/simulator/counter.h"

/* A layer's weights are (inputs, outputs): element i * outputs + o joins input i to output o. */
struct layer {
    const float *weights, *biases;
    size_t inputs, outputs;
};

static void model_add(struct model *model, const char *name, uint64_t rows, uint64_t columns) {
    struct model_tensor *tensor = &model->tensors[model->tensor_count++];
    *tensor = (struct model_tensor){.name = name,
                                    .rank = rows == 0 ? 1 : 2,
                                    .dims = {rows == 0 ? columns : rows, rows == 0 ? 0 : columns},
                                    .elements = (size_t)(rows == 0 ? columns : rows * columns),
                                    .offset = model->parameters};
    model->parameters += tensor->elements;
}

void model_init(struct model *model, enum model_kind kind, size_t hidden) {
    memset(model, 0, sizeof *model);
    model->kind = kind;
    if (kind == MODEL_SOFTMAX) {
        model_add(model, "w", DIGITS_PIXELS, DIGITS_CLASSES);
        model_add(model, "b", 0, DIGITS_CLASSES);
        return;
    }
    assert(hidden >= 1 && hidden <= MODEL_HIDDEN_HIGH);
    model->hidden = hidden;
    model_add(model, "w1", DIGITS_PIXELS, hidden);
    model_add(model, "b1", 0, hidden);
    model_add(model, "w2", hidden, DIGITS_CLASSES);
    model_add(model, "b2", 0, DIGITS_CLASSES);
}

void model_first_weights(const struct model *model, uint64_t seed, float *parameters) {
    for (size_t t = 0; t < model->tensor_count; t++) {
        const struct model_tensor *tensor = &model->tensors[t];
        float *values = parameters + tensor->offset;
        double inputs = (double)tensor->dims[0], outputs = (double)tensor->dims[1];
        bool last = t + 2 == model->tensor_count; /* the weights before the softmax */
        float bound = (float)sqrt(6.0 / (last ? inputs + outputs : inputs));
        for (size_t i = 0; i < tensor->elements; i++) {
            values[i] = tensor->rank == 1 ? 0.0f : bound * counter_sign_unit(seed, t, i);
        }
    }
}

/* Layer l, counted from 0, of the model. */
static struct layer model_layer(const struct model *model, const float *parameters, size_t l) {
    const struct model_tensor *weights = &model->tensors[2 * l], *biases = &model->tensors[2 * l + 1];
    return (struct layer){.weights = parameters + weights->offset,
                          .biases = parameters + biases->offset,
                          .inputs = (size_t)weights->dims[0],
                          .outputs = (size_t)weights->dims[1]};
}

static void layer_forward(struct layer layer, const float *restrict x, float *restrict out) {
    memcpy(out, layer.biases, layer.outputs * sizeof *out);
    for (size_t i = 0; i < layer.inputs; i++) {
        const float *restrict row = layer.weights + i * layer.outputs;
        float xi = x[i];
        if (xi != 0.0f) { /* half of the pixels are white */
            for (size_t o = 0; o < layer.outputs; o++) {
                out[o] += xi * row[o];
            }
        }
    }
}

/* Adds the gradient of weights and biases, given that of the outputs. */
static void layer_backward(struct layer layer, const float *restrict x, const float *restrict dout,
                           float *restrict dweights, float *restrict dbiases) {
    for (size_t o = 0; o < layer.outputs; o++) {
        dbiases[o] += dout[o];
    }
    for (size_t i = 0; i < layer.inputs; i++) {
        float *restrict row = dweights + i * layer.outputs;
        float xi = x[i];
        if (xi != 0.0f) {
            for (size_t o = 0; o < layer.outputs; o++) {
                row[o] += xi * dout[o];
            }
        }
    }
}

/* The gradient of a layer's inputs through the ReLU that made them: zero where the input is. */
static void layer_inputs_backward(struct layer layer, const float *restrict x, const float *restrict dout,
                                  float *restrict dx) {
    for (size_t i = 0; i < layer.inputs; i++) {
        const float *restrict row = layer.weights + i * layer.outputs;
        float sum = 0.0f;
        for (size_t o = 0; o < layer.outputs; o++) {
            sum += row[o] * dout[o];
        }
        dx[i] = x[i] > 0.0f ? sum : 0.0f;
    }
}

/* Replaces logits by probabilities; returns -log of the label's. The largest logit is taken off first, so that no
 * exponential overflows. */
static double softmax_loss(float logits[DIGITS_CLASSES], size_t label) {
    float largest = logits[0], sum = 0.0f;
    for (size_t c = 1; c < DIGITS_CLASSES; c++) {
        largest = fmaxf(largest, logits[c]);
    }
    float wanted = logits[label] - largest;
    for (size_t c = 0; c < DIGITS_CLASSES; c++) {
        logits[c] = expf(logits[c] - largest);
        sum += logits[c];
    }
    for (size_t c = 0; c < DIGITS_CLASSES; c++) {
        logits[c] /= sum;
    }
    return log((double)sum) - (double)wanted;
}

/* From pixels to logits. `hidden` gets what comes out of the ReLU; softmax leaves it alone. */
static void model_forward(const struct model *model, const float *parameters, const float *pixels, float *hidden,
                          float logits[DIGITS_CLASSES]) {
    struct layer first = model_layer(model, parameters, 0);
    if (model->kind == MODEL_SOFTMAX) {
        layer_forward(first, pixels, logits);
        return;
    }
    layer_forward(first, pixels, hidden);
    for (size_t h = 0; h < model->hidden; h++) {
        hidden[h] = fmaxf(hidden[h], 0.0f);
    }
    layer_forward(model_layer(model, parameters, 1), hidden, logits);
}

static float *layer_gradient(const struct model_pass *pass, size_t tensor) {
    return pass->gradient + pass->model->tensors[tensor].offset;
}

static size_t model_layers(const struct model *model) {
    return model->tensor_count / 2;
}

/* Adds one image's part to the last layer's gradient; dlogits is that of its logits. What the layer below needs of it
 * is kept. */
static void pass_last_layer(struct model_pass *pass, const float *parameters, size_t image, const float *pixels,
                            const float *hidden, const float dlogits[DIGITS_CLASSES]) {
    const struct model *model = pass->model;
    size_t last = model_layers(model) - 1;
    struct layer layer = model_layer(model, parameters, last);
    layer_backward(layer, last == 0 ? pixels : hidden, dlogits, layer_gradient(pass, 2 * last),
                   layer_gradient(pass, 2 * last + 1));
    if (last > 0) {
        layer_inputs_backward(layer, hidden, dlogits, pass->dhidden + image * model->hidden);
    }
}

double model_pass_begin(struct model_pass *pass, const struct model *model, const float *parameters,
                        const struct digits *digits, const uint32_t *indices, size_t count, float *gradient,
                        float *dhidden) {
    assert(count > 0);
    double loss = 0.0;
    float hidden[MODEL_HIDDEN_HIGH], logits[DIGITS_CLASSES];
    *pass = (struct model_pass){.model = model,
                                .digits = digits,
                                .indices = indices,
                                .count = count,
                                .gradient = gradient,
                                .dhidden = dhidden,
                                .layer = model_layers(model) - 1};
    memset(gradient, 0, model->parameters * sizeof *gradient);
    for (size_t k = 0; k < count; k++) {
        const float *pixels = digits->pixels + (size_t)indices[k] * DIGITS_PIXELS;
        size_t label = digits->labels[indices[k]];
        model_forward(model, parameters, pixels, hidden, logits);
        loss += softmax_loss(logits, label);
        logits[label] -= 1.0f; /* the gradient of the loss by the logits: probabilities minus the truth */
        for (size_t c = 0; c < DIGITS_CLASSES; c++) {
            logits[c] /= (float)count;
        }
        pass_last_layer(pass, parameters, k, pixels, hidden, logits);
    }
    return loss / (double)count;
}

bool model_pass_next(struct model_pass *pass) {
    const struct model *model = pass->model;
    if (pass->layer == 0) {
        return false;
    }
    pass->layer--;
    assert(pass->layer == 0); /* no model here has more than one hidden layer */
    const struct layer layer = {.inputs = DIGITS_PIXELS, .outputs = model->hidden};
    for (size_t k = 0; k < pass->count; k++) {
        layer_backward(layer, pass->digits->pixels + (size_t)pass->indices[k] * DIGITS_PIXELS,
                       pass->dhidden + k * model->hidden, layer_gradient(pass, 0), layer_gradient(pass, 1));
    }
    return true;
}

size_t model_pass_floats(const struct model *model, size_t count) {
    return model->hidden * count;
}

struct model_score model_evaluate(const struct model *model, const float *parameters, const struct digits *digits,
                                  const uint32_t *indices, size_t count) {
    assert(count > 0);
    double loss = 0.0;
    size_t right = 0;
    float hidden[MODEL_HIDDEN_HIGH], logits[DIGITS_CLASSES];
    for (size_t k = 0; k < count; k++) {
        size_t label = digits->labels[indices[k]], best = 0;
        model_forward(model, parameters, digits->pixels + (size_t)indices[k] * DIGITS_PIXELS, hidden, logits);
        for (size_t c = 1; c < DIGITS_CLASSES; c++) {
            best = logits[c] > logits[best] ? c : best;
        }
        right += best == label;
        loss += softmax_loss(logits, label);
    }
    return (struct model_score){.loss = loss / (double)count, .accuracy = (double)right / (double)count};
}
