#include "client/simulator/row_rule.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { SGD, ADAGRAD, ADAM, FTRL, RULES };

static const struct {
    const char *name;
    uint32_t slots;
    const char *settings[ROW_RULE_SETTINGS];
    double fallbacks[ROW_RULE_SETTINGS];
} rules[RULES] = {
    [SGD] = {"sgd", 0, {"lr"}, {0.1}},
    [ADAGRAD] = {"adagrad", 1, {"lr", "lr_decay", "initial_accumulator_value", "eps"}, {0.01, 0.0, 0.0, 1e-10}},
    [ADAM] = {"adam", 2, {"lr", "beta1", "beta2", "eps"}, {0.001, 0.9, 0.999, 1e-8}},
    [FTRL] = {"ftrl", 2, {"lr", "beta", "lambda1", "lambda2"}, {0.1, 1.0, 0.0, 0.0}},
};

static bool rule_set(struct row_rule *rule, const struct canyon_setting *setting) {
    for (size_t i = 0; i < ROW_RULE_SETTINGS; i++) {
        const char *name = rules[rule->which].settings[i];
        if (name != NULL && strcmp(name, setting->name) == 0) {
            rule->settings[i] = setting->value;
            return true;
        }
    }
    return false;
}

/* "lr, eps": what an optimizer has here. */
static void list_settings(int which, char *text, size_t bytes) {
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < ROW_RULE_SETTINGS && rules[which].settings[i] != NULL && at < bytes; i++) {
        int wrote = snprintf(text + at, bytes - at, "%s%s", i == 0 ? "" : ", ", rules[which].settings[i]);
        at += wrote > 0 ? (size_t)wrote : 0;
    }
}

enum canyon_status row_rule_read(struct row_rule *rule, const char *optimizer, char *text, size_t bytes) {
    struct canyon_tensor_spec spec;
    char list[96];
    canyon_tensor_spec_init(&spec);
    enum canyon_status status = canyon_tensor_spec_optimizer(&spec, optimizer);
    if (status != CANYON_OK) {
        snprintf(text, bytes, "%s", canyon_error_text());
        return status;
    }
    for (rule->which = 0; rule->which < RULES && strcmp(rules[rule->which].name, spec.optimizer) != 0;) {
        rule->which++;
    }
    if (rule->which == RULES) {
        snprintf(text, bytes, "'%s' is for servers; in one process there are sgd, adagrad, adam and ftrl",
                 spec.optimizer);
        return CANYON_INVALID_ARGUMENT;
    }
    memcpy(rule->settings, rules[rule->which].fallbacks, sizeof rule->settings);
    for (uint32_t i = 0; i < spec.setting_count; i++) {
        if (!rule_set(rule, &spec.settings[i])) {
            list_settings(rule->which, list, sizeof list);
            snprintf(text, bytes, "'%s' of '%s' is for servers, or not a setting of it; in one process there are %s",
                     spec.settings[i].name, spec.optimizer, list);
            return CANYON_INVALID_ARGUMENT;
        }
    }
    rule->slots = rules[rule->which].slots;
    rule->first[0] = rule->which == ADAGRAD ? (float)rule->settings[2] : 0.0f;
    rule->first[1] = 0.0f;
    return CANYON_OK;
}

static void step_sgd(const double *settings, float *weights, const float *gradient, uint32_t dim) {
    const float rate = (float)settings[0];
    for (uint32_t i = 0; i < dim; i++) {
        weights[i] -= rate * gradient[i];
    }
}

/* Duchi, Hazan and Singer 2011. */
static void step_adagrad(const double *settings, float *weights, const float *gradient, uint32_t dim, uint64_t step) {
    const float rate = (float)(settings[0] / (1.0 + (double)(step - 1) * settings[1])), eps = (float)settings[3];
    float *sums = weights + dim;
    for (uint32_t i = 0; i < dim; i++) {
        sums[i] += gradient[i] * gradient[i];
        weights[i] -= rate * gradient[i] / (sqrtf(sums[i]) + eps);
    }
}

/* Kingma and Ba 2015, with the correction of both averages by the row's own step. */
static void step_adam(const double *settings, float *weights, const float *gradient, uint32_t dim, uint64_t step) {
    const double correction1 = 1.0 - pow(settings[1], (double)step), correction2 = 1.0 - pow(settings[2], (double)step);
    float *m = weights + dim, *v = m + dim;
    for (uint32_t i = 0; i < dim; i++) {
        double g = (double)gradient[i];
        m[i] = (float)(settings[1] * (double)m[i] + (1.0 - settings[1]) * g);
        v[i] = (float)(settings[2] * (double)v[i] + (1.0 - settings[2]) * g * g);
        double root = sqrt((double)v[i] / correction2);
        weights[i] -= (float)(settings[0] * ((double)m[i] / correction1) / (root + settings[3]));
    }
}

/* McMahan et al. 2013, algorithm 1. Without history z is the one that gives the weight; without gradient nothing is
 * done. */
static void step_ftrl(const double *settings, float *weights, const float *gradient, uint32_t dim) {
    const double alpha = settings[0], beta = settings[1], l1 = settings[2], l2 = settings[3];
    float *zs = weights + dim, *ns = zs + dim;
    for (uint32_t i = 0; i < dim; i++) {
        double g = (double)gradient[i], w = (double)weights[i], z = (double)zs[i], n = (double)ns[i];
        if (g == 0.0) {
            continue;
        }
        if (n == 0.0) {
            z = -w * (beta / alpha + l2) - (w > 0.0 ? l1 : w < 0.0 ? -l1 : 0.0);
        }
        z += g - (sqrt(n + g * g) - sqrt(n)) / alpha * w;
        n += g * g;
        double beyond = fabs(z) - l1, size = (beyond > 0.0 ? beyond : 0.0) / ((beta + sqrt(n)) / alpha + l2);
        zs[i] = (float)z;
        ns[i] = (float)n;
        weights[i] = (float)(z < 0.0 ? size : -size);
    }
}

void row_rule_step(const struct row_rule *rule, float *weights, const float *gradient, uint32_t dim, uint64_t step) {
    assert(step > 0);
    switch (rule->which) {
    case SGD:
        step_sgd(rule->settings, weights, gradient, dim);
        break;
    case ADAGRAD:
        step_adagrad(rule->settings, weights, gradient, dim, step);
        break;
    case ADAM:
        step_adam(rule->settings, weights, gradient, dim, step);
        break;
    default:
        step_ftrl(rule->settings, weights, gradient, dim);
        break;
    }
}
