#include "client/simulator/vocabulary.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/room.h"

#define FIRST_PLACES 1024u

struct entry {
    size_t text; /* where in the texts the word stands */
    uint64_t seen;
    uint32_t length, hash;
};

struct vocabulary {
    char *texts; /* words one after another, each with its NUL */
    size_t text_bytes, text_capacity;
    struct entry *entries;
    size_t count, capacity;
    uint32_t *places; /* open addressing: 1 + the entry, or 0; more than half are always free */
    uint32_t place_count;
    uint64_t total;
    bool cut;
};

struct vocabulary *vocabulary_create(void) {
    struct vocabulary *vocabulary = calloc(1, sizeof *vocabulary);
    if (vocabulary != NULL) {
        vocabulary->place_count = FIRST_PLACES;
        vocabulary->places = calloc(FIRST_PLACES, sizeof *vocabulary->places);
        if (vocabulary->places == NULL) {
            free(vocabulary);
            vocabulary = NULL;
        }
    }
    return vocabulary;
}

void vocabulary_destroy(struct vocabulary *vocabulary) {
    if (vocabulary != NULL) {
        free(vocabulary->texts);
        free(vocabulary->entries);
        free(vocabulary->places);
        free(vocabulary);
    }
}

/* FNV-1a, with its upper half folded in. */
static uint32_t hash_of(const char *word, size_t length) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (unsigned char)word[i]) * 0x100000001b3u;
    }
    return (uint32_t)(hash ^ hash >> 32);
}

/* The place of the word, or the free one where it belongs. */
static uint32_t place_of(const struct vocabulary *vocabulary, const char *word, size_t length, uint32_t hash) {
    uint32_t mask = vocabulary->place_count - 1, place = hash & mask;
    while (vocabulary->places[place] != 0) {
        const struct entry *entry = &vocabulary->entries[vocabulary->places[place] - 1];
        if (entry->hash == hash && entry->length == length &&
            memcmp(vocabulary->texts + entry->text, word, length) == 0) {
            break;
        }
        place = (place + 1) & mask;
    }
    return place;
}

/* Makes `count` places (a power of two) and puts all entries into them. */
static bool places_make(struct vocabulary *vocabulary, uint32_t count) {
    uint32_t *places = calloc(count, sizeof *places);
    if (places == NULL) {
        return false;
    }
    for (size_t i = 0; i < vocabulary->count; i++) {
        uint32_t place = vocabulary->entries[i].hash & (count - 1);
        while (places[place] != 0) {
            place = (place + 1) & (count - 1);
        }
        places[place] = (uint32_t)i + 1;
    }
    free(vocabulary->places);
    vocabulary->places = places;
    vocabulary->place_count = count;
    return true;
}

static bool entry_add(struct vocabulary *vocabulary, const char *word, size_t length, uint32_t hash) {
    if (vocabulary->count >= VOCABULARY_HIGH ||
        !room_make(&vocabulary->entries, &vocabulary->capacity, vocabulary->count + 1, sizeof *vocabulary->entries) ||
        !room_make(&vocabulary->texts, &vocabulary->text_capacity, vocabulary->text_bytes + length + 1, 1)) {
        return false;
    }
    memcpy(vocabulary->texts + vocabulary->text_bytes, word, length);
    vocabulary->texts[vocabulary->text_bytes + length] = '\0';
    vocabulary->entries[vocabulary->count++] =
        (struct entry){.text = vocabulary->text_bytes, .seen = 1, .length = (uint32_t)length, .hash = hash};
    vocabulary->text_bytes += length + 1;
    return true;
}

bool vocabulary_count(struct vocabulary *vocabulary, const char *word, size_t length) {
    assert(!vocabulary->cut && length <= UINT32_MAX);
    uint32_t hash = hash_of(word, length);
    if (2 * (vocabulary->count + 1) >= vocabulary->place_count &&
        !places_make(vocabulary, 2 * vocabulary->place_count)) {
        return false;
    }
    uint32_t place = place_of(vocabulary, word, length, hash);
    if (vocabulary->places[place] != 0) {
        vocabulary->entries[vocabulary->places[place] - 1].seen++;
        return true;
    }
    if (!entry_add(vocabulary, word, length, hash)) {
        return false;
    }
    vocabulary->places[place] = (uint32_t)vocabulary->count;
    return true;
}

/* What qsort needs to see both words. */
struct sorted {
    struct entry entry;
    const char *word;
};

static int compare(const void *left, const void *right) {
    const struct sorted *a = left, *b = right;
    if (a->entry.seen != b->entry.seen) {
        return a->entry.seen > b->entry.seen ? -1 : 1;
    }
    return strcmp(a->word, b->word);
}

bool vocabulary_cut(struct vocabulary *vocabulary, uint64_t least) {
    assert(!vocabulary->cut);
    struct sorted *sorted = malloc((vocabulary->count + 1) * sizeof *sorted);
    size_t kept = 0;
    if (sorted == NULL) {
        return false;
    }
    for (size_t i = 0; i < vocabulary->count; i++) {
        const struct entry *entry = &vocabulary->entries[i];
        if (entry->seen >= least) {
            sorted[kept++] = (struct sorted){.entry = *entry, .word = vocabulary->texts + entry->text};
        }
    }
    qsort(sorted, kept, sizeof *sorted, compare);
    vocabulary->count = kept;
    for (size_t i = 0; i < kept; i++) {
        vocabulary->entries[i] = sorted[i].entry;
        vocabulary->total += sorted[i].entry.seen;
    }
    free(sorted);
    vocabulary->cut = true;
    return places_make(vocabulary, vocabulary->place_count);
}

uint32_t vocabulary_size(const struct vocabulary *vocabulary) {
    return (uint32_t)vocabulary->count;
}

uint64_t vocabulary_total(const struct vocabulary *vocabulary) {
    return vocabulary->total;
}

uint32_t vocabulary_find(const struct vocabulary *vocabulary, const char *word, size_t length) {
    assert(vocabulary->cut);
    uint32_t place = place_of(vocabulary, word, length, hash_of(word, length));
    return vocabulary->places[place] == 0 ? VOCABULARY_NONE : vocabulary->places[place] - 1;
}

const char *vocabulary_word(const struct vocabulary *vocabulary, uint32_t index) {
    assert(index < vocabulary->count);
    return vocabulary->texts + vocabulary->entries[index].text;
}

uint64_t vocabulary_seen(const struct vocabulary *vocabulary, uint32_t index) {
    assert(index < vocabulary->count);
    return vocabulary->entries[index].seen;
}
