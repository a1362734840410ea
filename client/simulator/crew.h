/* The processes of a run: started, listened to, given orders, ended and reaped. None outlives its crew. */
#ifndef CANYON_SIMULATOR_CREW_H
#define CANYON_SIMULATOR_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/simulator/news.h"

#define CREW_HIGH       258 /* most members */
#define CREW_TEXT_BYTES 256 /* room enough for every text */

struct crew_member {
    pid_t process; /* 0 once it is reaped */
    int status;    /* waitpid's, then */
    int news;      /* read end, does not block; -1 once closed */
    int orders;    /* write end; -1 once closed */
    struct news_reader reader;
};

struct crew {
    size_t count;
    struct crew_member members[CREW_HIGH];
};

/* What a member does. Its return value is its exit code. `news` is where its records go; `orders` gives what
 * crew_order sends, and end of file when the crew has no more to say. */
typedef int (*crew_task)(void *context, uint32_t index, int news, int orders);

void crew_init(struct crew *crew);

/* Forks; the child runs task(context, index, ...) with interrupt_child's rules and leaves with _exit. False, with
 * `text`, when the system refuses or the crew is full. The caller must be single-threaded and have no client open. */
bool crew_add(struct crew *crew, crew_task task, void *context, uint32_t index, char *text, size_t bytes);

/* Sends one byte to a member and closes its orders. */
void crew_order(struct crew *crew, size_t member, char order);

/* Waits up to grace_ms for a member to end by itself, then kills it; reaps it either way. Safe to repeat. */
void crew_end(struct crew *crew, size_t member, unsigned grace_ms);

/* "exit code 1", "signal 9 (Killed)": how a reaped member ended; returns `text`. */
char *crew_ending(const struct crew *crew, size_t member, char *text, size_t bytes);

/* Kills and reaps all that are left and closes everything. */
void crew_finish(struct crew *crew);

#endif
