/* A tensor's optimizer state on the command line: arrays in files, numbers of blocks printed, set and in files. */
#ifndef CANYON_CLI_SLOT_H
#define CANYON_CLI_SLOT_H

#include "client/cli/cli.h"

/* The option --slot of a command. */
#define SLOT_OPTION(pointer)                                                                                           \
    {                                                                                                                  \
        .name = "slot", .value = "SLOT",                                                                               \
        .help = "not the weights but this part of the optimizer's state: exp_avg, step, ...; `canyon show` lists "     \
                "them",                                                                                                \
        .kind = ARGUMENT_TEXT, .target = (pointer)                                                                     \
    }

/* Finds out whether a slot is a number for each block; one that is not there is an error that lists those there are. */
enum outcome slot_find(const struct cli *cli, canyon_tensor *tensor, const char *slot, bool *per_block);

/* Numbers of a tensor's blocks: pulled and printed or, unless `output` is NULL, written to a NumPy file. */
enum outcome slot_pull_numbers(const struct cli *cli, canyon_tensor *tensor, const struct canyon_tensor_info *info,
                               const char *slot, const char *output);

/* Assigned: from a NumPy file or, when `input` is NULL, all `value`. */
enum outcome slot_assign_numbers(const struct cli *cli, canyon_tensor *tensor, const struct canyon_tensor_info *info,
                                 const char *slot, const char *input, double value);

/* The part of `canyon show` about optimizer state: lines printed or, unless `object` is NULL, members added to it. */
enum outcome slot_show(const struct cli *cli, canyon_tensor *tensor, const struct canyon_tensor_info *info,
                       json_t *object);

#endif
