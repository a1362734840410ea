#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/faults/pipe.h"

void proxy_faults_init(struct proxy_faults *faults) {
    *faults = (struct proxy_faults){
        .cut_after = PROXY_NEVER, .stall_after = PROXY_NEVER, .swallow_after = PROXY_NEVER, .flip_at = PROXY_NEVER};
}

/* Digits only, at most `most`; false when it is not that. `end` is what follows. */
static bool number(const char *text, uint64_t most, uint64_t *value, const char **end) {
    char *after = NULL;
    errno = 0;
    if (text[0] < '0' || text[0] > '9')
        return false;
    *value = strtoull(text, &after, 10);
    *end = after;
    return errno == 0 && *value <= most;
}

/* One word, of `length` bytes. */
static bool parse_word(struct proxy_faults *faults, const char *word, size_t length) {
    uint64_t small = 0, bit = 0;
    const struct {
        const char *key;
        uint64_t *large; /* where it goes; NULL: to `small`, at most `most` */
        uint32_t *into;
    } keys[] = {
        {"cut=", &faults->cut_after, NULL},  {"stall=", &faults->stall_after, NULL},
        {"seed=", &faults->seed, NULL},      {"swallow=", &faults->swallow_after, NULL},
        {"rate=", &faults->rate, NULL},      {"flip_every=", &faults->flip_every, NULL},
        {"piece=", NULL, &faults->piece},    {"gap_us=", NULL, &faults->gap_us},
        {"delay=", NULL, &faults->delay_ms},
    };
    const char *end = NULL;
    if (length == 4 && strncmp(word, "hold", 4) == 0) {
        faults->hold = true;
        return true;
    }
    if (length == 7 && (strncmp(word, "end=fin", 7) == 0 || strncmp(word, "end=rst", 7) == 0)) {
        faults->cut_end = word[4] == 'r' ? PROXY_RST : PROXY_FIN;
        return true;
    }
    if (strncmp(word, "flip=", 5) == 0) {
        if (!number(word + 5, PROXY_NEVER - 1, &faults->flip_at, &end) || *end != '.' ||
            !number(end + 1, 7, &bit, &end))
            return false;
        faults->flip_bit = (uint32_t)bit;
        return end == word + length;
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        size_t key = strlen(keys[i].key);
        if (strncmp(word, keys[i].key, key) != 0)
            continue;
        if (!number(word + key, keys[i].large ? UINT64_MAX / 4 : UINT32_MAX, keys[i].large ? keys[i].large : &small,
                    &end))
            return false;
        if (keys[i].into)
            *keys[i].into = (uint32_t)small;
        return end == word + length;
    }
    return false;
}

const char *proxy_faults_parse(struct proxy_faults *faults, const char *text) {
    struct proxy_faults read;
    proxy_faults_init(&read);
    while (*text) {
        size_t length = strcspn(text, ",");
        if (!parse_word(&read, text, length) || (text[length] == ',' && text[length + 1] == '\0'))
            return text;
        text += length + (text[length] == ',');
    }
    *faults = read;
    return NULL;
}
