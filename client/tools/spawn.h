/* One child process that serves a socket it inherits and ends with its parent. */
#ifndef CANYON_TOOLS_SPAWN_H
#define CANYON_TOOLS_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SPAWN_LISTENING 3 /* the number under which the child finds the listening socket */

/* Runs argv[0] (a path) with `listening` as descriptor SPAWN_LISTENING, standard output and error going to `log`,
 * standard input empty, default signal handling, a process group of its own, and SIGTERM when the calling thread ends.
 * Both descriptors stay the caller's. False with `text` when there is no process or the program cannot be run. */
bool spawn_server(char *const *argv, int listening, int log, pid_t *process, char *text, size_t bytes);

/* A listening TCP socket on 127.0.0.1 with a port that the system chose, closed on exec; -1 with errno on failure. */
int spawn_listen(unsigned *port);

/* Finds `name` beside the running program, else on PATH. False when it is in neither. */
bool spawn_find(const char *name, char *path, size_t bytes);

#endif
