#include "client/simulator/parameters.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIMIZER_BYTES 1024 /* an optimizer with all its settings, as text */

static enum canyon_status fail(struct parameters *parameters, enum canyon_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "cannot DOING: what the library said". */
static enum canyon_status fail(struct parameters *parameters, enum canyon_status status, const char *format, ...) {
    char doing[CANYON_NAME_BYTES + 64], why[NEWS_TEXT_BYTES - sizeof doing - 16];
    va_list values;
    const char *said = canyon_error_text();
    snprintf(why, sizeof why, "%s", said[0] != '\0' ? said : canyon_status_name(status));
    va_start(values, format);
    vsnprintf(doing, sizeof doing, format, values);
    va_end(values);
    snprintf(parameters->text, sizeof parameters->text, "cannot %s: %s", doing, why);
    return status;
}

enum canyon_status parameters_connect(struct parameters *parameters, const struct plan *plan, const char *name,
                                      const char *mode) {
    struct canyon_options options;
    memset(parameters, 0, sizeof *parameters);
    parameters->plan = plan;
    parameters->weights = calloc(plan->model.parameters, sizeof *parameters->weights);
    parameters->gradient = calloc(plan->model.parameters, sizeof *parameters->gradient);
    if (parameters->weights == NULL || parameters->gradient == NULL) {
        snprintf(parameters->text, sizeof parameters->text, "no memory for %zu weights", plan->model.parameters);
        return CANYON_NO_MEMORY;
    }
    canyon_options_init(&options);
    options.servers = plan->servers;
    options.name = name;
    options.consistency = mode;
    options.timeout_ms = plan->timeout_ms;
    options.connect_ms = plan->timeout_ms;
    keys_apply(&plan->keys, &options);
    enum canyon_status status = canyon_connect(&options, &parameters->client);
    return status == CANYON_OK ? CANYON_OK : fail(parameters, status, "connect to %s", plan->servers);
}

/* Fills in everything but the values; `first` are the model's first weights. */
static enum canyon_status parameters_spec(const struct parameters *parameters, size_t t, const float *first,
                                          struct canyon_tensor_spec *spec) {
    const struct plan *plan = parameters->plan;
    const struct model_tensor *tensor = &plan->model.tensors[t];
    char optimizer[OPTIMIZER_BYTES];
    const char *staleness = plan->pacing.staleness;
    canyon_tensor_spec_init(spec);
    snprintf(optimizer, sizeof optimizer, "%s%s%s", plan->optimizer,
             staleness[0] == '\0'                   ? ""
             : strchr(plan->optimizer, ':') == NULL ? ":"
                                                    : ",",
             staleness);
    enum canyon_status status = canyon_tensor_spec_optimizer(spec, optimizer);
    if (status != CANYON_OK) {
        return status;
    }
    snprintf(spec->name, sizeof spec->name, "%s%s.%s", plan->prefix, spec->optimizer, tensor->name);
    spec->rank = tensor->rank;
    memcpy(spec->dims, tensor->dims, sizeof tensor->dims);
    spec->initializer = CANYON_VALUES;
    spec->values = first == NULL ? NULL : first + tensor->offset;
    return CANYON_OK;
}

enum canyon_status parameters_create(struct parameters *parameters) {
    const struct model *model = &parameters->plan->model;
    model_first_weights(model, parameters->plan->seed, parameters->weights);
    for (size_t t = 0; t < model->tensor_count; t++) {
        struct canyon_tensor_spec spec;
        enum canyon_status status = parameters_spec(parameters, t, parameters->weights, &spec);
        if (status != CANYON_OK) {
            return fail(parameters, status, "use the optimizer '%s'", parameters->plan->optimizer);
        }
        status = canyon_tensor_create(parameters->client, &spec, 0, &parameters->tensors[t]);
        if (status != CANYON_OK) {
            return fail(parameters, status, "create the tensor '%s'", spec.name);
        }
    }
    return CANYON_OK;
}

/* Fills in the items that push the gradients of `count` tensors from `first` on. */
static void parameters_fill(struct parameters *parameters, size_t first, size_t count) {
    const struct model *model = &parameters->plan->model;
    bool pull = parameters->plan->pacing.mode == NULL;
    for (size_t t = first; t < first + count; t++) {
        size_t offset = model->tensors[t].offset;
        parameters->items[t] = (struct canyon_item){.tensor = parameters->tensors[t],
                                                    .gradient = parameters->gradient + offset,
                                                    .weights = pull ? parameters->weights + offset : NULL};
    }
}

enum canyon_status parameters_pull(struct parameters *parameters) {
    const struct model *model = &parameters->plan->model;
    struct canyon_item items[MODEL_TENSORS]; /* the last push's are kept */
    for (size_t t = 0; t < model->tensor_count; t++) {
        items[t] = (struct canyon_item){.tensor = parameters->tensors[t],
                                        .weights = parameters->weights + model->tensors[t].offset};
    }
    enum canyon_status status = canyon_step(parameters->client, items, model->tensor_count, 0);
    if (status != CANYON_OK) {
        return fail(parameters, status, "pull the weights");
    }
    parameters->updates = UINT64_MAX;
    for (size_t t = 0; t < model->tensor_count; t++) {
        parameters->updates = items[t].version < parameters->updates ? items[t].version : parameters->updates;
    }
    return CANYON_OK;
}

enum canyon_status parameters_step(struct parameters *parameters) {
    const struct model *model = &parameters->plan->model;
    struct canyon_step_options options;
    canyon_step_options_init(&options);
    options.clip_norm = parameters->plan->clip_norm;
    parameters_fill(parameters, 0, model->tensor_count);
    enum canyon_status status =
        canyon_step_with(parameters->client, parameters->items, model->tensor_count, &options, 0);
    parameters->clipped = options.clipped != 0;
    return status == CANYON_OK ? CANYON_OK : fail(parameters, status, "push a gradient");
}

enum canyon_status parameters_again(struct parameters *parameters) {
    struct canyon_item again[MODEL_TENSORS];
    size_t places[MODEL_TENSORS], count = 0;
    struct canyon_step_options options;
    canyon_step_options_init(&options);
    options.clip_norm = parameters->plan->clip_norm;
    for (size_t t = 0; t < parameters->plan->model.tensor_count; t++) {
        if (parameters->items[t].refused > 0) {
            parameters_fill(parameters, t, 1);
            places[count] = t;
            again[count++] = parameters->items[t];
        }
    }
    enum canyon_status status = canyon_step_with(parameters->client, again, count, &options, 0);
    for (size_t i = 0; i < count; i++) {
        parameters->items[places[i]] = again[i];
    }
    return status == CANYON_OK ? CANYON_OK : fail(parameters, status, "push a gradient again");
}

enum canyon_status parameters_begin(struct parameters *parameters, size_t layer) {
    size_t first = 2 * layer;
    assert(parameters->under_way < MODEL_LAYERS && first + 2 <= parameters->plan->model.tensor_count);
    parameters_fill(parameters, first, 2);
    enum canyon_status status = canyon_step_async(parameters->client, &parameters->items[first], 2, 0,
                                                  &parameters->futures[parameters->under_way]);
    if (status != CANYON_OK) {
        return fail(parameters, status, "push a gradient");
    }
    parameters->under_way++;
    return CANYON_OK;
}

enum canyon_status parameters_end(struct parameters *parameters, size_t layer) {
    parameters_fill(parameters, 2 * layer, 2);
    enum canyon_status status = canyon_step(parameters->client, &parameters->items[2 * layer], 2, 0);
    if (status != CANYON_OK) {
        fail(parameters, status, "push a gradient");
    }
    enum canyon_status others = parameters_await(parameters);
    return status == CANYON_OK ? others : status;
}

enum canyon_status parameters_await(struct parameters *parameters) {
    enum canyon_status result = CANYON_OK;
    for (size_t i = 0; i < parameters->under_way; i++) {
        enum canyon_status status = canyon_future_wait(parameters->futures[i], UINT32_MAX);
        if (status != CANYON_OK && result == CANYON_OK) {
            result = fail(parameters, status, "push a gradient");
        }
        canyon_future_release(parameters->futures[i]);
    }
    parameters->under_way = 0;
    return result;
}

double parameters_rate(const struct parameters *parameters) {
    struct canyon_tensor_info info;
    if (canyon_tensor_describe(parameters->tensors[0], &info) == CANYON_OK) {
        for (uint32_t i = 0; i < info.setting_count; i++) {
            if (strcmp(info.settings[i].name, "lr") == 0) {
                return info.settings[i].value;
            }
        }
    }
    return -1.0;
}

enum canyon_status parameters_encode(struct parameters *parameters) {
    const struct coding *coding = &parameters->plan->coding;
    for (size_t t = 0; t < parameters->plan->model.tensor_count; t++) {
        enum canyon_status status = coding_apply(coding, parameters->tensors[t]);
        if (status != CANYON_OK) {
            return fail(parameters, status, "use the codec '%s/%s'", coding->gradient, coding->weights);
        }
    }
    return CANYON_OK;
}

enum canyon_status parameters_drop(struct parameters *parameters) {
    enum canyon_status result = CANYON_OK;
    for (size_t t = 0; t < parameters->plan->model.tensor_count; t++) {
        struct canyon_tensor_spec spec;
        enum canyon_status status = parameters_spec(parameters, t, NULL, &spec);
        if (status == CANYON_OK) {
            status = canyon_tensor_drop(parameters->client, spec.name, 0);
        }
        if (status != CANYON_OK && status != CANYON_NOT_FOUND && result == CANYON_OK) {
            result = fail(parameters, status, "drop the tensor '%s'", spec.name);
        }
    }
    return result;
}

void parameters_close(struct parameters *parameters) {
    parameters_await(parameters);
    for (size_t t = 0; t < MODEL_TENSORS; t++) {
        canyon_tensor_close(parameters->tensors[t]);
    }
    canyon_close(parameters->client);
    free(parameters->weights);
    free(parameters->gradient);
    memset(parameters, 0, sizeof *parameters);
}
