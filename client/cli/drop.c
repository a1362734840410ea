/* canyon drop NAME: delete a tensor on all servers, after asking. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/describe.h"
#include "client/tools/number.h"

/* Asks on standard error, so that standard output holds the result alone. Anything but yes is no. */
static bool ask(const struct canyon_tensor_info *info) {
    char shape[256], number[NUMBER_BYTES], answer[16] = "";
    if (info->kind == CANYON_TABLE) {
        fprintf(stderr, "Drop table '%s', all rows of %" PRIu64 " with their optimizer state, on all servers? [y/N] ",
                info->name, info->dims[0]);
    } else {
        fprintf(stderr, "Drop tensor '%s', shape %s, %s parameters with their optimizer state, on all servers? [y/N] ",
                info->name, describe_shape(info, shape, sizeof shape),
                number_grouped(info->elements, number, sizeof number));
    }
    fflush(stderr);
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

struct drop {
    const char *name;
    bool yes; /* without asking */
};

static enum outcome drop_tensor(const struct cli *cli, canyon_client *client, const void *what) {
    const struct drop *drop = what;
    struct canyon_tensor_info info;
    char doing[CANYON_NAME_BYTES + 32];
    enum outcome outcome = cli_find(cli, client, drop->name, &info);
    if (outcome == OUTCOME_DONE && !drop->yes && !ask(&info)) {
        outcome = cli_fail("%s '%s' was not dropped", cli_kind(&info), drop->name);
    }
    if (outcome == OUTCOME_DONE) {
        snprintf(doing, sizeof doing, "drop '%s'", info.name);
        outcome = outcome_report("canyon", doing, canyon_tensor_drop(client, drop->name, (uint32_t)cli->timeout_ms));
    }
    if (outcome == OUTCOME_DONE && cli->json) {
        outcome = cli_print(json_pack("{s:s}", "dropped", drop->name));
    } else if (outcome == OUTCOME_DONE) {
        printf("dropped %s '%s'\n", cli_kind(&info), drop->name);
    }
    return outcome;
}

enum outcome cli_drop(struct cli *cli, int argc, char **argv) {
    struct drop drop = {.name = NULL};
    const struct argument options[] = {
        {.name = "yes", .letter = 'y', .help = "do not ask", .kind = ARGUMENT_FLAG, .target = &drop.yes},
        CLI_COMMON_OPTIONS(cli),
    };
    const struct positional positionals[] = {{"NAME", "the tensor's name", &drop.name, false}};
    const struct command_line line = {
        .program = "canyon drop",
        .summary = "Deletes a tensor or table, weights and optimizer state, on all servers. Asks first, unless --yes "
                   "is given. Also "
                   "finishes a drop that was interrupted.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .positionals = positionals,
        .positional_count = 1,
        .examples = "  canyon drop layer1/weight\n  canyon drop layer1/weight --yes",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    if (verdict == ARGUMENTS_RUN && !drop.yes && isatty(STDIN_FILENO) != 1) {
        verdict = arguments_wrong(&line, "there is no terminal to ask on; say --yes to drop without being asked");
    }
    return cli_serve(cli, verdict, CLI_NEEDS_ALL, drop_tensor, &drop);
}
