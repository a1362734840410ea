#include "client/gradients.h"

#include <math.h>
#include <stddef.h>

/* Sums that run side by side, so that an addition need not wait for the one before. */
#define LANES 16

static double squares(const float *values, uint64_t count) {
    double sums[LANES] = {0.0}, sum = 0.0;
    uint64_t at = 0;
    for (; at + LANES <= count; at += LANES) {
        for (size_t i = 0; i < LANES; i++)
            sums[i] += (double)values[at + i] * (double)values[at + i];
    }
    for (size_t i = 0; at + i < count; i++)
        sums[i] += (double)values[at + i] * (double)values[at + i];
    for (size_t i = 0; i < LANES; i++)
        sum += sums[i];
    return sum;
}

static bool is_gradient(const struct transfer_item *item) {
    return item->type == FRAME_PUSH || item->type == FRAME_PUSH_PULL;
}

double gradients_norm(const struct transfer_item *items, size_t count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        if (is_gradient(&items[i]))
            sum += squares(items[i].out, items[i].tensor->elements);
    }
    return sqrt(sum);
}

/* Names the first element that is not finite: the norm says that there is one. */
static enum canyon_status refuse(const struct transfer_item *items, size_t count, struct error *error) {
    for (size_t i = 0; i < count; i++) {
        for (uint64_t at = 0; is_gradient(&items[i]) && at < items[i].tensor->elements; at++) {
            double value = (double)items[i].out[at];
            if (!isfinite(value))
                return error_set(error, CANYON_NOT_FINITE,
                                 "tensor \"%s\": element %llu of the gradient is %s; nothing of this step was sent",
                                 items[i].tensor->info.spec.name, (unsigned long long)at,
                                 isnan(value) ? "NaN"
                                 : value > 0  ? "infinity"
                                              : "-infinity");
        }
    }
    return error_set(error, CANYON_NOT_FINITE, "a gradient changed while its norm was taken");
}

static enum canyon_status scale(struct canyon_client *client, struct transfer_item *items, size_t count, double factor,
                                struct client_room *copy, struct error *error) {
    uint64_t all = 0;
    for (size_t i = 0; i < count; i++)
        all += is_gradient(&items[i]) ? items[i].tensor->elements : 0;
    if (!client_take_room(client, all, copy))
        return error_set(error, CANYON_NO_MEMORY, "no memory for a scaled copy of %llu gradient elements",
                         (unsigned long long)all);
    float *to = copy->values;
    for (size_t i = 0; i < count; i++) {
        if (is_gradient(&items[i])) {
            const float *from = items[i].out;
            for (uint64_t at = 0; at < items[i].tensor->elements; at++)
                to[at] = (float)((double)from[at] * factor);
            items[i].out = to;
            to += items[i].tensor->elements;
        }
    }
    return CANYON_OK;
}

static enum canyon_status check(const struct canyon_step_options *options, struct error *error) {
    if (options->size != sizeof *options)
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "the step's options are of an unknown size: call canyon_step_options_init first");
    if (!(options->clip_norm >= 0.0))
        return error_set(error, CANYON_INVALID_ARGUMENT, "clip_norm is %g; it must be at least 0 (0: do not clip)",
                         options->clip_norm);
    return CANYON_OK;
}

enum canyon_status gradients_treat(struct canyon_client *client, struct transfer_item *items, size_t count,
                                   struct canyon_step_options *options, struct client_room *copy, struct error *error) {
    enum canyon_status status = check(options, error);
    if (status != CANYON_OK)
        return status;
    options->norm = 0.0;
    options->clipped = 0;
    if (options->clip_norm == 0.0 && !options->check_finite)
        return CANYON_OK;
    options->norm = gradients_norm(items, count);
    atomic_fetch_add(&client->checked, 1);
    if (!isfinite(options->norm)) {
        atomic_fetch_add(&client->not_finite, 1);
        return refuse(items, count, error);
    }
    if (options->clip_norm == 0.0 || options->norm <= options->clip_norm)
        return CANYON_OK;
    status = scale(client, items, count, options->clip_norm / options->norm, copy, error);
    if (status == CANYON_OK) {
        options->clipped = 1;
        atomic_fetch_add(&client->clipped, 1);
    }
    return status;
}
