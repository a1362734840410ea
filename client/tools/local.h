/* Servers on this machine for as long as a program needs them: N canyon-server processes on loopback.
 *
 *     struct local_options options;
 *     local_options_init(&options);
 *     options.servers = 2;
 *     struct local *local = NULL;
 *     char text[LOCAL_TEXT_BYTES];
 *     if (local_start(&options, &local, text, sizeof text) != CANYON_OK) { fprintf(stderr, "%s\n", text); return 1; }
 *     ... canyon_connect to local_servers(local), with keys_apply(local_keys(local), ...) ...
 *     local_stop(local);
 *
 * The listening sockets are bound here (port 0, so nothing collides) and inherited by the servers. Each server is told
 * to end when the thread that started it does, however that ends: call local_start from a thread that lives as long as
 * the servers shall, usually main. Servers are in process groups of their own: Ctrl-C reaches this program alone, which
 * then stops them. Connections to them are encrypted with keys made for them alone. Keys and logs are files in a
 * private temporary directory that local_stop removes. Not thread-safe. */
#ifndef CANYON_TOOLS_LOCAL_H
#define CANYON_TOOLS_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "canyon.h"
#include "client/tools/keys.h"

#define LOCAL_SERVERS_HIGH 64
#define LOCAL_TEXT_BYTES   4096

struct local_options {
    uint32_t servers;        /* 1 to LOCAL_SERVERS_HIGH: 1 */
    uint32_t threads;        /* of each server: 1 */
    uint32_t shards;         /* of the job, a power of two; 0 for the server's default: 0 */
    uint32_t block_elements; /* of the job; 0 for the server's default: 0 */
    const char *job;         /* NULL for the server's default: "local" */
    bool plaintext;          /* neither keys nor encryption: false */
    const char *program;     /* path of canyon-server; NULL: beside the running program, else on PATH: NULL */
    uint32_t timeout_ms;     /* until all of them answer: 20,000 */
};

struct local;

void local_options_init(struct local_options *options);

/* Starts the servers and returns once all of them answer. On success *local is owned: local_stop it, in the same
 * process. Otherwise nothing is left running, *local is NULL and `text` says what failed, with the end of the log of
 * the server that ended. INVALID_ARGUMENT, NOT_FOUND (no canyon-server), UNAVAILABLE, NO_MEMORY, INTERNAL. No client of
 * the library is left open, so fork() afterwards is fine. */
enum canyon_status local_start(const struct local_options *options, struct local **local, char *text, size_t bytes);

/* "127.0.0.1:40001,127.0.0.1:40002", for canyon_options.servers; belongs to `local`. */
const char *local_servers(const struct local *local);

/* By what keys they are spoken to, and the directory with these keys for the CANYON_HOME of other programs (NULL in
 * plaintext); belongs to `local`. */
const struct keys *local_keys(const struct local *local);
const char *local_home(const struct local *local);

/* How many, and the process of one of them (-1 once it was seen to have ended). */
uint32_t local_count(const struct local *local);
pid_t local_process(const struct local *local, uint32_t index);

/* The log file of one of them; belongs to `local`. */
const char *local_log(const struct local *local, uint32_t index);

/* True while all of them run. Otherwise `text` names the one that ended, how, and the end of its log. Never blocks. */
bool local_check(struct local *local, char *text, size_t bytes);

/* Ends one with a signal (SIGKILL, say) and waits until it is gone; for tests of what happens then. */
void local_kill(struct local *local, uint32_t index, int signal_number);

/* SIGTERM to all, up to ten seconds for them to go, SIGKILL to the rest; removes their directory and frees `local`.
 * False when one had to be killed or did not exit with 0 (one that local_kill ended does not count). True on NULL. */
bool local_stop(struct local *local);

#endif
