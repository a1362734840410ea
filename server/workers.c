#include "server/workers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct worker {
    uint8_t session[SESSION_BYTES];
    uint32_t presences; /* 0: this rank is free */
};

struct arrival {
    uint8_t session[SESSION_BYTES];
    void *token;
};

struct barrier {
    struct barrier *next;
    char name[LIMIT_NAME_BYTES];
    uint32_t count; /* as asked; 0: as many as there are workers */
    bool open;      /* on its way out: only its tokens are wanted still */
    struct arrival *arrivals;
    size_t arrived, room, passed;
};

struct workers {
    struct worker *ranks;
    size_t rank_room;
    uint32_t present;
    struct barrier *barriers;
    size_t barrier_count;
};

struct workers *workers_create(void) {
    return calloc(1, sizeof(struct workers));
}

static void barrier_destroy(struct barrier *barrier) {
    free(barrier->arrivals);
    free(barrier);
}

void workers_destroy(struct workers *workers) {
    if (workers != NULL) {
        while (workers->barriers != NULL) {
            struct barrier *next = workers->barriers->next;
            barrier_destroy(workers->barriers);
            workers->barriers = next;
        }
        free(workers->ranks);
        free(workers);
    }
}

/* ---- Ranks ---- */

static struct worker *find_worker(const struct workers *workers, const uint8_t *session) {
    for (size_t i = 0; i < workers->rank_room; i++) {
        struct worker *worker = &workers->ranks[i];
        if (worker->presences > 0 && memcmp(worker->session, session, SESSION_BYTES) == 0) {
            return worker;
        }
    }
    return NULL;
}

/* The lowest free rank, making room when there is none. NULL without memory. */
static struct worker *free_rank(struct workers *workers) {
    size_t rank = 0, room = workers->rank_room;
    while (rank < room && workers->ranks[rank].presences > 0) {
        rank++;
    }
    if (rank == room) {
        size_t larger = room == 0 ? 16 : room * 2;
        struct worker *ranks = realloc(workers->ranks, larger * sizeof *ranks);
        if (ranks == NULL) {
            return NULL;
        }
        memset(ranks + room, 0, (larger - room) * sizeof *ranks);
        workers->ranks = ranks;
        workers->rank_room = larger;
    }
    return &workers->ranks[rank];
}

enum canyon_status workers_join(struct workers *workers, const uint8_t session[SESSION_BYTES], uint32_t *rank,
                                struct error *error) {
    struct worker *worker = find_worker(workers, session);
    if (worker == NULL) {
        worker = free_rank(workers);
        if (worker == NULL) {
            return error_set(error, CANYON_NO_MEMORY, "no memory for worker %u", workers->present);
        }
        memcpy(worker->session, session, SESSION_BYTES);
        workers->present++;
    }
    worker->presences++;
    *rank = (uint32_t)(worker - workers->ranks);
    return CANYON_OK;
}

bool workers_rank(const struct workers *workers, const uint8_t session[SESSION_BYTES], uint32_t *rank) {
    const struct worker *worker = find_worker(workers, session);
    if (worker != NULL) {
        *rank = (uint32_t)(worker - workers->ranks);
    }
    return worker != NULL;
}

uint32_t workers_count(const struct workers *workers) {
    return workers->present;
}

/* ---- Barriers ---- */

static struct barrier *find_barrier(const struct workers *workers, const char *name) {
    struct barrier *barrier = workers->barriers;
    while (barrier != NULL && (barrier->open || strcmp(barrier->name, name) != 0)) {
        barrier = barrier->next;
    }
    return barrier;
}

static uint32_t wanted_by(const struct workers *workers, const struct barrier *barrier) {
    return barrier->count > 0 ? barrier->count : workers->present;
}

static void open_if_full(const struct workers *workers, struct barrier *barrier) {
    if (barrier->arrived > 0 && barrier->arrived >= wanted_by(workers, barrier)) {
        barrier->open = true;
    }
}

void workers_leave(struct workers *workers, const uint8_t session[SESSION_BYTES]) {
    struct worker *worker = find_worker(workers, session);
    assert(worker != NULL);
    worker->presences--;
    if (worker->presences == 0) {
        workers->present--;
        for (struct barrier *barrier = workers->barriers; barrier != NULL; barrier = barrier->next) {
            open_if_full(workers, barrier);
        }
    }
}

static void unlink_barrier(struct workers *workers, struct barrier *barrier) {
    struct barrier **at = &workers->barriers;
    while (*at != barrier) {
        at = &(*at)->next;
    }
    *at = barrier->next;
    workers->barrier_count--;
    barrier_destroy(barrier);
}

