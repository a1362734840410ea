#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/number.h"
#include "common/tensor.h"

static uint32_t settings_of(const struct optimizer_spec *spec) {
    return spec->count < LIMIT_SETTINGS ? spec->count : LIMIT_SETTINGS;
}

/* The settings whose values are words; a word's place is its value. */
static const struct {
    const char *name;
    const char *words[9];
} worded[] = {
    {"schedule",
     {[SCHEDULE_CONSTANT] = "constant",
      [SCHEDULE_STEP] = "step",
      [SCHEDULE_MULTISTEP] = "multistep",
      [SCHEDULE_EXPONENTIAL] = "exponential",
      [SCHEDULE_COSINE] = "cosine",
      [SCHEDULE_ONECYCLE] = "onecycle",
      [SCHEDULE_POLYNOMIAL] = "polynomial",
      [SCHEDULE_INVERSE_SQRT] = "inverse_sqrt"}},
    {"steps", {[STEPS_ROW] = "row", [STEPS_SHARD] = "shard"}},
    {"staleness", {[STALENESS_ACCEPT] = "accept", [STALENESS_SCALE] = "scale", [STALENESS_REFUSE] = "refuse"}},
    {"nonfinite", {[NONFINITE_REFUSE] = "refuse", [NONFINITE_SKIP] = "skip", [NONFINITE_CLIP] = "clip"}},
};

/* Its words, NULL-terminated; NULL for a setting of numbers. */
static const char *const *words_of(const char *name) {
    for (size_t i = 0; i < sizeof worded / sizeof worded[0]; i++) {
        if (strcmp(worded[i].name, name) == 0) {
            return worded[i].words;
        }
    }
    return NULL;
}

const char *setting_word(const char *name, double value) {
    const char *const *words = words_of(name);
    for (size_t i = 0; words != NULL && words[i] != NULL; i++) {
        if (value == (double)i) {
            return words[i];
        }
    }
    return NULL;
}

char *setting_text(const char *name, double value, char *text, size_t bytes) {
    char number[NUMBER_TEXT_BYTES];
    const char *word = setting_word(name, value);
    /* Counts of updates are whole: 10000, not 1e+04. */
    bool whole = value >= 1.0 && value <= 1e15 && value == (double)(uint64_t)value;
    if (word == NULL && whole) {
        snprintf(number, sizeof number, "%.0f", value);
        word = number;
    }
    snprintf(text, bytes, "%s", word != NULL ? word : number_text(value, number, sizeof number));
    return text;
}

/* A number, or one of the setting's words. */
static enum canyon_status parse_value(const char *name, const char *text, double *value, struct error *error) {
    const char *const *words = words_of(name);
    char list[160] = "";
    if (words == NULL) {
        return number_parse(text, value)
                   ? CANYON_OK
                   : error_set(error, CANYON_INVALID_ARGUMENT, "setting %s: \"%s\" is not a number", name, text);
    }
    size_t used = 0;
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0) {
            *value = (double)i;
            return CANYON_OK;
        }
        int length = snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ", words[i]);
        used += length < 0 || (size_t)length >= sizeof list - used ? 0 : (size_t)length;
    }
    return error_set(error, CANYON_INVALID_ARGUMENT, "setting %s: \"%s\" is none of %s", name, text, list);
}

char *optimizer_spec_text(const struct optimizer_spec *spec, char *text, size_t bytes) {
    char whole[LIMIT_OPTIMIZER_BYTES + LIMIT_SETTINGS * (LIMIT_SETTING_BYTES + NUMBER_TEXT_BYTES + 4) + 4];
    int length = snprintf(whole, sizeof whole, "%s(", spec->name);
    size_t used = length < 0 ? 0 : (size_t)length;
    for (uint32_t i = 0; i < settings_of(spec); i++) {
        char number[NUMBER_TEXT_BYTES];
        length = snprintf(whole + used, sizeof whole - used, "%s%s=%s", i == 0 ? "" : ", ", spec->settings[i].name,
                          setting_text(spec->settings[i].name, spec->settings[i].value, number, sizeof number));
        used += length < 0 ? 0 : (size_t)length;
    }
    snprintf(text, bytes, "%s)", whole);
    return text;
}

