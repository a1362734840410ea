/* canyon set NAME SETTING...: other settings for a tensor's optimizer, while training runs. */
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/describe.h"
#include "client/tools/number.h"

static enum outcome report(const struct cli *cli, const struct canyon_tensor_info *info) {
    char number[NUMBER_BYTES];
    if (cli->json) {
        return cli_print(describe_json(info));
    }
    printf("tensor '%s' has settings of epoch %s now: %s(", info->name,
           number_grouped(info->epoch, number, sizeof number), info->optimizer);
    for (uint32_t i = 0; i < info->setting_count; i++) {
        printf("%s%s=%s", i == 0 ? "" : ", ", info->settings[i].name,
               canyon_setting_text(&info->settings[i], number, sizeof number));
    }
    puts(")");
    return OUTCOME_DONE;
}

struct change {
    const char *name, *settings;
};

static enum outcome set_tensor(const struct cli *cli, canyon_client *client, const void *what) {
    const struct change *change = what;
    struct canyon_tensor_info info;
    char doing[CANYON_NAME_BYTES + 32];
    /* Looked up first: one that is not there is an error that names a similar one. */
    enum outcome outcome = cli_find(cli, client, change->name, &info);
    if (outcome == OUTCOME_DONE) {
        snprintf(doing, sizeof doing, "set '%s'", info.name);
        outcome =
            outcome_report("canyon", doing,
                           canyon_tensor_set(client, change->name, change->settings, (uint32_t)cli->timeout_ms, &info));
    }
    return outcome == OUTCOME_DONE ? report(cli, &info) : outcome;
}

enum outcome cli_set(struct cli *cli, int argc, char **argv) {
    const char *name = NULL;
    struct argument_texts settings = {.count = 0};
    char text[4096];
    size_t length = 0;
    const struct argument options[] = {CLI_COMMON_OPTIONS(cli)};
    const struct positional positionals[] = {{"NAME", "the tensor's name", &name, false}};
    const struct command_line line = {
        .program = "canyon set",
        .summary = "Changes settings of a tensor's optimizer while training runs; those not named stay as they are. "
                   "Repeated, it changes nothing, and finishes what an interrupted one began.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .positionals = positionals,
        .positional_count = 1,
        .rest = &settings,
        .rest_name = "SETTING",
        .rest_help = "a setting and its new value, as in lr=0.01",
        .examples =
            "  canyon set layer1/weight lr=0.001\n  canyon set layer1/weight schedule=cosine T_max=10000 --json",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    for (size_t i = 0; verdict == ARGUMENTS_RUN && i < settings.count; i++) {
        int more = snprintf(text + length, sizeof text - length, "%s%s", i == 0 ? "" : ",", settings.items[i]);
        if (more < 0 || (size_t)more >= sizeof text - length) {
            verdict = arguments_wrong(&line, "the settings are longer than %zu bytes together", sizeof text - 1);
        } else {
            length += (size_t)more;
        }
    }
    return cli_serve(cli, verdict, CLI_NEEDS_ALL, set_tensor, &(struct change){name, text});
}
