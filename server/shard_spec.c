/* Specs as shards judge them: shard.h's shard_canonical_spec and shard_same_spec. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/initializer.h"
#include "server/optimizers/optimizer.h"
#include "server/schedule.h"
#include "server/shard.h"

#define STALENESS_BOUND_HIGH 1e15 /* pushes */

/* "adam, sgd, ..." of what is registered, or of what an optimizer can be set with. */
static void list_names(const struct optimizer *optimizer, char *text, size_t bytes) {
    size_t count = optimizer == NULL ? optimizer_count() : optimizer->hyperparameter_count, used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count && used < bytes; i++) {
        const char *name = optimizer == NULL ? optimizer_at(i)->name : optimizer->hyperparameters[i].name;
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i == 0 ? "" : ", ", name);
    }
}

static enum canyon_status refuse_value(const struct optimizer *optimizer,
                                       const struct optimizer_hyperparameter *parameter, double value,
                                       struct error *error) {
    if (parameter->flag) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s: %s=%.17g must be 0 or 1", optimizer->name,
                         parameter->name, value);
    }
    return error_set(error, CANYON_INVALID_ARGUMENT, "%s: %s=%.17g is outside %c%.9g, %.9g%c", optimizer->name,
                     parameter->name, value, parameter->low_open ? '(' : '[', parameter->low, parameter->high,
                     parameter->high_open || parameter->high > 1e308 ? ')' : ']');
}

/* The policy for gradients that are not finite stands last, and only when it is not the default. */
static enum canyon_status canonical_nonfinite(const struct optimizer_spec *spec, struct optimizer_spec *result,
                                              struct error *error) {
    double value = NONFINITE_REFUSE;
    for (uint32_t i = 0; i < spec->count && i < LIMIT_SETTINGS; i++) {
        value = strcmp(spec->settings[i].name, "nonfinite") == 0 ? spec->settings[i].value : value;
    }
    if (setting_word("nonfinite", value) == NULL) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "nonfinite=%.17g is none of refuse, skip and clip", value);
    }
    return value == NONFINITE_REFUSE ? CANYON_OK : optimizer_spec_set(result, "nonfinite", value, error);
}

/* Which steps a table's rows go by stands before it, likewise. */
static enum canyon_status canonical_steps(const struct optimizer_spec *spec, struct optimizer_spec *result,
                                          struct error *error) {
    double value = STEPS_ROW;
    for (uint32_t i = 0; i < spec->count && i < LIMIT_SETTINGS; i++) {
        value = strcmp(spec->settings[i].name, "steps") == 0 ? spec->settings[i].value : value;
    }
    if (setting_word("steps", value) == NULL) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "steps=%.17g is neither row nor shard", value);
    }
    return value == STEPS_ROW ? CANYON_OK : optimizer_spec_set(result, "steps", value, error);
}

/* The policy for stale gradients stands before that, likewise, with its bound where it has one. */
static enum canyon_status canonical_staleness(const struct optimizer *optimizer, const struct optimizer_spec *spec,
                                              struct optimizer_spec *result, struct error *error) {
    double policy = STALENESS_ACCEPT, bound = -1.0;
    for (uint32_t i = 0; i < spec->count && i < LIMIT_SETTINGS; i++) {
        policy = strcmp(spec->settings[i].name, "staleness") == 0 ? spec->settings[i].value : policy;
        bound = strcmp(spec->settings[i].name, "staleness_bound") == 0 ? spec->settings[i].value : bound;
    }
    if (setting_word("staleness", policy) == NULL) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "staleness=%.17g is none of accept, scale and refuse", policy);
    }
    if ((policy == STALENESS_REFUSE) != (bound >= 0.0) || bound > STALENESS_BOUND_HIGH ||
        bound != (double)(int64_t)bound) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "staleness_bound is how many pushes staleness=refuse lets pass, 0 to %.0f: it takes one, the "
                         "other policies none",
                         STALENESS_BOUND_HIGH);
    }
    if (policy == STALENESS_SCALE &&
        optimizer_hyperparameter_index(optimizer, "lr") == optimizer->hyperparameter_count) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s has no lr that staleness=scale could divide",
                         optimizer->name);
    }
    enum canyon_status status =
        policy == STALENESS_ACCEPT ? CANYON_OK : optimizer_spec_set(result, "staleness", policy, error);
    if (status == CANYON_OK && policy == STALENESS_REFUSE) {
        status = optimizer_spec_set(result, "staleness_bound", bound + 0.0, error);
    }
    return status;
}

