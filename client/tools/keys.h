/* By what keys a program speaks to servers: what its command line says, or what it made for its own servers.
 *
 * The four options are the same in every program. Zeros mean what a newcomer has: the files of the home directory. */
#ifndef CANYON_TOOLS_KEYS_H
#define CANYON_TOOLS_KEYS_H

#include <stdbool.h>

#include "canyon.h"
#include "client/tools/arguments.h"

struct keys {
    const char *key_file, *known_servers_file; /* NULL: the library's defaults */
    bool plaintext, plaintext_anywhere;        /* no keys; the second also with servers on other machines */
};

/* Entries for a table of arguments; `keys` is a struct keys *. */
#define KEYS_ARGUMENTS(keys)                                                                                           \
    {.name = "key",                                                                                                    \
     .value = "FILE",                                                                                                  \
     .help = "this client's secret key (default: key in CANYON_HOME, else in ~/.config/canyon)",                       \
     .kind = ARGUMENT_TEXT,                                                                                            \
     .target = &(keys)->key_file},                                                                                     \
        {.name = "known-servers",                                                                                      \
         .value = "FILE",                                                                                              \
         .help = "the public keys by which servers are known (default: known_servers beside it)",                      \
         .kind = ARGUMENT_TEXT,                                                                                        \
         .target = &(keys)->known_servers_file},                                                                       \
        {.name = "insecure-plaintext",                                                                                 \
         .help = "neither keys nor encryption, with servers on this machine that were told the same",                  \
         .kind = ARGUMENT_FLAG,                                                                                        \
         .target = &(keys)->plaintext},                                                                                \
    {                                                                                                                  \
        .name = "insecure-plaintext-anywhere",                                                                         \
        .help = "the same with servers on other machines: whoever is on the way can read and change everything",       \
        .kind = ARGUMENT_FLAG, .target = &(keys)->plaintext_anywhere                                                   \
    }

/* Finds contradictions, which it prints. */
enum arguments_verdict keys_check(const struct command_line *line, const struct keys *keys);

/* Sets the options of a connection. The texts must outlive canyon_connect. */
void keys_apply(const struct keys *keys, struct canyon_options *options);

#endif
