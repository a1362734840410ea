/* What the commands of `canyon` share: the common options, a connection, and finding a tensor by its name.
 *
 * A command is one file with one function of type cli_run. It declares its command line with CLI_COMMON_OPTIONS first,
 * parses it, does its work, prints to standard output and returns its exit code; main has the table of them. */
#ifndef CANYON_CLI_CLI_H
#define CANYON_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "canyon.h"
#include "client/tools/arguments.h"
#include "client/tools/keys.h"
#include "client/tools/outcome.h"

#define CLI_DEFAULT_SERVERS "127.0.0.1:7077"

/* The common options; they may stand before the command and after it. */
struct cli {
    const char *servers;
    struct keys keys;
    uint64_t timeout_ms;
    bool json;
};

/* argv[0] is the command's name. */
typedef enum outcome cli_run(struct cli *cli, int argc, char **argv);

cli_run cli_status, cli_tensors, cli_show, cli_rows, cli_pull, cli_assign, cli_set, cli_drop, cli_optimizers,
    cli_workers, cli_consistency, cli_keygen;

/* The entries of a table of options that every command has. `cli` is a struct cli *. */
#define CLI_COMMON_OPTIONS(cli)                                                                                        \
    {.name = "servers",                                                                                                \
     .letter = 's',                                                                                                    \
     .value = "LIST",                                                                                                  \
     .help = "HOST:PORT[,HOST:PORT...] of the job's servers; one is enough (default: the environment's "               \
             "CANYON_SERVERS, else " CLI_DEFAULT_SERVERS ")",                                                          \
     .kind = ARGUMENT_TEXT,                                                                                            \
     .target = &(cli)->servers},                                                                                       \
        KEYS_ARGUMENTS(&(cli)->keys),                                                                                  \
        {.name = "timeout",                                                                                            \
         .letter = 't',                                                                                                \
         .value = "MS",                                                                                                \
         .help = "milliseconds that each call to the servers may take (default 10000)",                                \
         .kind = ARGUMENT_UNSIGNED,                                                                                    \
         .target = &(cli)->timeout_ms,                                                                                 \
         .low = 1,                                                                                                     \
         .high = 86400000},                                                                                            \
    {                                                                                                                  \
        .name = "json", .letter = 'j', .help = "print one line of JSON instead of text", .kind = ARGUMENT_FLAG,        \
        .target = &(cli)->json                                                                                         \
    }

/* The exit code of a command that does not go on after its command line was parsed. */
enum outcome cli_parsed(enum arguments_verdict verdict);

/* Who only looks can do so while some of the job's servers are down; who changes something needs all of them. */
enum cli_needs { CLI_NEEDS_SOME, CLI_NEEDS_ALL };

/* Connects with the common options. On OUTCOME_DONE *client is for the caller to close; otherwise it was said why. */
enum outcome cli_connect(const struct cli *cli, enum cli_needs needs, canyon_client **client);

/* What a command does once it is connected; `what` is its own. */
typedef enum outcome cli_work(const struct cli *cli, canyon_client *client, const void *what);

/* The rest of a command after its command line was judged: connects, works and closes, unless the verdict ends it. */
enum outcome cli_serve(const struct cli *cli, enum arguments_verdict verdict, enum cli_needs needs, cli_work *work,
                       const void *what);

/* Looks the name up among the job's tensors and tables, so that one that is not there is an error at once and not after
 * the deadline; the text names one of a similar name. */
enum outcome cli_find(const struct cli *cli, canyon_client *client, const char *name, struct canyon_tensor_info *info);

/* The same, and opens it; one that is not complete, or of the other kind, is an error. On OUTCOME_DONE the caller
 * closes *tensor, or *table. */
enum outcome cli_open(const struct cli *cli, canyon_client *client, const char *name, struct canyon_tensor_info *info,
                      canyon_tensor **tensor);
enum outcome cli_open_table(const struct cli *cli, canyon_client *client, const char *name,
                            struct canyon_tensor_info *info, canyon_table **table);

/* "table" or "tensor". */
const char *cli_kind(const struct canyon_tensor_info *info);

/* Prints "canyon: TEXT" to standard error and returns OUTCOME_FAILED. */
enum outcome cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints one line of JSON to standard output and gives up `value`. */
enum outcome cli_print(json_t *value);

/* Room for all elements of a tensor, at least one byte; NULL when there is none, and it was said. free() it. */
float *cli_weights(const struct canyon_tensor_info *info);

#endif
