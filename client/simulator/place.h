/* Where a command's servers are: the ones it was given, or its own on this machine. */
#ifndef CANYON_SIMULATOR_PLACE_H
#define CANYON_SIMULATOR_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/simulator/plan.h"
#include "client/tools/arguments.h"
#include "client/tools/keys.h"
#include "client/tools/local.h"
#include "client/tools/outcome.h"

#define PLACE_BLOCK 1024 /* of local servers: small, so that the digits' models lie on several shards */

/* What the command line says; begin with zeros. 0 and NULL: not given. */
struct place_options {
    const char *servers;
    struct keys keys; /* plaintext is for local servers too, the files are not */
    uint64_t local, threads, shards, block, timeout_ms;
    bool quiet; /* do not say that connections are encrypted: it was said before */
};

/* Its options, for a table of arguments; `o` is a struct place_options, `block_default` what help says of --block. */
#define PLACE_ARGUMENTS(o) PLACE_ARGUMENTS_OF(o, "1024")
#define PLACE_ARGUMENTS_OF(o, block_default)                                                                           \
    {.name = "servers",                                                                                                \
     .letter = 's',                                                                                                    \
     .value = "LIST",                                                                                                  \
     .help = "use these servers: HOST:PORT[,HOST:PORT...]; one of a job is enough",                                    \
     .kind = ARGUMENT_TEXT,                                                                                            \
     .target = &(o).servers},                                                                                          \
        KEYS_ARGUMENTS(&(o).keys),                                                                                     \
        {.name = "local",                                                                                              \
         .letter = 'l',                                                                                                \
         .value = "N",                                                                                                 \
         .help = "start N servers on this machine and stop them afterwards",                                           \
         .kind = ARGUMENT_UNSIGNED,                                                                                    \
         .target = &(o).local,                                                                                         \
         .low = 1,                                                                                                     \
         .high = LOCAL_SERVERS_HIGH},                                                                                  \
        {.name = "threads",                                                                                            \
         .value = "N",                                                                                                 \
         .help = "threads of each local server (default 1)",                                                           \
         .kind = ARGUMENT_UNSIGNED,                                                                                    \
         .target = &(o).threads,                                                                                       \
         .low = 1,                                                                                                     \
         .high = 256},                                                                                                 \
        {.name = "shards",                                                                                             \
         .value = "N",                                                                                                 \
         .help = "shards of the local servers' job, a power of two (default: the server's)",                           \
         .kind = ARGUMENT_UNSIGNED,                                                                                    \
         .target = &(o).shards,                                                                                        \
         .low = 1,                                                                                                     \
         .high = 65536},                                                                                               \
        {.name = "block",                                                                                              \
         .value = "N",                                                                                                 \
         .help = "elements of a block of the local servers' job (default " block_default ")",                          \
         .kind = ARGUMENT_UNSIGNED,                                                                                    \
         .target = &(o).block,                                                                                         \
         .low = 1024,                                                                                                  \
         .high = 1u << 22},                                                                                            \
    {                                                                                                                  \
        .name = "timeout", .value = "MS",                                                                              \
        .help = "deadline of every call to a server, in milliseconds (default 10000)", .kind = ARGUMENT_UNSIGNED,      \
        .target = &(o).timeout_ms, .low = 1, .high = 3600000                                                           \
    }

struct place {
    struct local *local; /* NULL when the servers were given */
    const char *servers; /* as canyon_options.servers; belongs to the place */
    struct keys keys;    /* by which they are spoken to; belongs to the place */
    /* Goes before the names of tensors and barriers: nothing on local servers, which nobody else uses; otherwise
     * something no other run has, "sim/4711-18c5d0a2f3b1/". */
    char prefix[PLAN_PREFIX_BYTES];
    uint32_t timeout_ms;
};

/* Finds contradictions (local options beside --servers, files of keys without it), which it prints. */
enum arguments_verdict place_check(const struct command_line *line, const struct place_options *options);

/* Starts local servers (`local_default` of them when the options name none and no --servers) unless there are given
 * ones; does not connect. Prints what went wrong as "PROGRAM: ...". place_close after OUTCOME_DONE. */
enum outcome place_open(struct place *place, const struct place_options *options, uint32_t local_default,
                        const char *program);

/* The prefix of one run of several, "sim/4711-18c5d0a2f3b1/2/" for run 2: what an earlier one had to leave behind is
 * not in the way. Nothing on local servers. Returns `text`. */
const char *place_prefix(const struct place *place, size_t run, char text[PLAN_PREFIX_BYTES]);

/* What a tensor's drop answered, with DENIED turned into OK: a key that may train but not drop is no failure, and what
 * stays (`name`) is said in a line on standard error. */
enum canyon_status place_leave(const char *program, const char *name, enum canyon_status status);

/* Stops what was started. False, after a line on standard error, when a server did not end well. */
bool place_close(struct place *place, const char *program);

#endif
