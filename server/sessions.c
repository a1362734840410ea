#include "server/sessions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/hash.h"

#define BUCKETS 4096u

struct session {
    uint8_t id[SESSION_BYTES], key[KEY_BYTES];
    uint32_t connections;
    struct session *next; /* in its bucket */
    TAILQ_ENTRY(session) gone;
};

struct sessions {
    struct session *buckets[BUCKETS];
    TAILQ_HEAD(, session) gone; /* those without a connection, the one that is gone for longest first */
    size_t gone_count;
};

struct sessions *sessions_create(void) {
    struct sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions != NULL) {
        TAILQ_INIT(&sessions->gone);
    }
    return sessions;
}

void sessions_destroy(struct sessions *sessions) {
    if (sessions == NULL) {
        return;
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        while (sessions->buckets[i] != NULL) {
            struct session *session = sessions->buckets[i];
            sessions->buckets[i] = session->next;
            free(session);
        }
    }
    free(sessions);
}

/* Where the session is linked, or would be. Clients choose their ids: a hash, so that chains of chosen ones cost them
 * some work; they can only hurt those who share this server with them, and are known by their keys. */
static struct session **find(struct sessions *sessions, const uint8_t id[SESSION_BYTES]) {
    struct session **at = &sessions->buckets[hash_64(id, SESSION_BYTES) % BUCKETS];
    while (*at != NULL && memcmp((*at)->id, id, SESSION_BYTES) != 0) {
        at = &(*at)->next;
    }
    return at;
}

static void forget_oldest(struct sessions *sessions) {
    struct session *oldest = TAILQ_FIRST(&sessions->gone), **at = find(sessions, oldest->id);
    TAILQ_REMOVE(&sessions->gone, oldest, gone);
    sessions->gone_count--;
    *at = oldest->next;
    free(oldest);
}

enum canyon_status sessions_come(struct sessions *sessions, const uint8_t session[SESSION_BYTES],
                                 const uint8_t key[KEY_BYTES], struct error *error) {
    struct session **at = find(sessions, session), *known = *at;
    if (known == NULL) {
        known = calloc(1, sizeof *known);
        if (known == NULL) {
            return error_set(error, CANYON_NO_MEMORY, "no memory for another session");
        }
        memcpy(known->id, session, SESSION_BYTES);
        memcpy(known->key, key, KEY_BYTES);
        *at = known;
    } else if (memcmp(known->key, key, KEY_BYTES) != 0) {
        return error_set(error, CANYON_DENIED,
                         "this session belongs to another key than this client's: a session is used with one key, the "
                         "one it began with");
    } else if (known->connections == 0) {
        TAILQ_REMOVE(&sessions->gone, known, gone);
        sessions->gone_count--;
    }
    known->connections++;
    return CANYON_OK;
}

void sessions_go(struct sessions *sessions, const uint8_t session[SESSION_BYTES]) {
    struct session *known = *find(sessions, session);
    assert(known != NULL && known->connections > 0);
    if (--known->connections == 0) {
        TAILQ_INSERT_TAIL(&sessions->gone, known, gone);
        sessions->gone_count++;
        if (sessions->gone_count > SESSIONS_REMEMBERED) {
            forget_oldest(sessions);
        }
    }
}
