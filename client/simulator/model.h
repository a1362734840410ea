/* The models the simulator trains: forward pass, loss, gradients and first weights, all in plain C and float32.
 *
 * A model is a description; its parameters are one array of floats that holds the tensors one after another, and a
 * gradient is an array of the same form.
 *   softmax  logits = x w + b                        tensors w (64, 10), b (10)
 *   mlp      logits = relu(x w1 + b1) w2 + b2        tensors w1 (64, hidden), b1 (hidden), w2 (hidden, 10), b2 (10)
 * The loss of an image is the cross-entropy -log softmax(logits)[label], in nats. */
#ifndef CANYON_SIMULATOR_MODEL_H
#define CANYON_SIMULATOR_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "client/simulator/digits.h"

#define MODEL_TENSORS     4
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

/* The mean loss of the images `indices[0..count)` and its gradient: writes all model->parameters elements of
 * `gradient`. count is above 0. */
double model_gradient(const struct model *model, const float *parameters, const struct digits *digits,
                      const uint32_t *indices, size_t count, float *gradient);

struct model_score {
    double loss;     /* mean */
    double accuracy; /* fraction of images whose largest logit is their label's; 0 to 1 */
};

/* count is above 0. */
struct model_score model_evaluate(const struct model *model, const float *parameters, const struct digits *digits,
                                  const uint32_t *indices, size_t count);

#endif
