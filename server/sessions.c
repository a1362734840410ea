#include "server/sessions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/hash.h"
#include "common/mutant.h"

#define BUCKETS 4096u

/* A key with sessions. */
struct holder {
    uint8_t key[KEY_BYTES];
    size_t sessions, numbered;
    struct sessions_share share;
    struct holder *next; /* in its bucket */
};

struct session {
    uint8_t id[SESSION_BYTES];
    struct holder *holder; /* NULL: nobody's */
    uint32_t connections;
    bool numbered;
    uint64_t gone_at;
    struct session *next;        /* in its bucket */
    TAILQ_ENTRY(session) absent; /* in `away` when it is numbered, else in `gone`; while it has no connection */
};

TAILQ_HEAD(session_list, session);

/* Of both lists, the one that is gone for longest is first. */
struct sessions {
    struct session *buckets[BUCKETS];
    struct holder *holders[BUCKETS];
    struct session_list gone, away;
    size_t gone_count, numbered;
};

struct sessions *sessions_create(void) {
    struct sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions != NULL) {
        TAILQ_INIT(&sessions->gone);
        TAILQ_INIT(&sessions->away);
    }
    return sessions;
}

void sessions_destroy(struct sessions *sessions) {
    for (size_t i = 0; sessions != NULL && i < BUCKETS; i++) {
        while (sessions->buckets[i] != NULL) {
            struct session *session = sessions->buckets[i];
            sessions->buckets[i] = session->next;
            free(session);
        }
        while (sessions->holders[i] != NULL) {
            struct holder *holder = sessions->holders[i];
            sessions->holders[i] = holder->next;
            free(holder);
        }
    }
    free(sessions);
}

/* ---- Keys ---- */

/* Where it is linked, or would be. */
static struct holder **find_holder(struct sessions *sessions, const uint8_t key[KEY_BYTES]) {
    struct holder **at = &sessions->holders[hash_64(key, KEY_BYTES) % BUCKETS];
    while (*at != NULL && memcmp((*at)->key, key, KEY_BYTES) != 0) {
        at = &(*at)->next;
    }
    return at;
}

/* Gives a session that is nobody's to a key. False when memory cannot be had. */
static bool bind_key(struct sessions *sessions, struct session *session, const uint8_t key[KEY_BYTES]) {
    struct holder **at = find_holder(sessions, key);
    if (*at == NULL) {
        *at = calloc(1, sizeof **at);
        if (*at == NULL) {
            return false;
        }
        memcpy((*at)->key, key, KEY_BYTES);
    }
    session->holder = *at;
    session->holder->sessions++;
    session->holder->numbered += session->numbered;
    return true;
}

static void unbind_key(struct sessions *sessions, struct session *session) {
    struct holder *holder = session->holder;
    if (holder != NULL && --holder->sessions == 0) {
        *find_holder(sessions, holder->key) = holder->next;
        free(holder);
    }
}

/* ---- Who is here, and who was ---- */

/* Where the session is linked, or would be. Clients choose their ids: a hash, so that chains of chosen ones cost them
 * some work; they can only hurt those who share this server with them, and are known by their keys. */
static struct session **find(struct sessions *sessions, const uint8_t id[SESSION_BYTES]) {
    struct session **at = &sessions->buckets[hash_64(id, SESSION_BYTES) % BUCKETS];
    while (*at != NULL && memcmp((*at)->id, id, SESSION_BYTES) != 0) {
        at = &(*at)->next;
    }
    return at;
}

static struct session *add(struct session **at, const uint8_t id[SESSION_BYTES], struct error *error) {
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        (void)error_set(error, CANYON_NO_MEMORY, "no memory for another session");
        return NULL;
    }
    memcpy(session->id, id, SESSION_BYTES);
    *at = session;
    return session;
}

/* It has no connection. */
static void list(struct sessions *sessions, struct session *session) {
    if (session->numbered) {
        TAILQ_INSERT_TAIL(&sessions->away, session, absent);
    } else {
        TAILQ_INSERT_TAIL(&sessions->gone, session, absent);
        sessions->gone_count++;
    }
}

static void unlist(struct sessions *sessions, struct session *session) {
    if (session->numbered) {
        TAILQ_REMOVE(&sessions->away, session, absent);
    } else {
        TAILQ_REMOVE(&sessions->gone, session, absent);
        sessions->gone_count--;
    }
}

static void forget_oldest(struct sessions *sessions) {
    struct session *oldest = TAILQ_FIRST(&sessions->gone), **at = find(sessions, oldest->id);
    unlist(sessions, oldest);
    *at = oldest->next;
    unbind_key(sessions, oldest);
    free(oldest);
}

static void trim(struct sessions *sessions) {
    if (sessions->gone_count > SESSIONS_REMEMBERED) {
        forget_oldest(sessions);
    }
}

static bool belongs(const struct session *session, const uint8_t *key) {
    return MUTANT(another_keys_session) || session->holder == NULL ||
           (key != NULL && memcmp(session->holder->key, key, KEY_BYTES) == 0);
}

