/* The public calls that move values. */
#include <stdlib.h>

#include "client/error.h"
#include "client/gradients.h"
#include "client/transfer.h"

/* Checks a step's items and gives their internal form, owned by the caller. */
static enum canyon_status step_take(canyon_client *client, const struct canyon_item *items, size_t count,
                                    struct transfer_item **taken, struct error *error) {
    if (items == NULL && count > 0)
        return error_set(error, CANYON_INVALID_ARGUMENT, "the items are NULL");
    struct transfer_item *list = calloc(count + 1, sizeof *list);
    if (list == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for a step of %zu tensors", count);
    *taken = list;
    for (size_t i = 0; i < count; i++) {
        const struct canyon_item *item = &items[i];
        if (item->tensor == NULL || item->tensor->client != client)
            return error_set(error, CANYON_INVALID_ARGUMENT, "item %zu: its tensor is %s", i,
                             item->tensor == NULL ? "NULL" : "of another client");
        if (item->gradient == NULL && item->weights == NULL)
            return error_set(error, CANYON_INVALID_ARGUMENT,
                             "item %zu (\"%s\"): neither a gradient to push nor a place for weights", i,
                             item->tensor->info.spec.name);
        list[i] = (struct transfer_item){.tensor = item->tensor,
                                         .out = item->gradient,
                                         .in = item->weights,
                                         .type = item->gradient == NULL  ? FRAME_PULL
                                                 : item->weights == NULL ? FRAME_PUSH
                                                                         : FRAME_PUSH_PULL};
    }
    return CANYON_OK;
}

/* The order for a step, with its gradients treated as `options`, which may be NULL, ask for. `order->items` is owned by
 * the caller in any case. */
static enum canyon_status step_order(canyon_client *client, struct canyon_item *items, size_t count,
                                     struct canyon_step_options *options, uint32_t timeout_ms,
                                     struct transfer_order *order, struct transfer_item **list, struct error *error) {
    uint64_t deadline = client_deadline(client, timeout_ms);
    enum canyon_status status = step_take(client, items, count, list, error);
    *order = (struct transfer_order){.items = *list, .count = count, .results = items, .deadline = deadline};
    if (status == CANYON_OK && options != NULL)
        status = gradients_treat(client, *list, count, options, &order->copy, error);
    return status;
}

enum canyon_status canyon_step_with(canyon_client *client, struct canyon_item *items, size_t count,
                                    struct canyon_step_options *options, uint32_t timeout_ms) {
    struct error error = {.status = CANYON_OK};
    struct transfer_item *list = NULL;
    struct transfer_order order;
    if (client_begin(client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    if (step_order(client, items, count, options, timeout_ms, &order, &list, &error) == CANYON_OK)
        transfer_run(client, &order, &error);
    free(list);
    client_leave(client);
    return last_error_set(&error);
}

enum canyon_status canyon_step_with_async(canyon_client *client, struct canyon_item *items, size_t count,
                                          struct canyon_step_options *options, uint32_t timeout_ms,
                                          canyon_future **future) {
    struct error error = {.status = CANYON_OK};
    struct transfer_item *list = NULL;
    struct transfer_order order;
    if (future == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "the place for the step's future is NULL");
    *future = NULL;
    if (client_begin(client, false, &error) != CANYON_OK)
        return last_error_set(&error);
    if (step_order(client, items, count, options, timeout_ms, &order, &list, &error) == CANYON_OK)
        transfer_begin(client, &order, false, future, &error);
    free(list);
    client_leave(client);
    return last_error_set(&error);
}

enum canyon_status canyon_step(canyon_client *client, struct canyon_item *items, size_t count, uint32_t timeout_ms) {
    return canyon_step_with(client, items, count, NULL, timeout_ms);
}

enum canyon_status canyon_step_async(canyon_client *client, struct canyon_item *items, size_t count,
                                     uint32_t timeout_ms, canyon_future **future) {
    return canyon_step_with_async(client, items, count, NULL, timeout_ms, future);
}

/* One tensor, one way. */
static enum canyon_status step_one(canyon_tensor *tensor, uint16_t type, const float *out, float *in,
                                   uint32_t timeout_ms) {
    struct error error = {.status = CANYON_OK};
    bool sends = type != FRAME_PULL, receives = type == FRAME_PULL || type == FRAME_PUSH_PULL;
    if (tensor == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "the tensor is NULL");
    if ((sends && out == NULL) || (receives && in == NULL))
        return last_error_format(CANYON_INVALID_ARGUMENT, "tensor \"%s\": the %s are NULL", tensor->info.spec.name,
                                 sends && out == NULL ? "values to send" : "weights");
    if (client_begin(tensor->client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    struct transfer_item item = {.tensor = tensor, .type = type, .out = out, .in = in};
    struct transfer_order order = {.items = &item, .count = 1, .deadline = client_deadline(tensor->client, timeout_ms)};
    transfer_run(tensor->client, &order, &error);
    client_leave(tensor->client);
    return last_error_set(&error);
}

enum canyon_status canyon_assign(canyon_tensor *tensor, const float *values, uint32_t timeout_ms) {
    return step_one(tensor, FRAME_ASSIGN, values, NULL, timeout_ms);
}

enum canyon_status canyon_pull(canyon_tensor *tensor, float *weights, uint32_t timeout_ms) {
    return step_one(tensor, FRAME_PULL, NULL, weights, timeout_ms);
}

enum canyon_status canyon_push(canyon_tensor *tensor, const float *gradient, uint32_t timeout_ms) {
    return step_one(tensor, FRAME_PUSH, gradient, NULL, timeout_ms);
}

enum canyon_status canyon_push_pull(canyon_tensor *tensor, const float *gradient, float *weights, uint32_t timeout_ms) {
    return step_one(tensor, FRAME_PUSH_PULL, gradient, weights, timeout_ms);
}
