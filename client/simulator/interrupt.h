/* Ctrl-C and its kin: a signal becomes a flag and a readable descriptor, so that a program ends in its own order and
 * leaves nothing behind. */
#ifndef CANYON_SIMULATOR_INTERRUPT_H
#define CANYON_SIMULATOR_INTERRUPT_H

#include <stdbool.h>

/* Once, before anything else: from now on SIGINT, SIGTERM and SIGHUP set the flag instead of ending the program, and
 * SIGPIPE is ignored. False when the system refuses. */
bool interrupt_start(void);

/* The first of the signals that came, or 0. */
int interrupt_signal(void);

/* Readable once one has come; for poll. Never read it. */
int interrupt_descriptor(void);

/* In a new child process: SIGTERM ends it again, SIGINT and SIGHUP are ignored, because a terminal sends them to all
 * processes while it is the parent that decides; and the child ends when the thread that forked it does. `parent` is
 * getpid() from before the fork. False when the parent is gone already: leave at once. */
bool interrupt_child(int parent);

/* The exit code of a program that a signal asked to end: 128 + its number, as shells have it. */
int interrupt_exit_code(void);

#endif
