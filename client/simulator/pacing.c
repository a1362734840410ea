#include "client/simulator/pacing.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/tools/arguments.h"

/* The next of a list's words, up to a comma or the end, which it skips. False when there is none, or it is too long. */
static bool next_word(const char **text, char *word, size_t bytes) {
    size_t length = strcspn(*text, ",");
    if (length == 0 || length >= bytes) {
        return false;
    }
    memcpy(word, *text, length);
    word[length] = '\0';
    *text += length;
    bool more = **text == ',';
    *text += more;
    return !more || **text != '\0';
}

static const char *behind(const char *text, const char *prefix) {
    size_t length = strlen(prefix);
    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

static bool sync_words(const char *words) {
    static const char *const known[] = {"mean", "sum", "arrival", "rank"};
    char word[32];
    bool good = *words != '\0';
    while (good && *words != '\0') {
        good = next_word(&words, word, sizeof word);
        const char *number = good ? behind(word, "minimum=") : NULL;
        uint64_t minimum = 0;
        bool found = number != NULL && arguments_unsigned(number, &minimum) && minimum >= 1;
        for (size_t i = 0; good && i < sizeof known / sizeof *known; i++) {
            found = found || strcmp(word, known[i]) == 0;
        }
        good = good && found;
    }
    return good;
}

bool pacing_mode(struct pacing *pacing, const char *text, char *why, size_t bytes) {
    const char *clocks = behind(text, "ssp:"), *words = behind(text, "sync:");
    uint64_t bound = 0;
    bool sync = strcmp(text, "sync") == 0 || words != NULL;
    bool good = strcmp(text, "async") == 0 || strcmp(text, "sync") == 0;
    good = good || (clocks != NULL && arguments_unsigned(clocks, &bound) && bound <= PACING_BOUND_HIGH);
    good = good || (words != NULL && sync_words(words));
    if (!good) {
        snprintf(why, bytes,
                 "'%s' is no mode; there are async, ssp:CLOCKS, and sync, alone or with words, as sync:sum,rank or "
                 "sync:minimum=3",
                 text);
        return false;
    }
    pacing->mode = text;
    pacing->sync = sync;
    return true;
}

bool pacing_policy(struct pacing *pacing, const char *text, char *why, size_t bytes) {
    const char *number = behind(text, "refuse:");
    uint64_t bound = 0;
    if (strcmp(text, "accept") == 0 || strcmp(text, "scale") == 0) {
        snprintf(pacing->staleness, sizeof pacing->staleness, "staleness=%s", text);
    } else if (number != NULL && arguments_unsigned(number, &bound) && bound <= PACING_BOUND_HIGH) {
        snprintf(pacing->staleness, sizeof pacing->staleness, "staleness=refuse,staleness_bound=%" PRIu64, bound);
    } else {
        snprintf(why, bytes,
                 "'%s' is no policy; there are accept, scale, and refuse:N, which refuses gradients that missed more "
                 "than N updates",
                 text);
        return false;
    }
    snprintf(pacing->policy, sizeof pacing->policy, "%s", text);
    return true;
}

bool pacing_straggle(struct pacing *pacing, const char *text, uint32_t workers, char *why, size_t bytes) {
    const char *whole = text;
    char word[32];
    assert(workers <= PACING_WORKERS_HIGH);
    do {
        uint64_t worker = 0, delay = 0;
        char *colon = next_word(&text, word, sizeof word) ? strchr(word, ':') : NULL;
        if (colon != NULL) {
            *colon = '\0';
        }
        if (colon == NULL || !arguments_unsigned(word, &worker) || !arguments_unsigned(colon + 1, &delay) ||
            delay > PACING_DELAY_HIGH) {
            snprintf(why, bytes,
                     "'%s' is not of the form K:MS, or a list of such: worker K, counted from 0, sleeps MS "
                     "milliseconds more in every step, at most %d",
                     whole, PACING_DELAY_HIGH);
            return false;
        }
        if (worker >= workers) {
            snprintf(why, bytes, "'%s' slows worker %" PRIu64 " down, but they are 0 to %" PRIu32, whole, worker,
                     workers - 1);
            return false;
        }
        pacing->delay_ms[worker] += (uint32_t)delay;
        pacing->slows = pacing->slows || delay > 0;
    } while (*text != '\0');
    return true;
}

void pacing_sleep(const struct pacing *pacing, uint32_t worker) {
    uint32_t delay = pacing->delay_ms[worker];
    struct timespec left = {.tv_sec = delay / 1000, .tv_nsec = (long)(delay % 1000) * 1000000};
    while (delay > 0 && nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}
