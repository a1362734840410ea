/* Workers are the sessions that asked for a rank; barriers are where they wait for each other.
 *
 * A data structure without clock or peers: who waits is an opaque token, which comes back when its barrier opens. Not
 * thread-safe. */
#ifndef CANYON_SERVER_WORKERS_H
#define CANYON_SERVER_WORKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/message.h"
#include "common/status.h"

/* Barriers that may wait at a time: they are searched by name, one after another. Beyond: BUSY. */
#define WORKERS_BARRIERS 1024

struct workers;

/* NULL when memory cannot be had. destroy is safe on NULL. */
struct workers *workers_create(void);
void workers_destroy(struct workers *workers);

/* One more presence of a session: its first gives it the lowest rank no present worker has, later ones the same rank.
 * NO_MEMORY. */
enum canyon_status workers_join(struct workers *workers, const uint8_t session[SESSION_BYTES], uint32_t *rank,
                                struct error *error);

/* One presence less; with the last the rank is free. The session has joined. May let barriers of all workers open. */
void workers_leave(struct workers *workers, const uint8_t session[SESSION_BYTES]);

/* False when it has not joined. */
bool workers_rank(const struct workers *workers, const uint8_t session[SESSION_BYTES], uint32_t *rank);

/* Sessions present. */
uint32_t workers_count(const struct workers *workers);

/* A session arrives at the barrier of that name, which comes to be with its first arrival. `count` arrivals open it; 0
 * means as many as there are workers, however many that is from moment to moment, and is for those who have joined.
 *   INVALID_ARGUMENT  others wait there with another count (the text names both); count 0 without having joined
 *   CONFLICT          the session is waiting there already
 *   BUSY              WORKERS_BARRIERS others are waited at
 *   NO_MEMORY
 * After it, workers_next_passed says who may go on. */
enum canyon_status workers_arrive(struct workers *workers, const char *name, const uint8_t session[SESSION_BYTES],
                                  uint32_t count, void *token, struct error *error);

/* Takes an arrival back. It is there. */
void workers_withdraw(struct workers *workers, const char *name, const void *token);

/* How many wait at a barrier and how many open it; 0 of 0 when there is none of that name. */
void workers_barrier(const struct workers *workers, const char *name, uint32_t *arrived, uint32_t *wanted);

/* The next token whose barrier has opened, in order of arrival; NULL when there is none left. An opened barrier's name
 * is free at once. Call until NULL after workers_arrive and workers_leave. */
void *workers_next_passed(struct workers *workers);

#endif
