#include "common/consistency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool consistency_equal(const struct consistency *one, const struct consistency *other) {
    return one->mode == other->mode && one->staleness == other->staleness && one->combine == other->combine &&
           one->order == other->order && one->minimum == other->minimum;
}

enum canyon_status consistency_check(const struct consistency *mode, struct error *error) {
    if ((unsigned)mode->mode > CONSISTENCY_SYNC || (unsigned)mode->combine > CONSISTENCY_SUM ||
        (unsigned)mode->order > CONSISTENCY_RANK) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "mode %u, combine %u, order %u: this version knows modes 0 to 2, the others 0 and 1",
                         (unsigned)mode->mode, (unsigned)mode->combine, (unsigned)mode->order);
    }
    if (mode->staleness > (mode->mode == CONSISTENCY_SSP ? CONSISTENCY_STALENESS_HIGH : 0)) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "a staleness of %u clocks: bounded staleness takes 0 to %u, the other modes none",
                         mode->staleness, CONSISTENCY_STALENESS_HIGH);
    }
    if (mode->mode != CONSISTENCY_SYNC && (mode->combine != 0 || mode->order != 0 || mode->minimum != 0)) {
        return error_set(
            error, CANYON_INVALID_ARGUMENT,
            "combine, order and minimum are of the synchronous mode: the others apply each push by itself");
    }
    if (mode->minimum > LIMIT_MEMBERS) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "a minimum of %u workers: there are %d at most", mode->minimum,
                         LIMIT_MEMBERS);
    }
    return CANYON_OK;
}

/* ---- as text ---- */

#define FORMS "async, ssp:CLOCKS, or sync[:mean|sum][,arrival|rank][,minimum=WORKERS]"

static bool take_number(const char *text, uint32_t *number) {
    char *end = NULL;
    size_t digits = strspn(text, "0123456789");
    unsigned long value = digits > 0 && digits < 10 ? strtoul(text, &end, 10) : 0;
    *number = (uint32_t)value;
    return end != NULL && *end == '\0';
}

/* One word after "sync:". `seen` has a bit for each kind of word. */
static bool take_word(const char *word, struct consistency *mode, unsigned *seen) {
    unsigned kind = 0;
    if (strcmp(word, "mean") == 0 || strcmp(word, "sum") == 0) {
        mode->combine = word[0] == 's' ? CONSISTENCY_SUM : CONSISTENCY_MEAN;
        kind = 1;
    } else if (strcmp(word, "arrival") == 0 || strcmp(word, "rank") == 0) {
        mode->order = word[0] == 'r' ? CONSISTENCY_RANK : CONSISTENCY_ARRIVAL;
        kind = 2;
    } else if (strncmp(word, "minimum=", 8) == 0 && take_number(word + 8, &mode->minimum)) {
        kind = 4;
    }
    bool fine = kind != 0 && (*seen & kind) == 0;
    *seen |= kind;
    return fine;
}

static bool take_words(const char *words, struct consistency *mode) {
    unsigned seen = 0;
    char word[24];
    for (const char *at = words;;) {
        size_t length = strcspn(at, ",");
        if (length >= sizeof word) {
            return false;
        }
        memcpy(word, at, length);
        word[length] = '\0';
        if (!take_word(word, mode, &seen)) {
            return false;
        }
        if (at[length] == '\0') {
            return true;
        }
        at += length + 1;
    }
}

enum canyon_status consistency_parse(const char *text, struct consistency *mode, struct error *error) {
    struct consistency parsed = {.mode = CONSISTENCY_ASYNC};
    bool fine = strcmp(text, "async") == 0;
    if (strncmp(text, "ssp:", 4) == 0) {
        parsed.mode = CONSISTENCY_SSP;
        fine = take_number(text + 4, &parsed.staleness);
    } else if (strncmp(text, "sync", 4) == 0) {
        parsed.mode = CONSISTENCY_SYNC;
        fine = text[4] == '\0' || (text[4] == ':' && take_words(text + 5, &parsed));
    }
    if (!fine) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "\"%.80s\" is no consistency mode: it is %s", text, FORMS);
    }
    enum canyon_status status = consistency_check(&parsed, error);
    if (status == CANYON_OK) {
        *mode = parsed;
    }
    return status;
}

char *consistency_text(const struct consistency *mode, char *text, size_t bytes) {
    char words[CONSISTENCY_TEXT_BYTES] = "", number[24] = "";
    if (mode->minimum > 0) {
        snprintf(number, sizeof number, ",minimum=%u", mode->minimum);
    }
    snprintf(words, sizeof words, "%s%s%s", mode->combine == CONSISTENCY_SUM ? ",sum" : "",
             mode->order == CONSISTENCY_RANK ? ",rank" : "", number);
    if (mode->mode == CONSISTENCY_SSP) {
        snprintf(text, bytes, "ssp:%u", mode->staleness);
    } else if (mode->mode == CONSISTENCY_SYNC) {
        snprintf(text, bytes, "sync%s%s", words[0] != '\0' ? ":" : "", words[0] != '\0' ? words + 1 : "");
    } else {
        snprintf(text, bytes, "async");
    }
    return text;
}

/* ---- staleness ---- */

void staleness_count(struct staleness *counts, uint64_t staleness) {
    size_t bucket = 0;
    while (bucket < STALENESS_BUCKETS - 1 && (staleness >> bucket) > 0) {
        bucket++;
    }
    counts->pushes++;
    counts->sum += staleness;
    counts->max = staleness > counts->max ? staleness : counts->max;
    counts->counts[bucket]++;
}

void staleness_merge(struct staleness *counts, const struct staleness *more) {
    counts->pushes += more->pushes;
    counts->sum += more->sum;
    counts->max = more->max > counts->max ? more->max : counts->max;
    for (size_t i = 0; i < STALENESS_BUCKETS; i++) {
        counts->counts[i] += more->counts[i];
    }
}

uint64_t staleness_floor(size_t bucket) {
    return bucket == 0 ? 0 : 1ull << (bucket - 1);
}
