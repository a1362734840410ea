/* The models the simulator trains: forward pass, loss, gradients and first weights, all in plain C and float32.
 *
 * A model is a description; its parameters are one array of floats that holds the tensors one after another, and a
 * gradient is an array of the same form.
 *   softmax  logits = x w + b                        tensors w (64, 10), b (10)
 *   mlp      logits = relu(x w1 + b1) w2 + b2        tensors w1 (64, hidden), b1 (hidden), w2 (hidden, 10), b2 (10)
 * The loss of an image is the cross-entropy -log softmax(logits)[label], in nats. */
#ifndef CANYON_SIMULATOR_MODEL_H
#define CANYON_SIMULATOR_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/digits.h"

#define MODEL_LAYERS      2 /* most; each has two tensors, weights and biases */
#define MODEL_TENSORS     (2 * MODEL_LAYERS)
#define MODEL_HIDDEN_HIGH 4096

enum model_kind { MODEL_SOFTMAX, MODEL_MLP };

struct model_tensor {
    const char *name; /* static */
    uint32_t rank;
    uint64_t dims[2];
    size_t elements;
    size_t offset; /* of its first element among the parameters */
};

struct model {
    enum model_kind kind;
    size_t hidden; /* units of the hidden layer; 0 for softmax */
    size_t tensor_count;
    struct model_tensor tensors[MODEL_TENSORS];
    size_t parameters; /* of all tensors together */
};

/* hidden: 1 to MODEL_HIDDEN_HIGH; softmax ignores it. */
void model_init(struct model *model, enum model_kind kind, size_t hidden);

/* First weights: uniform in +-sqrt(6 / inputs) before a ReLU (Kaiming) and in +-sqrt(6 / (inputs + outputs)) before the
 * softmax (Xavier), biases 0. They depend on seed, tensor and element alone, so every optimizer begins at the same
 * place, on every machine. `parameters` has model->parameters elements. */
void model_first_weights(const struct model *model, uint64_t seed, float *parameters);

/* The gradient of a batch, layer by layer from the last to the first, so that a layer's can travel while the next one
 * is computed:
 *
 *     loss = model_pass_begin(&pass, model, weights, digits, indices, count, gradient, dhidden);
 *     do push(tensors 2 * pass.layer and 2 * pass.layer + 1); while (model_pass_next(&pass));
 *
 * After model_pass_begin the weights are not read any more: fresh ones may arrive in their place. Everything pointed to
 * is borrowed until the pass is over. */
struct model_pass {
    const struct model *model;
    const struct digits *digits;
    const uint32_t *indices;
    size_t count;
    float *gradient; /* of all parameters; layer `layer` and those above it are final */
    float *dhidden;  /* the loss by what goes into the hidden units' ReLU, image by image */
    size_t layer;    /* counted from 0: its gradient is computed */
};

/* How many floats a pass over `count` images needs as `dhidden`; 0 for softmax, whose may be NULL. */
size_t model_pass_floats(const struct model *model, size_t count);

/* The mean loss of the images `indices[0..count)`, and the last layer's gradient; the rest of the model->parameters
 * elements of `gradient` is set to 0. count is above 0. */
double model_pass_begin(struct model_pass *pass, const struct model *model, const float *parameters,
                        const struct digits *digits, const uint32_t *indices, size_t count, float *gradient,
                        float *dhidden);

/* The gradient of the layer below; false when the last one computed was the first layer. */
bool model_pass_next(struct model_pass *pass);

struct model_score {
    double loss;     /* mean */
    double accuracy; /* fraction of images whose largest logit is their label's; 0 to 1 */
};

/* count is above 0. */
struct model_score model_evaluate(const struct model *model, const float *parameters, const struct digits *digits,
                                  const uint32_t *indices, size_t count);

#endif