enum canyon_status sessions_come(struct sessions *sessions, const uint8_t session[SESSION_BYTES], const uint8_t *key,
                                 struct error *error) {
    struct session **at = find(sessions, session), *known = *at;
    const bool fresh = known == NULL;
    if (fresh) {
        known = add(at, session, error);
        if (known == NULL) {
            return CANYON_NO_MEMORY;
        }
    } else if (!belongs(known, key)) {
        return error_set(error, CANYON_DENIED,
                         "this session belongs to another key than this client's: a session is used with one key, the "
                         "one it began with");
    }
    if (known->holder == NULL && key != NULL && !bind_key(sessions, known, key)) {
        if (fresh) {
            *at = NULL; /* the last of its bucket */
            free(known);
        }
        return error_set(error, CANYON_NO_MEMORY, "no memory for another key's sessions");
    }
    if (!fresh && known->connections == 0) {
        unlist(sessions, known);
    }
    known->connections++;
    return CANYON_OK;
}

struct sessions_share *sessions_share(struct sessions *sessions, const uint8_t session[SESSION_BYTES]) {
    struct session *known = *find(sessions, session);
    assert(known != NULL && known->connections > 0);
    return known->holder != NULL ? &known->holder->share : NULL;
}

void sessions_go(struct sessions *sessions, const uint8_t session[SESSION_BYTES], uint64_t now) {
    struct session *known = *find(sessions, session);
    assert(known != NULL && known->connections > 0);
    if (--known->connections == 0) {
        known->gone_at = now;
        list(sessions, known);
        trim(sessions);
    }
}

/* ---- Numbers ---- */

static void set_numbered(struct sessions *sessions, struct session *session, bool numbered) {
    const bool listed = session->connections == 0;
    if (listed) {
        unlist(sessions, session);
    }
    session->numbered = numbered;
    sessions->numbered = sessions->numbered + (numbered ? 1 : 0) - (numbered ? 0 : 1);
    if (session->holder != NULL) {
        session->holder->numbered = session->holder->numbered + (numbered ? 1 : 0) - (numbered ? 0 : 1);
    }
    if (listed) {
        list(sessions, session);
        trim(sessions);
    }
}

/* Who has been gone for longest, and for long enough; of these, one of the holder's if there is one. */
static struct session *longest_away(const struct sessions *sessions, const struct holder *holder, uint64_t now) {
    struct session *session = TAILQ_FIRST(&sessions->away);
    while (session != NULL && now - session->gone_at >= SESSIONS_AWAY_NS && holder != NULL &&
           session->holder != holder) {
        session = TAILQ_NEXT(session, absent);
    }
    const bool long_gone = session != NULL && now - session->gone_at >= SESSIONS_AWAY_NS;
    return long_gone || MUTANT(evict_too_early) ? session : NULL;
}

enum canyon_status sessions_number(struct sessions *sessions, const uint8_t session[SESSION_BYTES], size_t most,
                                   uint64_t now, bool *evicts, uint8_t evicted[SESSION_BYTES], struct error *error) {
    struct session *known = *find(sessions, session);
    assert(known != NULL && known->connections > 0);
    const bool of_key = known->holder != NULL && known->holder->numbered >= most;
    *evicts = false;
    if (known->numbered) {
        return CANYON_OK;
    }
    if (of_key || sessions->numbered >= SESSIONS_NUMBERED) {
        struct session *oldest = longest_away(sessions, of_key ? known->holder : NULL, now);
        if (oldest == NULL) {
            return error_set(
                error, CANYON_BUSY,
                "this server thread keeps the numbers of %zu sessions%s, the most it may, and none of them "
                "has been gone for %llu seconds: try again later, or end sessions that are not needed",
                of_key ? known->holder->numbered : sessions->numbered, of_key ? " of this key" : "",
                SESSIONS_AWAY_NS / 1000000000ull);
        }
        *evicts = true;
        memcpy(evicted, oldest->id, SESSION_BYTES);
        set_numbered(sessions, oldest, false);
    }
    set_numbered(sessions, known, true);
    return CANYON_OK;
}

enum canyon_status sessions_restore(struct sessions *sessions, const uint8_t session[SESSION_BYTES], uint64_t now,
                                    struct error *error) {
    struct session **at = find(sessions, session), *known = *at;
    if (known == NULL) {
        known = add(at, session, error);
        if (known == NULL) {
            return CANYON_NO_MEMORY;
        }
        known->gone_at = now;
        list(sessions, known);
    }
    if (!known->numbered) {
        known->gone_at = now; /* the list of those with numbers stays in order */
        set_numbered(sessions, known, true);
    }
    return CANYON_OK;
}

void sessions_forget(struct sessions *sessions, const uint8_t session[SESSION_BYTES]) {
    struct session *known = *find(sessions, session);
    if (known != NULL && known->numbered) {
        set_numbered(sessions, known, false);
    }
}

size_t sessions_numbered(const struct sessions *sessions) {
    return sessions->numbered;
}
