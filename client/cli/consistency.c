/* canyon consistency [MODE]: how the job's workers keep together, shown and set. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/cli.h"
#include "client/tools/number.h"

static void print_workers(const struct canyon_consistency *is) {
    char lease[NUMBER_BYTES];
    number_duration((double)is->lease_ms / 1000.0, lease, sizeof lease);
    if (is->workers == 0 && is->highest == 0) {
        printf("no worker counts clocks; a lease is %s\n", lease);
    } else if (is->workers == 0) {
        printf("no worker counts clocks now, the furthest came to clock %" PRIu64 "; a lease is %s\n", is->highest,
               lease);
    } else {
        printf("%" PRIu32 " worker%s count%s clocks, the furthest is at clock %" PRIu64 "; a lease is %s\n",
               is->workers, is->workers == 1 ? "" : "s", is->workers == 1 ? "s" : "", is->highest, lease);
    }
}

static enum outcome show(const struct cli *cli, canyon_client *client) {
    struct canyon_consistency is;
    enum outcome outcome = outcome_report("canyon", "ask for the consistency mode",
                                          canyon_consistency_get(client, (uint32_t)cli->timeout_ms, &is));
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    if (cli->json) {
        return cli_print(json_pack("{s:b, s:s, s:s?, s:I, s:I, s:I, s:I, s:I}", "set", is.set, "mode", is.mode, "next",
                                   is.next[0] != '\0' ? is.next : NULL, "from", (json_int_t)is.from, "highest",
                                   (json_int_t)is.highest, "open", (json_int_t)is.open, "workers",
                                   (json_int_t)is.workers, "lease_ms", (json_int_t)is.lease_ms));
    }
    printf("%s%s", is.mode, is.set ? "" : " (nobody set a mode)");
    if (is.next[0] != '\0') {
        printf(", from clock %" PRIu64 " on %s", is.from, is.next);
    }
    putchar('\n');
    print_workers(&is);
    if (is.open > 0 && is.open <= is.highest) {
        printf("clock %" PRIu64 " is open: its gradients are kept until all have passed it\n", is.open);
    }
    return OUTCOME_DONE;
}

struct choice {
    const char *mode; /* NULL: it is only shown */
    uint64_t from;
};

static enum outcome set_and_show(const struct cli *cli, canyon_client *client, const void *what) {
    const struct choice *choice = what;
    enum outcome outcome = OUTCOME_DONE;
    if (choice->mode != NULL) {
        outcome = outcome_report("canyon", "set the consistency mode",
                                 canyon_consistency_set(client, choice->mode, choice->from, (uint32_t)cli->timeout_ms));
    }
    return outcome == OUTCOME_DONE ? show(cli, client) : outcome;
}

static const char details[] = "A worker counts its steps as clocks (canyon_clock). The modes:\n"
                              "  async   nobody waits\n"
                              "  ssp:S   a pull waits until every live worker is S clocks behind at most\n"
                              "  sync    the gradients of a clock are kept until all live workers have passed\n"
                              "          it, and applied once; a pull waits until the clock before was applied.\n"
                              "          Words after a colon: mean of them (the default) or sum; added up in\n"
                              "          the order of arrival (the default) or of rank, which repeats itself to\n"
                              "          the bit; minimum=N: without waiting for more than N workers\n"
                              "A worker that dies is waited for until its lease ends. To set a mode takes the\n"
                              "role admin; how far each worker is, canyon workers shows.\n"
                              "\n"
                              "--json has set (somebody set a mode), mode, next (or null) and the clock it\n"
                              "begins from, the highest clock reached, the synchronous clock that is open (0:\n"
                              "none), the number of workers, and lease_ms.";

enum outcome cli_consistency(struct cli *cli, int argc, char **argv) {
    struct choice choice = {.mode = NULL};
    const struct argument options[] = {
        CLI_COMMON_OPTIONS(cli),
        {.name = "from",
         .value = "CLOCK",
         .help = "the first clock of the new mode, which no worker may have reached (default: the next such)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &choice.from,
         .low = 1,
         .high = 1000000000000000},
    };
    const struct positional positionals[] = {
        {"MODE", "async, ssp:CLOCKS, or sync[:mean|sum][,arrival|rank][,minimum=WORKERS]", &choice.mode, true}};
    const struct command_line line = {
        .program = "canyon consistency",
        .summary = "Shows how the job's workers keep together, or sets it from a clock on: not at all (async), a pull "
                   "waiting for workers that are more than so many clocks behind (ssp:3), or step by step (sync).",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .positionals = positionals,
        .positional_count = 1,
        .details = details,
        .examples = "  canyon consistency\n  canyon consistency ssp:3\n  canyon consistency sync:rank --from 1000",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    if (verdict == ARGUMENTS_RUN && choice.mode == NULL && choice.from > 0) {
        verdict = arguments_wrong(&line, "--from goes with a MODE");
    }
    return cli_serve(cli, verdict, choice.mode != NULL ? CLI_NEEDS_ALL : CLI_NEEDS_SOME, set_and_show, &choice);
}
