/* One optimizer's way down a landscape: a tensor of two weights on a server, to which the landscape's gradient is
 * pushed step by step, and what can be measured on the way.
 *
 * The effective step size of a step is the length of the step over the length of the gradient it followed: the learning
 * rate with which plain gradient descent would have gone as far. For one weight alone it is |its step| / |its
 * gradient|.
 */
#ifndef CANYON_SIMULATOR_DESCENT_H
#define CANYON_SIMULATOR_DESCENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "canyon.h"
#include "client/simulator/landscape.h"

#define DESCENT_STEPS_HIGH 100000
#define DESCENT_FAR        1e6 /* a descent ends when a coordinate gets beyond it */

struct descent {
    const struct landscape *landscape;
    const char *label;              /* as it was asked for: "adam:beta1=0.8"; the caller's */
    struct canyon_tensor_info info; /* its optimizer and settings, as the server has them */
    uint64_t steps;                 /* taken: as many as were asked for, or fewer when it went too far away */
    float (*at)[2];                 /* steps + 1 places; the first is the start */
    float (*gradient)[2];           /* steps gradients; gradient[t] was taken at at[t] and led to at[t + 1] */
};

/* Goes down for `steps` steps (1 to DESCENT_STEPS_HIGH) from `start`. `optimizer` is "NAME[:key=value,...]"; when it
 * gives no lr, the landscape's for it is used, else the server's default. The tensor's name begins with `prefix`; it is
 * dropped afterwards, whatever happens. On CANYON_OK *descent is to be finished. Otherwise it is zeroed and `text` says
 * what was being done and why it failed; CANYON_CLOSED when interrupt_signal() asked for an end. */
enum canyon_status descent_run(canyon_client *client, const char *prefix, const struct landscape *landscape,
                               const float start[2], uint64_t steps, const char *optimizer, struct descent *descent,
                               char *text, size_t bytes);

/* Frees. Safe on a zeroed one. */
void descent_finish(struct descent *descent);

/* The landscape's value at place t, from 0 to steps. */
double descent_loss(const struct descent *descent, uint64_t t);

/* The first step (counted from 1; 0: the start) whose loss is at or below `goal`; UINT64_MAX when none is. */
uint64_t descent_arrival(const struct descent *descent, double goal);

/* Of step t, counted from 1: its length, and the effective step size; the latter negative when the gradient was 0. */
double descent_length(const struct descent *descent, uint64_t t);
double descent_effective(const struct descent *descent, uint64_t t);

/* The same for weight i (0 is x, 1 is y) alone. */
double descent_effective_of(const struct descent *descent, uint64_t t, size_t i);

/* The learning rate in force, or -1 when the optimizer has no setting "lr". */
double descent_rate(const struct descent *descent);

#endif
