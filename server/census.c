#include "server/census.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024u

/* A key with connections. Keys come from the allow-list, and nobody can choose where a public key falls without being
 * in it: no chain grows long. */
struct member {
    struct member *next;
    uint8_t key[KEY_BYTES];
    uint32_t count;
};

struct census {
    uint32_t most, per_key;
    pthread_mutex_t lock; /* guards the following */
    uint32_t count;
    struct member *buckets[BUCKETS];
};

struct census *census_create(uint32_t most, uint32_t per_key) {
    struct census *census = calloc(1, sizeof *census);
    if (census != NULL) {
        census->most = most;
        census->per_key = per_key;
        pthread_mutex_init(&census->lock, NULL);
    }
    return census;
}

void census_destroy(struct census *census) {
    if (census != NULL) {
        assert(census->count == 0);
        pthread_mutex_destroy(&census->lock);
        free(census);
    }
}

/* Where the key's member is linked, or would be. */
static struct member **find(struct census *census, const uint8_t key[KEY_BYTES]) {
    struct member **at = &census->buckets[(key[0] | (unsigned)key[1] << 8) % BUCKETS];
    while (*at != NULL && memcmp((*at)->key, key, KEY_BYTES) != 0) {
        at = &(*at)->next;
    }
    return at;
}

/* Under the lock, as the next. */
static enum canyon_status enter_key(struct census *census, const struct allow_entry *entry, struct error *error) {
    struct member **at = find(census, entry->key), *member = *at;
    uint32_t count = member != NULL ? member->count : 0;
    if (entry->connections > 0 && count >= entry->connections) {
        return error_set(error, CANYON_BUSY,
                         "the key %.60s has %u connections to this server, the most that its line in the allow-list "
                         "permits (conns=%u): close some, or raise conns=",
                         entry->name, count, entry->connections);
    }
    if (count >= census->per_key) {
        return error_set(error, CANYON_BUSY,
                         "the key %.60s has %u connections to this server, the most that one key may have "
                         "(connections-per-key = %u): close some, use another key, or raise that setting",
                         entry->name, count, census->per_key);
    }
    if (member == NULL) {
        member = calloc(1, sizeof *member);
        if (member == NULL) {
            return error_set(error, CANYON_NO_MEMORY, "no memory for another connection");
        }
        memcpy(member->key, entry->key, KEY_BYTES);
        *at = member;
    }
    ++member->count;
    return CANYON_OK;
}

enum canyon_status census_enter(struct census *census, const struct allow_entry *entry, struct error *error) {
    enum canyon_status status = CANYON_OK;
    pthread_mutex_lock(&census->lock);
    if (census->count >= census->most) {
        status = error_set(error, CANYON_BUSY,
                           "this server has %u connections, the most it takes (connections = %u): close some, or raise "
                           "that setting",
                           census->count, census->most);
    } else if (entry != NULL) {
        status = enter_key(census, entry, error);
    }
    census->count += status == CANYON_OK;
    pthread_mutex_unlock(&census->lock);
    return status;
}

void census_leave(struct census *census, const uint8_t key[KEY_BYTES]) {
    pthread_mutex_lock(&census->lock);
    assert(census->count > 0);
    --census->count;
    if (key != NULL) {
        struct member **at = find(census, key), *member = *at;
        assert(member != NULL && member->count > 0);
        if (--member->count == 0) {
            *at = member->next;
            free(member);
        }
    }
    pthread_mutex_unlock(&census->lock);
}

size_t census_count(struct census *census) {
    pthread_mutex_lock(&census->lock);
    size_t count = census->count;
    pthread_mutex_unlock(&census->lock);
    return count;
}
