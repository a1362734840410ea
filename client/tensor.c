#include "client/tensor.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/exchange.h"

void canyon_tensor_spec_init(struct canyon_tensor_spec *spec) {
    memset(spec, 0, sizeof *spec);
    spec->size = sizeof *spec;
    strcpy(spec->optimizer, "sgd");
    spec->initializer = CANYON_ZEROS;
}

char *canyon_setting_text(const struct canyon_setting *setting, char *text, size_t bytes) {
    if (text == NULL || bytes == 0)
        return text;
    text[0] = '\0';
    if (setting != NULL && memchr(setting->name, '\0', sizeof setting->name) != NULL)
        setting_text(setting->name, setting->value, text, bytes);
    return text;
}

enum canyon_status optimizer_read(const char *call, const void *spec, const char *text,
                                  char optimizer[LIMIT_OPTIMIZER_BYTES], uint32_t *count,
                                  struct canyon_setting settings[LIMIT_SETTINGS]) {
    struct error error = {.status = CANYON_OK};
    struct optimizer_spec parsed;
    if (spec == NULL || text == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "%s: the %s is NULL", call, spec == NULL ? "spec" : "text");
    memset(&parsed, 0, sizeof parsed);
    if (optimizer_spec_parse(text, &parsed, &error) != CANYON_OK) {
        if (error.status != CANYON_INVALID_ARGUMENT)
            error.status = CANYON_INVALID_ARGUMENT;
        return last_error_set(&error);
    }
    memcpy(optimizer, parsed.name, sizeof parsed.name);
    *count = parsed.count;
    for (uint32_t i = 0; i < parsed.count; i++) {
        memcpy(settings[i].name, parsed.settings[i].name, sizeof settings[i].name);
        settings[i].value = parsed.settings[i].value;
    }
    return CANYON_OK;
}

enum canyon_status canyon_tensor_spec_optimizer(struct canyon_tensor_spec *spec, const char *text) {
    struct canyon_tensor_spec none, *to = spec == NULL ? &none : spec;
    return optimizer_read("canyon_tensor_spec_optimizer", spec, text, to->optimizer, &to->setting_count, to->settings);
}

/* Copies a name that may lack its NUL. */
enum canyon_status tensor_take_name(char *to, const char *from, size_t bytes, const char *what, struct error *error) {
    if (memchr(from, '\0', bytes) == NULL)
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s has no NUL within its %zu bytes", what, bytes);
    memcpy(to, from, bytes);
    return CANYON_OK;
}

_Static_assert(sizeof((struct canyon_tensor_spec *)0)->optimizer == LIMIT_OPTIMIZER_BYTES, "same room");
_Static_assert(sizeof((struct canyon_setting *)0)->name == LIMIT_SETTING_BYTES, "same room");
_Static_assert(CANYON_NAME_BYTES == LIMIT_NAME_BYTES && CANYON_MAX_RANK == LIMIT_RANK, "same limits");
_Static_assert(CANYON_MAX_SETTINGS == LIMIT_SETTINGS && CANYON_MAX_HYPERPARAMETERS == LIMIT_HYPERPARAMETERS &&
                   CANYON_MAX_SLOTS == LIMIT_SLOTS && CANYON_MAX_SCALARS == LIMIT_SCALARS,
               "same limits");

enum canyon_status optimizer_take(const char optimizer[LIMIT_OPTIMIZER_BYTES], uint32_t count,
                                  const struct canyon_setting settings[LIMIT_SETTINGS], struct optimizer_spec *spec,
                                  struct error *error) {
    if (count > LIMIT_SETTINGS)
        return error_set(error, CANYON_TOO_LARGE, "%u settings are above the limit of %d", count, LIMIT_SETTINGS);
    enum canyon_status status = tensor_take_name(spec->name, optimizer, sizeof spec->name, "spec.optimizer", error);
    spec->count = count;
    for (uint32_t i = 0; i < count && status == CANYON_OK; i++) {
        struct setting *setting = &spec->settings[i];
        status = tensor_take_name(setting->name, settings[i].name, sizeof setting->name, "a setting's name", error);
        setting->value = settings[i].value;
    }
    return status;
}

