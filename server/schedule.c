#include "server/schedule.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "server/detmath.h"
#include "server/optimizers/optimizer.h"

#define UPDATES_HIGH 1e15 /* counts of updates are whole in double, with room to add them */
#define RATE_HIGH    1e6
#define REQUIRED     -1.0 /* as a default: there is none */

#define KIND(kind) (1u << SCHEDULE_##kind)

enum { WARMUP, WARMUP_START, SCHEDULE, FIRST_OF_KIND };

static const struct parameter {
    const char *name;
    double fallback, low, high;
    bool whole, low_open;
    unsigned kinds; /* that have it */
} parameters[] = {
    [WARMUP] = {"warmup", 0, 0, UPDATES_HIGH, true, false, 0},
    [WARMUP_START] = {"warmup_start", 1.0 / 3.0, 0, 1, false, false, 0},
    [SCHEDULE] = {"schedule", SCHEDULE_CONSTANT, SCHEDULE_CONSTANT, SCHEDULE_INVERSE_SQRT, true, false, 0},
    {"gamma", 0.1, 0, 1, false, true, KIND(STEP) | KIND(MULTISTEP) | KIND(EXPONENTIAL)},
    {"step_size", REQUIRED, 1, UPDATES_HIGH, true, false, KIND(STEP)},
    {"T_max", REQUIRED, 1, UPDATES_HIGH, true, false, KIND(COSINE)},
    {"eta_min", 0, 0, RATE_HIGH, false, false, KIND(COSINE)},
    {"total_steps", REQUIRED, 1, UPDATES_HIGH, true, false, KIND(ONECYCLE)},
    {"pct_start", 0.3, 0, 1, false, false, KIND(ONECYCLE)},
    {"div_factor", 25, 1, 1e12, false, false, KIND(ONECYCLE)},
    {"final_div_factor", 1e4, 1, 1e12, false, false, KIND(ONECYCLE)},
    {"total_iters", REQUIRED, 1, UPDATES_HIGH, true, false, KIND(POLYNOMIAL)},
    {"power", 1, 0, 100, false, true, KIND(POLYNOMIAL)},
    {"timescale", 0, 0, UPDATES_HIGH, true, false, KIND(INVERSE_SQRT)},
};
enum { PARAMETERS = sizeof parameters / sizeof parameters[0] };

/* Of values from 0 to UPDATES_HIGH. */
static bool whole(double value) {
    return value == (double)(uint64_t)value;
}

static const struct setting *find(const struct optimizer_spec *spec, const char *name) {
    const struct setting *found = NULL;
    for (uint32_t i = 0; i < spec->count && found == NULL; i++) {
        found = strcmp(spec->settings[i].name, name) == 0 ? &spec->settings[i] : NULL;
    }
    return found;
}

/* 1 for "milestone1", ...; 0 for what is none. */
static size_t milestone_number(const char *name) {
    static const char stem[] = "milestone";
    size_t length = sizeof stem - 1;
    bool is = strncmp(name, stem, length) == 0 && name[length] >= '1' && name[length] <= '0' + SCHEDULE_MILESTONES &&
              name[length + 1] == '\0';
    return is ? (size_t)(name[length] - '0') : 0;
}

static const struct parameter *parameter_of(const char *name) {
    for (size_t i = 0; i < PARAMETERS; i++) {
        if (strcmp(parameters[i].name, name) == 0) {
            return &parameters[i];
        }
    }
    return NULL;
}

bool schedule_has_setting(const char *name) {
    return parameter_of(name) != NULL || milestone_number(name) > 0;
}

/* ---- The canonical form ---- */

static enum canyon_status check(const struct parameter *parameter, const char *name, double value,
                                struct error *error) {
    bool above = parameter->low_open ? value > parameter->low : value >= parameter->low;
    if (!above || !(value <= parameter->high) || (parameter->whole && !whole(value))) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "schedule: %s=%.17g is not %s%c%.9g, %.9g]", name, value,
                         parameter->whole ? "a whole number in " : "in ", parameter->low_open ? '(' : '[',
                         parameter->low, parameter->high);
    }
    return CANYON_OK;
}

static enum canyon_status append(const struct parameter *parameter, const char *name,
                                 const struct optimizer_spec *given, struct optimizer_spec *result, double *value,
                                 struct error *error) {
    const struct setting *setting = find(given, name);
    *value = setting == NULL ? parameter->fallback : setting->value + 0.0;
    if (setting == NULL && parameter->fallback == REQUIRED) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "this schedule needs %s: %s=...", name, name);
    }
    enum canyon_status status = check(parameter, name, *value, error);
    return status == CANYON_OK ? optimizer_spec_set(result, name, *value, error) : status;
}

