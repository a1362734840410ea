/* A model's tensors on the servers, seen from one process: its connection, its handles and its copy of the weights.
 *
 * Calls answer canyon.h's codes and, on failure, leave a text that says what was being done and why it failed. */
#ifndef CANYON_SIMULATOR_PARAMETERS_H
#define CANYON_SIMULATOR_PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "canyon.h"
#include "client/simulator/news.h"
#include "client/simulator/plan.h"

struct parameters {
    const struct plan *plan;
    canyon_client *client;
    canyon_tensor *tensors[MODEL_TENSORS];
    struct canyon_item items[MODEL_TENSORS]; /* of the last pushes: staleness, and what was refused */
    uint64_t updates;                        /* of the block that had fewest when the weights were last pulled */
    canyon_future *futures[MODEL_LAYERS];    /* of the layers that parameters_begin began, `under_way` of them */
    size_t under_way;
    bool clipped;               /* the last step's gradients were */
    float *weights, *gradient;  /* plan->model.parameters floats each */
    char text[NEWS_TEXT_BYTES]; /* of the last failure */
};

/* Connects under the name `name`; `mode` is the consistency mode it asks for, NULL for none. The plan must outlive it;
 * parameters_close in every case. */
enum canyon_status parameters_connect(struct parameters *parameters, const struct plan *plan, const char *name,
                                      const char *mode);

/* Creates the tensors "PREFIX OPTIMIZER.TENSOR" (without the blank), or opens them when another process was first. */
enum canyon_status parameters_create(struct parameters *parameters);

/* Fetches the weights; of a worker that counts clocks, when its clock and the mode allow. */
enum canyon_status parameters_pull(struct parameters *parameters);

/* A gradient's weights come back with its push; or, where the plan has a consistency mode, the weights stay as they are
 * until they are pulled.
 *
 * Pushes the gradient of all tensors in one step, clipped to plan->clip_norm, and receives the weights it made. */
enum canyon_status parameters_step(struct parameters *parameters);

/* Pushes the gradient of those tensors again of which the last push was refused, in part or as a whole, clipped. */
enum canyon_status parameters_again(struct parameters *parameters);

/* Begins to push the gradient of one layer's two tensors and to receive the weights it makes, while the caller computes
 * the next layer's. Each layer once before parameters_await; gradients are not clipped, because the norm of all of them
 * is known only when all are there. */
enum canyon_status parameters_begin(struct parameters *parameters, size_t layer);

/* The same for the layer after which there is nothing to compute: pushes it, and waits for it and all that was begun. A
 * failure of this one is the result, else the first of the others. */
enum canyon_status parameters_end(struct parameters *parameters, size_t layer);

/* Waits for all that was begun, without a last layer: after a failure. The first failure is the result. */
enum canyon_status parameters_await(struct parameters *parameters);

/* From now on the tensors' values travel as plan->coding says. */
enum canyon_status parameters_encode(struct parameters *parameters);

/* The learning rate in force, or -1 when the optimizer has no setting "lr". */
double parameters_rate(const struct parameters *parameters);

/* Drops all the run's tensors; ones that do not exist count as dropped. The first failure is the result, the others are
 * tried all the same. */
enum canyon_status parameters_drop(struct parameters *parameters);

/* Closes handles and connection and frees. Safe on a zeroed one. */
void parameters_close(struct parameters *parameters);

#endif
