/* canyon-sim: Canyon's simulator. Commands are trained models, traced optimizers and descents of surfaces;
 * everything it knows of servers is the public API. */
#include <stdio.h>
#include <string.h>

#include "canyon.h"
#include "client/simulator/embed.h"
#include "client/simulator/interrupt.h"
#include "client/simulator/load.h"
#include "client/simulator/study.h"
#include "client/simulator/surface.h"
#include "client/simulator/trace.h"
#include "client/simulator/train.h"
#include "client/tools/arguments.h"
#include "client/tools/outcome.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {{"train", train_main}, {"trace", trace_main}, {"surface", surface_main},
                {"load", load_main},   {"embed", embed_main}, {"study", study_main}};
#define COMMANDS (sizeof commands / sizeof *commands)

static int run_command(const struct command_line *line, int argc, char **argv) {
    const char *names[COMMANDS];
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, argv[0]) == 0) {
            return commands[i].run(argc, argv);
        }
        names[i] = commands[i].name;
    }
    const char *nearest = arguments_nearest(argv[0], names, COMMANDS);
    if (nearest != NULL) {
        arguments_wrong(line, "there is no command '%s'; did you mean '%s'?", argv[0], nearest);
    } else {
        arguments_wrong(line, "there is no command '%s'", argv[0]);
    }
    return OUTCOME_USAGE;
}

/* "help", or "help COMMAND". */
static int run_help(const struct command_line *line, int argc, char **argv) {
    char help[] = "--help";
    if (argc < 2) {
        arguments_help(line, stdout);
        return OUTCOME_DONE;
    }
    char *words[] = {argv[1], help, NULL};
    return run_command(line, 2, words);
}

int main(int argc, char **argv) {
    bool version = false;
    int used = 0;
    const struct argument options[] = {
        {.name = "version", .help = "print the version", .kind = ARGUMENT_FLAG, .target = &version},
    };
    const struct command_line line = {
        .program = "canyon-sim",
        .summary = "Trains real models through real Canyon servers, shows what optimizers do, and puts loads on "
                   "servers.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .stop_at_positional = true,
        .usage = "COMMAND [OPTION...]",
        .details = "Commands:\n"
                   "  train          train a model with worker processes, once for every optimizer\n"
                   "  trace          push gradients from standard input, print each step's weights\n"
                   "  surface        let optimizers descend a function of two variables\n"
                   "  load           put a load on servers, measure it, verify that nothing is lost\n"
                   "  embed          learn word vectors from English text, in tables\n"
                   "  study          what consistency modes and a slow worker do to learning\n"
                   "  help COMMAND   what a command does and its options",
        .examples = "  canyon-sim train --local 2 --optimizer all --plot loss.png\n"
                    "  canyon-sim surface --function saddle --plot saddle.png\n"
                    "  canyon-sim load --local 2 --workers 1000 --size 8K --verify\n"
                    "  canyon-sim embed --local 2 --neighbours river,red,physics\n"
                    "  canyon-sim study --plot study.png\n"
                    "  echo 0.1 -0.2 | canyon-sim trace --optimizer adam --init 1,2",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, &used);
    if (verdict != ARGUMENTS_RUN) {
        return verdict == ARGUMENTS_HELP ? OUTCOME_DONE : OUTCOME_USAGE;
    }
    if (version) {
        printf("canyon-sim %s\n", canyon_version());
        return OUTCOME_DONE;
    }
    if (used >= argc) {
        arguments_wrong(&line, "a command is missing: train, trace, surface, load, embed or study");
        return OUTCOME_USAGE;
    }
    argc -= used;
    argv += used;
    if (strcmp(argv[0], "help") == 0) {
        return run_help(&line, argc, argv);
    }
    if (!interrupt_start()) {
        perror("canyon-sim: cannot handle signals");
        return OUTCOME_FAILED;
    }
    return run_command(&line, argc, argv);
}
