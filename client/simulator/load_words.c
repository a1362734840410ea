#include "client/simulator/load_words.h"

#include <string.h>

#include "client/simulator/load_plan.h"
#include "client/tools/arguments.h"

bool load_words_bytes(const char *text, uint64_t *bytes) {
    static const char units[] = "KMG";
    char number[32];
    double value = 0.0, unit = 1.0;
    size_t length = strlen(text);
    if (length == 0 || length >= sizeof number) {
        return false;
    }
    memcpy(number, text, length + 1);
    const char *found = strchr(units, number[length - 1]);
    if (found != NULL) {
        number[length - 1] = '\0';
        for (const char *u = units; u <= found; u++) {
            unit *= 1024.0;
        }
    }
    if (!arguments_double(number, &value) || !(value >= 0.0) || value * unit > 9e15 ||
        value * unit != (double)(uint64_t)(value * unit)) {
        return false;
    }
    *bytes = (uint64_t)(value * unit);
    return true;
}

/* The text up to `end`, which is skipped; false without it, or when that is no number. */
static bool take_number(const char **text, char end, uint64_t *value) {
    char number[24];
    const char *stop = strchr(*text, end);
    size_t length = stop == NULL ? 0 : (size_t)(stop - *text);
    if (stop == NULL || length >= sizeof number) {
        return false;
    }
    memcpy(number, *text, length);
    number[length] = '\0';
    *text = end == '\0' ? stop : stop + 1;
    return arguments_unsigned(number, value);
}

bool load_words_mix(const char *text, uint32_t mix[LOAD_KINDS]) {
    uint64_t shares[LOAD_KINDS];
    if (!take_number(&text, '/', &shares[0]) || !take_number(&text, '/', &shares[1]) ||
        !take_number(&text, '\0', &shares[2])) {
        return false;
    }
    for (unsigned k = 0; k < LOAD_KINDS; k++) {
        if (shares[k] > 100) {
            return false;
        }
        mix[k] = (uint32_t)shares[k];
    }
    return mix[0] + mix[1] + mix[2] == 100;
}

bool load_words_straggle(const char *text, uint32_t *stragglers, uint64_t *nanoseconds) {
    uint64_t count = 0;
    double ms = 0.0;
    if (!take_number(&text, ':', &count) || count > LOAD_WORKERS_HIGH || !arguments_double(text, &ms) || !(ms >= 0.0) ||
        ms > 3600000.0) {
        return false;
    }
    *stragglers = (uint32_t)count;
    *nanoseconds = (uint64_t)(ms * 1e6 + 0.5);
    return true;
}