enum canyon_status tensor_spec_take(const struct canyon_tensor_spec *given, struct tensor_spec *spec,
                                    const float **values, struct error *error) {
    memset(spec, 0, sizeof *spec);
    if (given == NULL || given->size != sizeof *given)
        return error_set(error, CANYON_INVALID_ARGUMENT, "the spec is %s: call canyon_tensor_spec_init first",
                         given == NULL ? "NULL" : "of an unknown size");
    if (given->rank > LIMIT_RANK)
        return error_set(error, CANYON_INVALID_ARGUMENT, "rank %u is above the limit of %d", given->rank, LIMIT_RANK);
    enum canyon_status status = tensor_take_name(spec->name, given->name, sizeof spec->name, "spec.name", error);
    if (status == CANYON_OK)
        status = optimizer_take(given->optimizer, given->setting_count, given->settings, &spec->optimizer, error);
    if (status != CANYON_OK)
        return status;
    spec->shape.rank = given->rank;
    memcpy(spec->shape.dims, given->dims, given->rank * sizeof given->dims[0]);
    spec->initializer = (struct initializer){
        .kind = (enum initializer_kind)given->initializer, .seed = given->seed, .a = given->a, .b = given->b};
    *values = given->values;
    if (given->initializer == CANYON_VALUES && given->values == NULL)
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "tensor \"%s\": the initializer is CANYON_VALUES, but spec.values is NULL", spec->name);
    return tensor_spec_check(spec, error);
}

void tensor_info_publish(const struct canyon_client *client, const struct tensor_info *info,
                         struct canyon_tensor_info *public) {
    const struct tensor_spec *spec = &info->spec;
    memset(public, 0, sizeof *public);
    memcpy(public->name, spec->name, sizeof public->name);
    public->rank = spec->shape.rank;
    memcpy(public->dims, spec->shape.dims, sizeof public->dims);
    if (shape_elements(&spec->shape, &public->elements, NULL) == CANYON_OK && spec->kind == TENSOR_DENSE)
    public->blocks = job_block_count(&client->job, public->elements);
    memcpy(public->optimizer, spec->optimizer.name, sizeof public->optimizer);
    public->setting_count = spec->optimizer.count;
    for (uint32_t i = 0; i < spec->optimizer.count; i++) {
        memcpy(public->settings[i].name, spec->optimizer.settings[i].name, sizeof public->settings[i].name);
        public->settings[i].value = spec->optimizer.settings[i].value;
    }
    public->initializer = (enum canyon_initializer)spec->initializer.kind;
    public->seed = spec->initializer.seed;
    public->a = spec->initializer.a;
    public->b = spec->initializer.b;
    public->epoch = info->epoch;
    public->kind = (enum canyon_kind)spec->kind;
    public->row_cap = spec->row_cap;
    public->capacity = spec->capacity;
    public->complete = info->state == TENSOR_COMPLETE;
}

struct canyon_tensor *tensor_create(struct canyon_client *client, const struct tensor_info *info, struct error *error) {
    uint64_t elements = 0;
    if (shape_elements(&info->spec.shape, &elements, error) != CANYON_OK) {
        error_prefix(error, "tensor \"%s\"", info->spec.name);
        return NULL;
    }
    uint64_t blocks = job_block_count(&client->job, elements);
    struct canyon_tensor *tensor = calloc(1, sizeof *tensor);
    if (tensor != NULL)
        tensor->versions = calloc((size_t)blocks + 1, sizeof *tensor->versions);
    if (tensor == NULL || tensor->versions == NULL) {
        error_set(error, CANYON_NO_MEMORY, "no memory for a handle of %llu blocks", (unsigned long long)blocks);
        free(tensor);
        return NULL;
    }
    if (encoding_init(&tensor->encoding, error) != CANYON_OK) {
        free(tensor->versions);
        free(tensor);
        return NULL;
    }
    tensor->client = client;
    tensor->info = *info;
    tensor->elements = elements;
    tensor->blocks = blocks;
    tensor->home = job_home(info->spec.name);
    tensor->restarts = lane_restarts(client->lanes[0]);
    /* The first values of such a tensor were assigned: a gradient computed from them is not stale. */
    for (uint64_t block = 0; info->spec.initializer.kind == INITIALIZER_VALUES && block < blocks; block++)
        atomic_init(&tensor->versions[block], 1);
    return tensor;
}

void tensor_destroy(struct canyon_tensor *tensor) {
    if (tensor == NULL)
        return;
    encoding_finish(&tensor->encoding);
    free(tensor->versions);
    free(tensor);
}

void canyon_tensor_close(canyon_tensor *tensor) {
    tensor_destroy(tensor);
}

enum canyon_status canyon_tensor_describe(const canyon_tensor *tensor, struct canyon_tensor_info *info) {
    if (tensor == NULL || info == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_tensor_describe: the %s is NULL",
                                 tensor == NULL ? "tensor" : "place for the description");
    tensor_info_publish(tensor->client, &tensor->info, info);
    return CANYON_OK;
}
