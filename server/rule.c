#include "server/rule.h"

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
}

void rule_hyper(const struct rule *rule, uint64_t argument, double *hyper) {
    const struct optimizer *optimizer = rule->optimizer;
    memcpy(hyper, rule->hyper, sizeof rule->hyper);
    if (rule->rate < optimizer->hyperparameter_count) {
        double least = optimizer->hyperparameters[rule->rate].low;
        double rate = schedule_rate(&rule->schedule, hyper[rule->rate], argument);
        hyper[rule->rate] = rate < least ? least : rate;
    }
}

float rule_initial(const struct rule *rule, size_t slot) {
    return rule->optimizer->slot_initial == NULL ? 0.0f : rule->optimizer->slot_initial(rule->hyper, slot);
}

enum steps_policy rule_steps(const struct optimizer_spec *settings) {
    return (enum steps_policy)word(settings, "steps");
}