static enum canyon_status append_milestones(const struct optimizer_spec *given, struct optimizer_spec *result,
                                            struct error *error) {
    static const struct parameter milestone = {"milestone", REQUIRED, 1, UPDATES_HIGH, true, false, 0};
    double last = 0, value = 0;
    enum canyon_status status = CANYON_OK;
    bool ended = false;
    for (unsigned i = 1; status == CANYON_OK && i <= SCHEDULE_MILESTONES; i++) {
        char name[LIMIT_SETTING_BYTES];
        snprintf(name, sizeof name, "milestone%u", i);
        bool there = find(given, name) != NULL;
        if (i > 1 && !there) {
            ended = true;
            continue;
        }
        status = ended ? error_set(error, CANYON_INVALID_ARGUMENT, "schedule: there is a %s, but not the one before it",
                                   name)
                       : append(&milestone, name, given, result, &value, error);
        if (status == CANYON_OK && value <= last) {
            status = error_set(error, CANYON_INVALID_ARGUMENT, "schedule: %s=%.17g is not after the one before, %.17g",
                               name, value, last);
        }
        last = value;
    }
    return status;
}

static enum canyon_status check_kind(const struct optimizer_spec *given, unsigned kind, struct error *error) {
    for (uint32_t i = 0; i < given->count; i++) {
        const char *name = given->settings[i].name;
        const struct parameter *parameter = parameter_of(name);
        bool of_kinds = parameter != NULL && parameter - parameters >= FIRST_OF_KIND;
        if ((of_kinds && (parameter->kinds & 1u << kind) == 0) ||
            (milestone_number(name) > 0 && kind != SCHEDULE_MULTISTEP)) {
            return error_set(error, CANYON_INVALID_ARGUMENT, "schedule=%s has no %s",
                             setting_word("schedule", (double)kind), name);
        }
    }
    return CANYON_OK;
}

enum canyon_status schedule_canonical(const struct optimizer_spec *given, struct optimizer_spec *result,
                                      struct error *error) {
    const struct setting *setting = find(given, "schedule"), *warmup = find(given, "warmup");
    double kind = setting == NULL ? SCHEDULE_CONSTANT : setting->value, value = 0;
    enum canyon_status status = check(&parameters[SCHEDULE], "schedule", kind, error);
    if (status == CANYON_OK && warmup != NULL) {
        status = check(&parameters[WARMUP], "warmup", warmup->value, error);
    }
    if (status == CANYON_OK) {
        status = check_kind(given, (unsigned)kind, error);
    }
    if (status == CANYON_OK && warmup != NULL && warmup->value > 0) {
        status = append(&parameters[WARMUP], "warmup", given, result, &value, error);
        if (status == CANYON_OK) {
            status = append(&parameters[WARMUP_START], "warmup_start", given, result, &value, error);
        }
    }
    if (status != CANYON_OK || kind == SCHEDULE_CONSTANT) {
        return status;
    }
    status = append(&parameters[SCHEDULE], "schedule", given, result, &value, error);
    for (size_t i = FIRST_OF_KIND; status == CANYON_OK && i < PARAMETERS; i++) {
        if (parameters[i].kinds & 1u << (unsigned)kind) {
            status = append(&parameters[i], parameters[i].name, given, result, &value, error);
        }
    }
    if (status == CANYON_OK && kind == SCHEDULE_MULTISTEP) {
        status = append_milestones(given, result, error);
    }
    return status;
}

void schedule_make_way(struct optimizer_spec *settings, const struct setting *changes, uint32_t count) {
    const struct setting *now = find(settings, "schedule");
    bool kind = false, milestones = false;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool same = now == NULL ? changes[i].value == SCHEDULE_CONSTANT : changes[i].value == now->value;
        kind = kind || (strcmp(changes[i].name, "schedule") == 0 && !same);
        milestones = milestones || milestone_number(changes[i].name) == 1;
    }
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct parameter *parameter = parameter_of(settings->settings[i].name);
        bool milestone = milestone_number(settings->settings[i].name) > 0;
        bool of_kind = milestone || (parameter != NULL && parameter - parameters >= FIRST_OF_KIND);
        if (!(kind && of_kind) && !(milestones && milestone)) {
            settings->settings[kept++] = settings->settings[i];
        }
    }
    settings->count = kept;
}