/* What is not the optimizer's own: of the schedule, the policies. */
static bool is_common(const char *name, bool table) {
    return schedule_has_setting(name) || strcmp(name, "nonfinite") == 0 || strcmp(name, "staleness") == 0 ||
           strcmp(name, "staleness_bound") == 0 || (table && strcmp(name, "steps") == 0);
}

/* All of the optimizer's hyperparameters, with the defaults of those that `spec` does not have. Settings of the
 * schedule and the policy are passed over. */
static enum canyon_status canonical_hyperparameters(const struct optimizer *optimizer,
                                                    const struct optimizer_spec *spec, bool table,
                                                    struct optimizer_spec *result, struct error *error) {
    bool given[OPTIMIZER_HYPERPARAMETERS] = {false};
    char names[ERROR_TEXT_BYTES];
    result->count = (uint32_t)optimizer->hyperparameter_count;
    for (size_t i = 0; i < optimizer->hyperparameter_count; i++) {
        const char *name = optimizer->hyperparameters[i].name;
        memcpy(result->settings[i].name, name, strlen(name));
        result->settings[i].value = optimizer->hyperparameters[i].fallback;
    }
    for (uint32_t i = 0; i < spec->count && i < LIMIT_SETTINGS; i++) {
        const struct setting *setting = &spec->settings[i];
        size_t index = optimizer_hyperparameter_index(optimizer, setting->name);
        if (index == optimizer->hyperparameter_count && is_common(setting->name, table)) {
            continue;
        }
        if (index == optimizer->hyperparameter_count) {
            list_names(optimizer, names, sizeof names);
            return error_set(error, CANYON_INVALID_ARGUMENT, "%s has no setting '%.31s'; it has %s", optimizer->name,
                             setting->name, names);
        }
        if (given[index]) {
            return error_set(error, CANYON_INVALID_ARGUMENT, "%s: %s is set twice", optimizer->name, setting->name);
        }
        if (!optimizer_hyperparameter_valid(&optimizer->hyperparameters[index], setting->value)) {
            return refuse_value(optimizer, &optimizer->hyperparameters[index], setting->value, error);
        }
        given[index] = true;
        /* Adding zero makes -0 into 0: equal settings have one byte string. */
        result->settings[index].value = setting->value + 0.0;
    }
    return CANYON_OK;
}

/* A schedule for an optimizer without lr is refused. */
static enum canyon_status append_schedule(const struct optimizer *optimizer, const struct optimizer_spec *spec,
                                          struct optimizer_spec *result, struct error *error) {
    size_t before = result->count;
    enum canyon_status status = schedule_canonical(spec, result, error);
    if (status != CANYON_OK || result->count == before) {
        return status;
    }
    if (optimizer_hyperparameter_index(optimizer, "lr") == optimizer->hyperparameter_count) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%s has no lr that a schedule could change", optimizer->name);
    }
    return CANYON_OK;
}

static enum canyon_status canonical_optimizer(struct optimizer_spec *spec, bool table, struct error *error) {
    struct optimizer_spec result;
    char names[ERROR_TEXT_BYTES];
    const struct optimizer *optimizer = optimizer_find(spec->name);
    memset(&result, 0, sizeof result);
    if (optimizer == NULL) {
        list_names(NULL, names, sizeof names);
        return error_set(error, CANYON_INVALID_ARGUMENT, "no optimizer '%.31s'; there are %s", spec->name, names);
    }
    if (optimizer->rows_only && !table) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "%s works on whole rows of tables, which blocks of a dense tensor cut apart; "
                         "for a tensor take adagrad",
                         optimizer->name);
    }
    memcpy(result.name, optimizer->name, strlen(optimizer->name));
    enum canyon_status status = canonical_hyperparameters(optimizer, spec, table, &result, error);
    if (status == CANYON_OK) {
        status = append_schedule(optimizer, spec, &result, error);
    }
    if (status == CANYON_OK && table) {
        status = canonical_steps(spec, &result, error);
    }
    if (status == CANYON_OK) {
        status = canonical_staleness(optimizer, spec, &result, error);
    }
    if (status == CANYON_OK) {
        status = canonical_nonfinite(spec, &result, error);
    }
    if (status == CANYON_OK) {
        *spec = result;
    }
    return status;
}

static struct initializer canonical_initializer(const struct initializer *from) {
    struct initializer result = {.kind = from->kind};
    bool random =
        from->kind != INITIALIZER_ZEROS && from->kind != INITIALIZER_VALUES && from->kind != INITIALIZER_CONSTANT;
    result.seed = random ? from->seed : 0;
    result.a = random || from->kind == INITIALIZER_CONSTANT ? from->a : 0;
    result.b = from->kind == INITIALIZER_UNIFORM || from->kind == INITIALIZER_NORMAL ? from->b : 0;
    return result;
}

