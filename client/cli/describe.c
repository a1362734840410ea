#include "client/cli/describe.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/tools/arguments.h"
#include "client/tools/npy.h"
#include "client/tools/number.h"
#include "client/tools/record.h"

char *describe_shape(const struct canyon_tensor_info *info, char *text, size_t bytes) {
    if (info->kind == CANYON_TABLE) {
        snprintf(text, bytes, "rows of %" PRIu64, info->dims[0]);
        return text;
    }
    return npy_shape_text(info->rank, info->dims, text, bytes);
}

static const char *initializer_name(enum canyon_initializer initializer) {
    static const char *const names[] = {
        [CANYON_ZEROS] = "zeros",   [CANYON_CONSTANT] = "constant", [CANYON_UNIFORM] = "uniform",
        [CANYON_NORMAL] = "normal", [CANYON_XAVIER] = "xavier",     [CANYON_KAIMING] = "kaiming",
        [CANYON_VALUES] = "values",
    };
    size_t at = (size_t)initializer;
    return at < sizeof names / sizeof *names ? names[at] : "unknown";
}

char *describe_initializer(const struct canyon_tensor_info *info, char *text, size_t bytes) {
    const char *name = initializer_name(info->initializer);
    char a[NUMBER_BYTES], b[NUMBER_BYTES];
    number_shortest(info->a, a, sizeof a);
    number_shortest(info->b, b, sizeof b);
    switch (info->initializer) {
    case CANYON_CONSTANT:
        snprintf(text, bytes, "%s (%s)", name, a);
        break;
    case CANYON_UNIFORM:
        snprintf(text, bytes, "%s (from %s to %s, seed %" PRIu64 ")", name, a, b, info->seed);
        break;
    case CANYON_NORMAL:
        snprintf(text, bytes, "%s (mean %s, deviation %s, seed %" PRIu64 ")", name, a, b, info->seed);
        break;
    case CANYON_XAVIER:
    case CANYON_KAIMING:
        snprintf(text, bytes, "%s (gain %s, seed %" PRIu64 ")", name, a, info->seed);
        break;
    default:
        snprintf(text, bytes, "%s", name);
        break;
    }
    return text;
}

static json_t *shape_json(const struct canyon_tensor_info *info) {
    json_t *shape = json_array();
    for (uint32_t i = 0; i < info->rank; i++) {
        if (json_array_append_new(shape, record_unsigned(info->dims[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    return shape;
}

/* A number, or the word where the setting's values are words. */
static json_t *setting_json(const struct canyon_setting *setting) {
    char text[NUMBER_BYTES];
    double number;
    canyon_setting_text(setting, text, sizeof text);
    return arguments_double(text, &number) ? record_number(setting->value) : json_string(text);
}

static json_t *settings_json(const struct canyon_tensor_info *info) {
    json_t *settings = json_object();
    for (uint32_t i = 0; i < info->setting_count; i++) {
        if (json_object_set_new(settings, info->settings[i].name, setting_json(&info->settings[i])) != 0) {
            json_decref(settings);
            return NULL;
        }
    }
    return settings;
}

json_t *describe_json(const struct canyon_tensor_info *info) {
    /* json_pack gives up what it was handed, and is NULL, when one of its parts is. */
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:{s:s, s:o}, s:{s:s, s:o, s:o, s:o}}", "name",
                     info->name, "kind", info->kind == CANYON_TABLE ? "table" : "tensor", "row_cap",
                     record_unsigned(info->row_cap), "capacity", record_unsigned(info->capacity), "shape",
                     shape_json(info), "elements", record_unsigned(info->elements), "blocks",
                     record_unsigned(info->blocks), "complete", info->complete, "epoch", record_unsigned(info->epoch),
                     "optimizer", "name", info->optimizer, "settings", settings_json(info), "initializer", "kind",
                     initializer_name(info->initializer), "seed", record_unsigned(info->seed), "a",
                     record_number(info->a), "b", record_number(info->b));
}