void schedule_read(const struct optimizer_spec *settings, struct schedule *schedule) {
    memset(schedule, 0, sizeof *schedule);
    static const char *const lengths[] = {"step_size", "T_max", "total_steps", "total_iters", "timescale"};
    const struct {
        const char *name;
        double *value;
    } numbers[] = {{"warmup_start", &schedule->warmup_start},
                   {"gamma", &schedule->gamma},
                   {"eta_min", &schedule->eta_min},
                   {"pct_start", &schedule->pct_start},
                   {"div_factor", &schedule->div_factor},
                   {"final_div_factor", &schedule->final_div_factor},
                   {"power", &schedule->power}};
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct setting *setting = &settings->settings[i];
        if (!schedule_has_setting(setting->name)) {
            continue; /* an optimizer's */
        }
        for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++) {
            if (strcmp(setting->name, numbers[n].name) == 0) {
                *numbers[n].value = setting->value;
            }
        }
        for (size_t n = 0; n < sizeof lengths / sizeof lengths[0]; n++) {
            if (strcmp(setting->name, lengths[n]) == 0) {
                schedule->length = (uint64_t)setting->value;
            }
        }
        if (strcmp(setting->name, "schedule") == 0) {
            schedule->kind = (enum schedule_kind)setting->value;
        } else if (strcmp(setting->name, "warmup") == 0) {
            schedule->warmup = (uint64_t)setting->value;
        } else if (milestone_number(setting->name) > 0) {
            schedule->milestones[schedule->milestone_count++] = (uint64_t)setting->value;
        }
    }
}

/* ---- The rate ---- */

/* cos(pi part / whole); a period is 2 whole, taken out in whole numbers. */
static double cosine(uint64_t part, uint64_t whole) {
    double sine, result;
    detmath_sincos_turns((double)(part % (2 * whole)) / (2.0 * (double)whole), &sine, &result);
    return result;
}

/* From one value to another by half a cosine, as `share` goes from 0 to 1. */
static double anneal(double from, double to, double share) {
    double sine, result;
    detmath_sincos_turns(share / 2.0, &sine, &result);
    return to + (from - to) / 2.0 * (1.0 + result);
}

static double one_cycle(const struct schedule *schedule, double lr, uint64_t t) {
    double first = lr / schedule->div_factor, least = first / schedule->final_div_factor;
    double peak = schedule->pct_start * (double)schedule->length - 1.0, end = (double)schedule->length - 1.0;
    double at = (double)t;
    if (at <= peak) {
        return peak > 0.0 ? anneal(first, lr, at / peak) : lr;
    }
    return at < end ? anneal(lr, least, (at - peak) / (end - peak)) : least;
}

static double polynomial(double base, double power) {
    if (whole(power)) {
        return optimizer_power(base, (uint64_t)power);
    }
    return base > 0.0 ? detmath_exp(power * detmath_log(base)) : 0.0;
}

/* t counts from the end of the warm-up. */
static double rate_of(const struct schedule *schedule, double lr, uint64_t t) {
    double rate = lr;
    uint64_t passed = 0;
    switch (schedule->kind) {
    case SCHEDULE_CONSTANT:
        break;
    case SCHEDULE_STEP:
        rate = lr * optimizer_power(schedule->gamma, t / schedule->length);
        break;
    case SCHEDULE_MULTISTEP:
        while (passed < schedule->milestone_count && schedule->milestones[passed] <= t) {
            passed++;
        }
        rate = lr * optimizer_power(schedule->gamma, passed);
        break;
    case SCHEDULE_EXPONENTIAL:
        rate = lr * optimizer_power(schedule->gamma, t);
        break;
    case SCHEDULE_COSINE:
        rate = schedule->eta_min + (lr - schedule->eta_min) * (1.0 + cosine(t, schedule->length)) / 2.0;
        break;
    case SCHEDULE_ONECYCLE:
        rate = one_cycle(schedule, lr, t);
        break;
    case SCHEDULE_POLYNOMIAL:
        rate = t >= schedule->length
                   ? 0.0
                   : lr * polynomial((double)(schedule->length - t) / (double)schedule->length, schedule->power);
        break;
    case SCHEDULE_INVERSE_SQRT: {
        uint64_t scale = schedule->length > 0 ? schedule->length : schedule->warmup > 0 ? schedule->warmup : 1;
        rate = lr * sqrt((double)scale / ((double)scale + (double)t));
        break;
    }
    }
    return rate;
}

double schedule_rate(const struct schedule *schedule, double lr, uint64_t before) {
    double rate;
    if (before < schedule->warmup) {
        double share = (double)before / (double)schedule->warmup;
        rate = rate_of(schedule, lr, 0) * (schedule->warmup_start + (1.0 - schedule->warmup_start) * share);
    } else {
        rate = rate_of(schedule, lr, before - schedule->warmup);
    }
    assert(rate >= 0.0 && isfinite(rate));
    return rate;
}