/* Makes the barrier, empty, at the end of the list. NULL without memory. */
static struct barrier *add_barrier(struct workers *workers, const char *name, uint32_t count) {
    struct barrier *barrier = calloc(1, sizeof *barrier);
    if (barrier != NULL) {
        struct barrier **at = &workers->barriers;
        while (*at != NULL) {
            at = &(*at)->next;
        }
        *at = barrier;
        workers->barrier_count++;
        memcpy(barrier->name, name, strlen(name));
        barrier->count = count;
    }
    return barrier;
}

static bool grow_arrivals(struct barrier *barrier) {
    if (barrier->arrived == barrier->room) {
        size_t room = barrier->room == 0 ? 4 : barrier->room * 2;
        struct arrival *arrivals = realloc(barrier->arrivals, room * sizeof *arrivals);
        if (arrivals == NULL) {
            return false;
        }
        barrier->arrivals = arrivals;
        barrier->room = room;
    }
    return true;
}

static enum canyon_status check_arrival(const struct workers *workers, const struct barrier *barrier, const char *name,
                                        const uint8_t *session, uint32_t count, struct error *error) {
    if (count == 0 && find_worker(workers, session) == NULL) {
        return error_set(
            error, CANYON_INVALID_ARGUMENT,
            "barrier '%s' of all workers (count 0) is for those who have joined: join first, or give a count", name);
    }
    if (barrier == NULL && workers->barrier_count >= WORKERS_BARRIERS) {
        return error_set(error, CANYON_BUSY, "workers wait at %zu other barriers, the most there may be (%d)",
                         workers->barrier_count, WORKERS_BARRIERS);
    }
    if (barrier != NULL && barrier->count != count) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "others wait at barrier '%s' with count %u, asked: %u", name,
                         barrier->count, count);
    }
    for (size_t i = 0; barrier != NULL && i < barrier->arrived; i++) {
        if (memcmp(barrier->arrivals[i].session, session, SESSION_BYTES) == 0) {
            return error_set(error, CANYON_CONFLICT, "this worker is waiting at barrier '%s' already", name);
        }
    }
    return CANYON_OK;
}

enum canyon_status workers_arrive(struct workers *workers, const char *name, const uint8_t session[SESSION_BYTES],
                                  uint32_t count, void *token, struct error *error) {
    struct barrier *barrier = find_barrier(workers, name);
    enum canyon_status status = check_arrival(workers, barrier, name, session, count, error);
    if (status != CANYON_OK) {
        return status;
    }
    if (barrier == NULL) {
        barrier = add_barrier(workers, name, count);
    }
    if (barrier == NULL || !grow_arrivals(barrier)) {
        if (barrier != NULL && barrier->arrived == 0) {
            unlink_barrier(workers, barrier);
        }
        return error_set(error, CANYON_NO_MEMORY, "no memory for barrier '%s'", name);
    }
    struct arrival *arrival = &barrier->arrivals[barrier->arrived++];
    memcpy(arrival->session, session, SESSION_BYTES);
    arrival->token = token;
    open_if_full(workers, barrier);
    return CANYON_OK;
}

void workers_withdraw(struct workers *workers, const char *name, const void *token) {
    struct barrier *barrier = find_barrier(workers, name);
    assert(barrier != NULL);
    size_t at = 0;
    while (at < barrier->arrived && barrier->arrivals[at].token != token) {
        at++;
    }
    assert(at < barrier->arrived);
    barrier->arrived--;
    memmove(barrier->arrivals + at, barrier->arrivals + at + 1, (barrier->arrived - at) * sizeof *barrier->arrivals);
    if (barrier->arrived == 0) {
        unlink_barrier(workers, barrier);
    }
}

void workers_barrier(const struct workers *workers, const char *name, uint32_t *arrived, uint32_t *wanted) {
    const struct barrier *barrier = find_barrier(workers, name);
    *arrived = barrier == NULL ? 0 : (uint32_t)barrier->arrived;
    *wanted = barrier == NULL ? 0 : wanted_by(workers, barrier);
}

void *workers_next_passed(struct workers *workers) {
    struct barrier *barrier = workers->barriers;
    void *token = NULL;
    while (barrier != NULL && !barrier->open) {
        barrier = barrier->next;
    }
    if (barrier != NULL) {
        token = barrier->arrivals[barrier->passed++].token;
        if (barrier->passed == barrier->arrived) {
            unlink_barrier(workers, barrier);
        }
    }
    return token;
}
