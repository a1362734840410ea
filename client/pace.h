/* A pace is this client's clock as the servers' threads are told it: entering, going on, signs of life, leaving.
 *
 * The clock goes to every thread without waiting for an answer; a thread of its own repeats it every third of a lease,
 * so that a worker that computes for long is not taken for dead. What the servers say back may move the clock on: a
 * worker that was gone, or too slow, goes on where the others are. Thread-safe. */
#ifndef CANYON_CLIENT_PACE_H
#define CANYON_CLIENT_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/status.h"

struct canyon_client;
struct pace;

/* NULL when memory cannot be had. `client` is borrowed for its life. destroy is safe on NULL. */
struct pace *pace_create(struct canyon_client *client);
void pace_destroy(struct pace *pace);

/* The clock; 0 before the client counts any. What pulls and pushes carry. */
uint64_t pace_clock(const struct pace *pace);

/* A server says that this clock, or a later one, is the one to go on at. */
void pace_catch_up(struct pace *pace, uint64_t clock);

/* This client joined with that rank, which it would like as a member too. */
void pace_want_rank(struct pace *pace, uint32_t rank);

/* The client is being closed, and its calls still work: says good-bye, and waits for the answers until the deadline. */
void pace_close(struct pace *pace, uint64_t deadline);

#endif
