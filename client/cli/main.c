/* canyon: look at a running job, change its tensors and make keys, from the command line. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"

static const struct command {
    const char *name;
    const char *arguments;
    const char *summary;
    cli_run *run;
} commands[] = {
    {"status", "", "show the job and every server of it", cli_status},
    {"tensors", "", "list the tensors and tables", cli_tensors},
    {"show", "NAME", "describe one tensor and its weights, or a table", cli_show},
    {"rows", "NAME", "show rows of a table", cli_rows},
    {"pull", "NAME --output FILE", "write a tensor's weights to a NumPy file", cli_pull},
    {"assign", "NAME --input FILE", "replace a tensor's weights by those of a NumPy file", cli_assign},
    {"set", "NAME SETTING...", "change settings while training runs", cli_set},
    {"drop", "NAME", "delete a tensor or table on all servers", cli_drop},
    {"optimizers", "[NAME]", "list the optimizers, or describe one", cli_optimizers},
    {"workers", "", "list the workers and how far they are", cli_workers},
    {"consistency", "[MODE]", "show or set how workers keep together", cli_consistency},
    {"keygen", "[--show [FILE]]", "make a key, or show the public half of one", cli_keygen},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const struct command *find_command(const char *name) {
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static enum outcome unknown_command(const struct command_line *line, const char *name) {
    const char *names[COMMANDS + 1] = {"help"};
    for (size_t i = 0; i < COMMANDS; i++) {
        names[i + 1] = commands[i].name;
    }
    const char *nearest = arguments_nearest(name, names, COMMANDS + 1);
    if (nearest != NULL) {
        arguments_wrong(line, "there is no command '%s'; did you mean '%s'?", name, nearest);
    } else {
        arguments_wrong(line, "there is no command '%s'", name);
    }
    return OUTCOME_USAGE;
}

/* The commands, as lines of the help. */
static void list_commands(char *text, size_t bytes) {
    size_t length = (size_t)snprintf(text, bytes, "Commands:");
    for (size_t i = 0; i < COMMANDS && length < bytes; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", commands[i].name, commands[i].arguments);
        length += (size_t)snprintf(text + length, bytes - length, "\n  %-24s  %s", left, commands[i].summary);
    }
    if (length < bytes) {
        snprintf(text + length, bytes - length, "\n  %-24s  %s", "help [COMMAND]",
                 "show this, or one command's options");
    }
}

static enum outcome run_command(const struct command_line *line, struct cli *cli, int argc, char **argv) {
    if (argc == 0) {
        arguments_help(line, stderr);
        return OUTCOME_USAGE;
    }
    if (strcmp(argv[0], "help") != 0) {
        const struct command *command = find_command(argv[0]);
        return command == NULL ? unknown_command(line, argv[0]) : command->run(cli, argc, argv);
    }
    if (argc == 1) {
        arguments_help(line, stdout);
        return OUTCOME_DONE;
    }
    const struct command *command = find_command(argv[1]);
    char help[] = "--help", *help_argv[] = {argv[1], help, NULL};
    return command == NULL ? unknown_command(line, argv[1]) : command->run(cli, 2, help_argv);
}

/* Output that could not be written is a failure too; quietly so when the reader of a pipe had enough. */
static enum outcome finish_output(enum outcome outcome) {
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (errno != EPIPE) {
            cli_fail("cannot write to standard output: %s", strerror(errno));
        }
        outcome = outcome == OUTCOME_DONE ? OUTCOME_FAILED : outcome;
    }
    return outcome;
}

int main(int argc, char **argv) {
    const char *environment = getenv("CANYON_SERVERS");
    struct cli cli = {.servers = environment != NULL && environment[0] != '\0' ? environment : CLI_DEFAULT_SERVERS,
                      .timeout_ms = 10000};
    bool version = false;
    int used = 0;
    char details[1024];
    const struct argument options[] = {
        CLI_COMMON_OPTIONS(&cli),
        {.name = "version", .help = "print the version", .kind = ARGUMENT_FLAG, .target = &version},
    };
    const struct command_line line = {
        .program = "canyon",
        .summary = "Looks at a running Canyon job, changes its tensors, and makes keys.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .stop_at_positional = true,
        .usage = "[OPTION...] COMMAND [ARGUMENT...]",
        .details = details,
        .examples = "  canyon status\n"
                    "  canyon --servers 10.0.0.1:7077 tensors --json\n"
                    "  canyon pull layer1/weight --output weight.npy",
    };
    list_commands(details, sizeof details);
    /* A server that goes away must end as an error text, not as a signal. */
    signal(SIGPIPE, SIG_IGN);
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, &used);
    enum outcome outcome = cli_parsed(verdict);
    if (verdict == ARGUMENTS_RUN && version) {
        printf("canyon %s\n", canyon_version());
    } else if (verdict == ARGUMENTS_RUN) {
        outcome = run_command(&line, &cli, argc - used, argv + used);
    }
    return (int)finish_output(outcome);
}
