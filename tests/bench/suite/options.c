#include "tests/bench/suite/options.h"

#include <string.h>

#include "client/simulator/gnuplot.h"
#include "tests/bench/suite/figures.h"
#include "tests/bench/suite/machine.h"
#include "tests/bench/suite/runner.h"

static const char *const ciphers[] = {"chacha20poly1305", "aes256gcm", NULL};

/* What was given, where it is not the plan itself. */
struct given {
    bool quick, no_peers;
    uint64_t seconds;
    const char *only, *congestion, *cipher;
};

static void defaults(struct options *options, struct given *given) {
    *options = (struct options){.plan = {.bytes = 64 << 20,
                                         .block = 65536,
                                         .repeats = 9,
                                         .rounds = 5,
                                         .batch = 2000,
                                         .memory_bytes = 256 << 20,
                                         .rows = 10000000,
                                         .draws = 4096,
                                         .batches = 200,
                                         .growth_rows = 2000000,
                                         .echo_mode = "best"}};
    *given =
        (struct given){.seconds = 280, .only = PARTS_LIST, .congestion = machine_congestion(), .cipher = ciphers[0]};
}

/* Small and short. */
static void make_quick(struct plan *plan) {
    plan->bytes = 1 << 20;
    plan->repeats = 2;
    plan->rounds = 1;
    plan->batch = 50;
    plan->memory_bytes = 8 << 20;
    plan->rows = 20000;
    plan->draws = 256;
    plan->batches = 10;
    plan->growth_rows = 5000;
    plan->echo_mode = "blocking"; /* instead of trying all */
}

static enum arguments_verdict finish(const struct command_line *line, struct options *options,
                                     const struct given *given) {
    struct plan *plan = &options->plan;
    char wrong[160];
    if (!parts_choose(given->only, plan->parts, wrong, sizeof wrong))
        return arguments_wrong(line, "--only: there is no part '%s'; parts are " PARTS_LIST, wrong);
    if (options->plot != NULL && !options->sweep)
        return arguments_wrong(line, "--plot draws what --sweep measures: give both");
    if (options->plot != NULL && !gnuplot_check(options->plot, wrong, sizeof wrong))
        return arguments_wrong(line, "--plot: %s", wrong);
    if (given->quick)
        make_quick(plan);
    plan->bytes = plan->bytes / 4096 * 4096;
    plan->growth_rows = plan->rows < plan->growth_rows ? plan->rows : plan->growth_rows;
    plan->seconds = (double)given->seconds;
    plan->congestion = strcmp(given->congestion, "system") != 0 ? given->congestion : "";
    plan->cipher = strcmp(given->cipher, ciphers[1]) == 0 ? SERVED_AES256GCM : SERVED_CHACHA20POLY1305;
    plan->parts[PART_PEERS] = plan->parts[PART_PEERS] && !given->no_peers;
    plan->parts[PART_REDIS] = plan->parts[PART_REDIS] && !given->no_peers;
    if (options->output == NULL && strcmp(given->only, PARTS_LIST) == 0 && !given->quick && !options->sweep)
        options->output = CANYON_BINARY_DIR "/bench.json";
    return ARGUMENTS_RUN;
}

enum arguments_verdict options_read(struct options *options, int argc, char **argv) {
    struct plan *plan = &options->plan;
    struct given given;
    defaults(options, &given);
    /* clang-format off */
    const struct argument arguments[] = {
        {.name = "only", .value = "LIST", .kind = ARGUMENT_TEXT, .target = &given.only,
         .help = "parts to run, of " PARTS_LIST " (default all)"},
        {.name = "repeats", .letter = 'n', .value = "N", .kind = ARGUMENT_UNSIGNED, .target = &plan->repeats,
         .low = 1, .high = FIGURES_REPEATS, .help = "how often everything is measured, in turns (default 9)"},
        {.name = "rounds", .value = "N", .kind = ARGUMENT_UNSIGNED, .target = &plan->rounds, .low = 1,
         .high = RUNNER_ROUNDS - 1,
         .help = "rounds of each thing in a repeat, after one that warms up (default 5; encrypted, half as many)"},
        {.name = "seconds", .value = "S", .kind = ARGUMENT_UNSIGNED, .target = &given.seconds, .low = 1, .high = 86400,
         .help = "end by then: with fewer rounds so that there are 7 repeats, or with fewer of them (default 280)"},
        {.name = "size", .value = "BYTES", .kind = ARGUMENT_UNSIGNED, .target = &plan->bytes, .low = 4096,
         .high = (uint64_t)1 << 32, .help = "of the tensor (default 67108864: 64 MiB)"},
        {.name = "rows", .value = "N", .kind = ARGUMENT_UNSIGNED, .target = &plan->rows, .low = 1000,
         .high = 1u << 28, .help = "of the tables of sparse parts (default 10000000)"},
        {.name = "block", .value = "ELEMENTS", .kind = ARGUMENT_UNSIGNED, .target = &plan->block, .low = 1024,
         .high = 4194304, .help = "of a block of Canyon's (default 65536)"},
        {.name = "cipher", .value = "NAME", .kind = ARGUMENT_TEXT, .target = &given.cipher, .choices = ciphers,
         .help = "of the encrypted parts: chacha20poly1305 or aes256gcm (default chacha20poly1305)"},
        {.name = "congestion", .value = "NAME", .kind = ARGUMENT_TEXT, .target = &given.congestion,
         .help = "TCP's congestion control in every program; system: the host's (default cubic, or else reno)"},
        {.name = "pinned", .kind = ARGUMENT_FLAG, .target = &plan->pinned,
         .help = "bind every thread of dense and sparse parts and their limits to a processor of its own, where there are enough"},
        {.name = "no-peers", .kind = ARGUMENT_FLAG, .target = &given.no_peers,
         .help = "leave the parts peers and redis out"},
        {.name = "quick", .kind = ARGUMENT_FLAG, .target = &given.quick,
         .help = "small and short, to see that it works: the figures mean nothing"},
        {.name = "sweep", .kind = ARGUMENT_FLAG, .target = &options->sweep,
         .help = "throughput of tensors of many sizes with 1, 2 and more threads, instead of the parts"},
        {.name = "plot", .value = "FILE", .kind = ARGUMENT_TEXT, .target = &options->plot,
         .help = "draw the sweep into FILE, .png or .svg"},
        {.name = "json", .kind = ARGUMENT_FLAG, .target = &options->json, .help = "print JSON instead of the table"},
        {.name = "output", .letter = 'o', .value = "FILE", .kind = ARGUMENT_TEXT, .target = &options->output,
         .help = "write JSON into FILE too (default: bench.json in the build directory when all parts run)"},
    };
    /* clang-format on */
    const struct command_line line = {
        .program = "canyon-bench",
        .summary = "Measures Canyon over real processes beside what the machine allows, in turns, and prints figures.",
        .options = arguments,
        .option_count = sizeof arguments / sizeof arguments[0],
        .details = "Every figure is a median over the repeats, with the least and the largest; ratios are taken\n"
                   "repeat by repeat. tests/bench/README.md says what each one means. The exit code says nothing\n"
                   "about whether goals were reached. CANYON_SERVER=PATH takes another server program.\n",
        .examples = "  canyon-bench                                      everything, in about five minutes\n"
                    "  canyon-bench --only dense_1,dense_2 --repeats 15  two parts, more patiently\n"
                    "  canyon-bench --only latency --json                for programs\n"
                    "  canyon-bench --sweep --plot throughput.png        a picture\n",
    };
    const enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    return verdict != ARGUMENTS_RUN ? verdict : finish(&line, options, &given);
}
