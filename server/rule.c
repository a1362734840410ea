#include "server/rule.h"

#include <inttypes.h>
#include <string.h>

/* A setting whose values are words, 0 where it is not among the settings. */
static double word(const struct optimizer_spec *settings, const char *name) {
    double value = 0;
    for (uint32_t i = 0; i < settings->count; i++) {
        value = strcmp(settings->settings[i].name, name) == 0 ? settings->settings[i].value : value;
    }
    return value;
}

void rule_read(struct rule *rule, const struct optimizer_spec *settings) {
    memset(rule, 0, sizeof *rule);
    rule->optimizer = optimizer_find(settings->name);
    for (size_t i = 0; i < rule->optimizer->hyperparameter_count; i++) {
        rule->hyper[i] = settings->settings[i].value;
    }
    rule->rate = optimizer_hyperparameter_index(rule->optimizer, "lr");
    schedule_read(settings, &rule->schedule);
    rule->nonfinite = (enum nonfinite_policy)word(settings, "nonfinite");
    rule->steps = rule_steps(settings);
    rule->staleness = rule_staleness(settings);
}

void rule_hyper(const struct rule *rule, uint64_t argument, uint64_t staleness, double *hyper) {
    const struct optimizer *optimizer = rule->optimizer;
    memcpy(hyper, rule->hyper, sizeof rule->hyper);
    if (rule->rate < optimizer->hyperparameter_count) {
        double least = optimizer->hyperparameters[rule->rate].low;
        double rate = schedule_rate(&rule->schedule, hyper[rule->rate], argument);
        rate = rule_rate(&rule->staleness, rate, staleness);
        hyper[rule->rate] = rate < least ? least : rate;
    }
}

float rule_initial(const struct rule *rule, size_t slot) {
    return rule->optimizer->slot_initial == NULL ? 0.0f : rule->optimizer->slot_initial(rule->hyper, slot);
}

enum steps_policy rule_steps(const struct optimizer_spec *settings) {
    return (enum steps_policy)word(settings, "steps");
}

struct rule_staleness rule_staleness(const struct optimizer_spec *settings) {
    return (struct rule_staleness){.policy = (enum staleness_policy)word(settings, "staleness"),
                                   .bound = (uint64_t)word(settings, "staleness_bound")};
}

double rule_rate(const struct rule_staleness *policy, double rate, uint64_t staleness) {
    return policy->policy == STALENESS_SCALE ? rate / (1.0 + (double)staleness) : rate;
}

enum canyon_status rule_admit(const struct rule_staleness *policy, uint64_t staleness, const char *what,
                              struct error *error) {
    if (policy->policy != STALENESS_REFUSE || staleness <= policy->bound) {
        return CANYON_OK;
    }
    return error_set(error, CANYON_STALE,
                     "%s: %" PRIu64 " pushes came since the weights of this gradient, staleness_bound is %" PRIu64
                     ": pull, compute, push again; nothing has changed",
                     what, staleness, policy->bound);
}
