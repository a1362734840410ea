#include "client/simulator/descent.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/interrupt.h"
#include "client/simulator/place.h"

static enum canyon_status fail(enum canyon_status status, const char *doing, char *text, size_t bytes) {
    snprintf(text, bytes, "cannot %s: %s", doing, canyon_error_text());
    return status;
}

/* What to create, with the landscape's learning rate when the text has none. */
static enum canyon_status descent_spec(const struct landscape *landscape, const char *prefix, const char *optimizer,
                                       const float start[2], struct canyon_tensor_spec *spec) {
    canyon_tensor_spec_init(spec);
    enum canyon_status status = canyon_tensor_spec_optimizer(spec, optimizer);
    if (status != CANYON_OK) {
        return status;
    }
    snprintf(spec->name, sizeof spec->name, "%s%s.%s", prefix, landscape->name, spec->optimizer);
    spec->rank = 1;
    spec->dims[0] = 2;
    spec->initializer = CANYON_VALUES;
    spec->values = start;
    double rate = landscape_rate(landscape, spec->optimizer);
    for (uint32_t i = 0; i < spec->setting_count; i++) {
        rate = strcmp(spec->settings[i].name, "lr") == 0 ? -1.0 : rate;
    }
    if (rate > 0.0 && spec->setting_count < CANYON_MAX_SETTINGS) {
        struct canyon_setting *setting = &spec->settings[spec->setting_count++];
        snprintf(setting->name, sizeof setting->name, "lr");
        setting->value = rate;
    }
    return CANYON_OK;
}

static bool is_far(const float at[2]) {
    return !(fabsf(at[0]) <= (float)DESCENT_FAR && fabsf(at[1]) <= (float)DESCENT_FAR);
}

static enum canyon_status descent_follow(struct descent *descent, canyon_tensor *tensor, uint64_t steps, char *text,
                                         size_t bytes) {
    char doing[64];
    for (uint64_t t = 0; t < steps && !is_far(descent->at[t]); t++) {
        const double at[2] = {(double)descent->at[t][0], (double)descent->at[t][1]};
        double gradient[2];
        if (interrupt_signal() != 0) {
            snprintf(text, bytes, "interrupted");
            return CANYON_CLOSED;
        }
        descent->landscape->gradient(at, gradient);
        descent->gradient[t][0] = (float)gradient[0];
        descent->gradient[t][1] = (float)gradient[1];
        enum canyon_status status = canyon_push_pull(tensor, descent->gradient[t], descent->at[t + 1], 0);
        if (status != CANYON_OK) {
            snprintf(doing, sizeof doing, "push the gradient of step %" PRIu64, t + 1);
            return fail(status, doing, text, bytes);
        }
        descent->steps = t + 1;
    }
    return CANYON_OK;
}

enum canyon_status descent_run(canyon_client *client, const char *prefix, const struct landscape *landscape,
                               const float start[2], uint64_t steps, const char *optimizer, struct descent *descent,
                               char *text, size_t bytes) {
    struct canyon_tensor_spec spec;
    canyon_tensor *tensor = NULL;
    assert(steps >= 1 && steps <= DESCENT_STEPS_HIGH);
    *descent = (struct descent){.landscape = landscape, .label = optimizer};
    enum canyon_status status = descent_spec(landscape, prefix, optimizer, start, &spec);
    if (status != CANYON_OK) {
        return fail(status, "read the optimizer", text, bytes);
    }
    descent->at = calloc(steps + 1, sizeof *descent->at);
    descent->gradient = calloc(steps, sizeof *descent->gradient);
    if (descent->at == NULL || descent->gradient == NULL) {
        snprintf(text, bytes, "no memory for %" PRIu64 " steps", steps);
        status = CANYON_NO_MEMORY;
        goto out;
    }
    memcpy(descent->at[0], start, sizeof descent->at[0]);
    status = canyon_tensor_create(client, &spec, 0, &tensor);
    if (status != CANYON_OK) {
        fail(status, "create the tensor", text, bytes);
        goto out;
    }
    status = canyon_tensor_describe(tensor, &descent->info);
    if (status != CANYON_OK) {
        fail(status, "describe the tensor", text, bytes);
    } else {
        status = descent_follow(descent, tensor, steps, text, bytes);
    }
    enum canyon_status dropped = place_leave("canyon-sim surface", spec.name, canyon_tensor_drop(client, spec.name, 0));
    if (status == CANYON_OK && dropped != CANYON_OK) {
        status = fail(dropped, "drop the tensor", text, bytes);
    }
out:
    canyon_tensor_close(tensor);
    if (status != CANYON_OK) {
        descent_finish(descent);
    }
    return status;
}

void descent_finish(struct descent *descent) {
    free(descent->at);
    free(descent->gradient);
    memset(descent, 0, sizeof *descent);
}

double descent_loss(const struct descent *descent, uint64_t t) {
    assert(t <= descent->steps);
    const double at[2] = {(double)descent->at[t][0], (double)descent->at[t][1]};
    return descent->landscape->value(at);
}

uint64_t descent_arrival(const struct descent *descent, double goal) {
    for (uint64_t t = 0; t <= descent->steps; t++) {
        if (descent_loss(descent, t) <= goal) {
            return t;
        }
    }
    return UINT64_MAX;
}

static double step_of(const struct descent *descent, uint64_t t, size_t i) {
    assert(t >= 1 && t <= descent->steps && i < 2);
    return (double)descent->at[t][i] - (double)descent->at[t - 1][i];
}

double descent_length(const struct descent *descent, uint64_t t) {
    return hypot(step_of(descent, t, 0), step_of(descent, t, 1));
}

double descent_effective(const struct descent *descent, uint64_t t) {
    double length = descent_length(descent, t);
    double gradient = hypot((double)descent->gradient[t - 1][0], (double)descent->gradient[t - 1][1]);
    return gradient > 0.0 ? length / gradient : -1.0;
}

double descent_effective_of(const struct descent *descent, uint64_t t, size_t i) {
    double step = fabs(step_of(descent, t, i)), gradient = fabs((double)descent->gradient[t - 1][i]);
    return gradient > 0.0 ? step / gradient : -1.0;
}

double descent_rate(const struct descent *descent) {
    for (uint32_t i = 0; i < descent->info.setting_count; i++) {
        if (strcmp(descent->info.settings[i].name, "lr") == 0) {
            return descent->info.settings[i].value;
        }
    }
    return -1.0;
}