enum canyon_status shard_canonical_spec(struct tensor_spec *spec, struct error *error) {
    struct tensor_spec result;
    enum canyon_status status = tensor_spec_check(spec, error);
    if (status == CANYON_OK) {
        status = initializer_check(&spec->initializer, error);
    }
    if (status != CANYON_OK) {
        return status;
    }
    memset(&result, 0, sizeof result);
    memcpy(result.name, spec->name, strlen(spec->name));
    result.shape.rank = spec->shape.rank;
    memcpy(result.shape.dims, spec->shape.dims, spec->shape.rank * sizeof spec->shape.dims[0]);
    result.initializer = canonical_initializer(&spec->initializer);
    result.optimizer = spec->optimizer;
    result.kind = spec->kind;
    result.row_cap = spec->row_cap;
    result.capacity = spec->capacity;
    status = canonical_optimizer(&result.optimizer, spec->kind == TENSOR_TABLE, error);
    if (status == CANYON_OK) {
        *spec = result;
    }
    return status;
}

/* A bound goes with the policy that it is of. */
static void drop_bound(struct optimizer_spec *spec, const struct setting *settings, uint32_t count) {
    bool other = false;
    for (uint32_t i = 0; i < count; i++) {
        other = other || (strcmp(settings[i].name, "staleness") == 0 && settings[i].value != STALENESS_REFUSE);
    }
    for (uint32_t i = 0; other && i < spec->count; i++) {
        if (strcmp(spec->settings[i].name, "staleness_bound") == 0) {
            spec->count--;
            memmove(&spec->settings[i], &spec->settings[i + 1], (spec->count - i) * sizeof spec->settings[0]);
            memset(&spec->settings[spec->count], 0, sizeof spec->settings[0]);
        }
    }
}

enum canyon_status shard_merge_settings(struct tensor_spec *spec, const struct setting *settings, uint32_t count,
                                        struct error *error) {
    struct tensor_spec merged = *spec;
    enum canyon_status status = CANYON_OK;
    schedule_make_way(&merged.optimizer, settings, count);
    drop_bound(&merged.optimizer, settings, count);
    for (uint32_t i = 0; status == CANYON_OK && i < count; i++) {
        for (uint32_t earlier = 0; earlier < i; earlier++) {
            if (strcmp(settings[earlier].name, settings[i].name) == 0) {
                return error_set(error, CANYON_INVALID_ARGUMENT, "%s: %s is set twice", spec->optimizer.name,
                                 settings[i].name);
            }
        }
        status = optimizer_spec_set(&merged.optimizer, settings[i].name, settings[i].value, error);
    }
    if (status == CANYON_OK) {
        status = shard_canonical_spec(&merged, error);
    }
    if (status == CANYON_OK) {
        *spec = merged;
    }
    return status;
}

enum canyon_status shard_same_spec(const struct tensor_spec *here, const struct tensor_spec *asked,
                                   struct error *error) {
    char shapes[2][80], optimizers[2][96];
    struct tensor_spec alike = *asked;
    alike.capacity = here->capacity; /* a hint, which is whoever's who made it */
    if (command_specs_equal(here, &alike)) {
        return CANYON_OK;
    }
    if (strcmp(here->name, asked->name) != 0) {
        return error_set(error, CANYON_MISMATCH, "the part here of that id is of tensor '%s'; asked: '%s'", here->name,
                         asked->name);
    }
    if (here->kind != asked->kind) {
        return error_set(error, CANYON_MISMATCH, "'%s' is a %s here; asked: a %s", here->name,
                         here->kind == TENSOR_TABLE ? "table" : "tensor",
                         asked->kind == TENSOR_TABLE ? "table" : "tensor");
    }
    if (here->row_cap != asked->row_cap) {
        return error_set(error, CANYON_MISMATCH, "table '%s' has a row cap of %" PRIu64 " here; asked: %" PRIu64,
                         here->name, here->row_cap, asked->row_cap);
    }
    return error_set(error, CANYON_MISMATCH,
                     "tensor '%s' has its part here with initializer %d, seed %" PRIu64
                     ", shape %s and %s; asked: %d, %" PRIu64 ", %s and %s",
                     here->name, (int)here->initializer.kind, here->initializer.seed,
                     shape_text(&here->shape, shapes[0], sizeof shapes[0]),
                     optimizer_spec_text(&here->optimizer, optimizers[0], sizeof optimizers[0]),
                     (int)asked->initializer.kind, asked->initializer.seed,
                     shape_text(&asked->shape, shapes[1], sizeof shapes[1]),
                     optimizer_spec_text(&asked->optimizer, optimizers[1], sizeof optimizers[1]));
}