static const struct setting *find(const struct optimizer_spec *spec, const char *name) {
    for (uint32_t i = 0; i < settings_of(spec); i++) {
        if (strcmp(spec->settings[i].name, name) == 0) {
            return &spec->settings[i];
        }
    }
    return NULL;
}

bool optimizer_spec_equal(const struct optimizer_spec *one, const struct optimizer_spec *other) {
    if (strcmp(one->name, other->name) != 0 || one->count != other->count) {
        return false;
    }
    /* Both ways: with equal counts, a name given twice on one side must not hide one that is missing there. */
    for (uint32_t i = 0; i < settings_of(one); i++) {
        const struct setting *there = find(other, one->settings[i].name);
        const struct setting *here = find(one, other->settings[i].name);
        if (there == NULL || here == NULL || there->value != one->settings[i].value ||
            here->value != other->settings[i].value) {
            return false;
        }
    }
    return true;
}

static enum canyon_status setting_name_check(const char *name, struct error *error) {
    size_t length = strlen(name);
    if (length == 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "a setting has an empty name");
    }
    if (length >= LIMIT_SETTING_BYTES) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "setting \"%.64s\" has a name of %zu bytes, the limit is %d",
                         name, length, LIMIT_SETTING_BYTES - 1);
    }
    return CANYON_OK;
}

enum canyon_status optimizer_spec_set(struct optimizer_spec *spec, const char *name, double value,
                                      struct error *error) {
    enum canyon_status status = setting_name_check(name, error);
    if (status != CANYON_OK) {
        return status;
    }
    for (uint32_t i = 0; i < settings_of(spec); i++) {
        if (strcmp(spec->settings[i].name, name) == 0) {
            spec->settings[i].value = value;
            return CANYON_OK;
        }
    }
    if (spec->count >= LIMIT_SETTINGS) {
        return error_set(error, CANYON_TOO_LARGE, "setting \"%s\" is one more than the %d an optimizer may have", name,
                         LIMIT_SETTINGS);
    }
    struct setting *setting = &spec->settings[spec->count];
    memset(setting, 0, sizeof *setting);
    memcpy(setting->name, name, strlen(name) + 1);
    setting->value = value;
    spec->count++;
    return CANYON_OK;
}

/* One "name=value" of `length` bytes at `at`. */
static enum canyon_status parse_setting(const char *at, size_t length, struct optimizer_spec *spec,
                                        struct error *error) {
    char text[160];
    if (length >= sizeof text) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "setting \"%.64s...\" is too long", at);
    }
    memcpy(text, at, length);
    text[length] = '\0';
    char *equals = strchr(text, '=');
    if (equals == NULL) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "setting \"%s\" is not of the form name=value, as in adam:lr=0.01,beta1=0.8", text);
    }
    *equals = '\0';
    double value = 0;
    enum canyon_status status = parse_value(text, equals + 1, &value, error);
    if (status != CANYON_OK) {
        return status;
    }
    if (find(spec, text) != NULL) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "setting %s is given twice", text);
    }
    return optimizer_spec_set(spec, text, value, error);
}

enum canyon_status optimizer_settings_parse(const char *text, struct optimizer_spec *spec, struct error *error) {
    const char *at = text;
    for (;;) {
        size_t length = strcspn(at, ",");
        enum canyon_status status = parse_setting(at, length, spec, error);
        if (status != CANYON_OK || at[length] == '\0') {
            return status;
        }
        at += length + 1;
    }
}

enum canyon_status optimizer_spec_parse(const char *text, struct optimizer_spec *spec, struct error *error) {
    struct optimizer_spec parsed;
    memset(&parsed, 0, sizeof parsed);
    size_t length = strcspn(text, ":");
    if (length == 0 || length >= LIMIT_OPTIMIZER_BYTES) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "\"%.64s\" does not begin with the name of an optimizer of 1 to %d bytes", text,
                         LIMIT_OPTIMIZER_BYTES - 1);
    }
    memcpy(parsed.name, text, length);
    enum canyon_status status = CANYON_OK;
    if (text[length] == ':') {
        status = optimizer_settings_parse(text + length + 1, &parsed, error);
    }
    if (status == CANYON_OK) {
        *spec = parsed;
    }
    return status;
}
