#include "client/simulator/load_options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "canyon.h"
#include "client/simulator/load_help.h"
#include "client/simulator/load_words.h"
#include "client/tools/number.h"

#define MILLISECONDS(ms) ((uint64_t)((ms)*1e6 + 0.5))
#define SECONDS(s)       ((uint64_t)((s)*1e9 + 0.5))
#define RATE_HIGH        1e8
#define WARMUP_SHARE     0.1 /* of the duration, */
#define WARMUP_HIGH      1.0 /* at most so many seconds */

/* What the table of arguments fills in and cannot hold in its last form. */
struct raw {
    const char *size, *mode, *mix, *rate, *codec, *optimizer, *straggle;
    uint64_t workers, processes, clients, tensors, in_flight, seed;
    double duration, warmup, think;
    bool verify;
};

/* ---- what a table of options cannot say ---- */

static enum arguments_verdict check_rate(const struct command_line *line, const struct raw *raw,
                                         struct load_pace *pace) {
    bool open = strcmp(raw->rate, "max") != 0;
    if (open && (!arguments_double(raw->rate, &pace->rate) || pace->rate < 0.001 || pace->rate > RATE_HIGH)) {
        return arguments_wrong(line, "--rate is '%s'; it must be max, or calls a second from 0.001 to 1e8", raw->rate);
    }
    if (open && raw->think > 0.0) {
        return arguments_wrong(line, "--think is for a closed loop; with --rate %s calls are due at fixed times",
                               raw->rate);
    }
    pace->think = MILLISECONDS(raw->think);
    if (raw->straggle != NULL && !load_words_straggle(raw->straggle, &pace->stragglers, &pace->straggle)) {
        return arguments_wrong(
            line, "--straggle is '%s'; it must be K:MS, so many workers and by how many milliseconds", raw->straggle);
    }
    if (pace->stragglers > pace->workers) {
        return arguments_wrong(line, "--straggle slows %" PRIu32 " workers down, but there are %" PRIu32,
                               pace->stragglers, pace->workers);
    }
    return ARGUMENTS_RUN;
}

static enum arguments_verdict check_mode(const struct command_line *line, const struct raw *raw,
                                         struct load_plan *plan) {
    uint32_t *mix = plan->pace.mix;
    bool mixed = strcmp(raw->mode, "mixed") == 0;
    plan->mode = raw->mode;
    if (raw->mix != NULL && !mixed) {
        return arguments_wrong(line, "--mix is for --mode mixed, not %s", raw->mode);
    }
    if (mixed && !load_words_mix(raw->mix == NULL ? "50/25/25" : raw->mix, mix)) {
        return arguments_wrong(line, "--mix is '%s'; it must be the percents of push_pull, push and pull, as 50/25/25",
                               raw->mix);
    }
    for (unsigned k = 0; k < LOAD_KINDS && !mixed; k++) {
        mix[k] = strcmp(raw->mode, load_kind_name((enum load_kind)k)) == 0 ? 100 : 0;
    }
    return ARGUMENTS_RUN;
}

/* Whole numbers up to 3 arrive as they are, and weights that were equal as equal whole numbers: what verifying needs.
 */
static bool is_exact(const struct coding *coding) {
    const char *const ways[] = {coding->gradient, coding->weights};
    bool exact = true;
    for (size_t i = 0; i < 2; i++) {
        exact = exact && (strcmp(ways[i], "f32") == 0 || strcmp(ways[i], "bf16") == 0 || strcmp(ways[i], "f16") == 0);
    }
    return exact;
}

static enum arguments_verdict check_optimizer(const struct command_line *line, const struct raw *raw,
                                              struct load_plan *plan) {
    struct canyon_tensor_spec spec;
    char why[256];
    canyon_tensor_spec_init(&spec);
    plan->verify = raw->verify;
    plan->optimizer = raw->optimizer != NULL ? raw->optimizer : raw->verify ? "sgd:lr=1" : "adam";
    plan->codec = raw->codec;
    if (canyon_tensor_spec_optimizer(&spec, plan->optimizer) != CANYON_OK) {
        return arguments_wrong(line, "--optimizer: %s", canyon_error_text());
    }
    if (!coding_read(plan->codec, &plan->coded, why, sizeof why)) {
        return arguments_wrong(line, "--codec: %s", why);
    }
    if (!raw->verify) {
        return ARGUMENTS_RUN;
    }
    if (strcmp(plan->optimizer, "sgd") == 0) {
        plan->optimizer = "sgd:lr=1";
    }
    if (strcmp(plan->optimizer, "sgd:lr=1") != 0) {
        return arguments_wrong(line, "--verify knows what sgd:lr=1 makes of whole numbers, not '%s'", raw->optimizer);
    }
    if (!is_exact(&plan->coded)) {
        return arguments_wrong(line, "--verify needs whole numbers to travel as they are; --codec %s rounds them",
                               plan->codec);
    }
    if (!load_plan_pushes(plan)) {
        return arguments_wrong(line, "--verify needs pushes, and there are none with --mode %s", plan->mode);
    }
    return ARGUMENTS_RUN;
}

static enum arguments_verdict check_size(const struct command_line *line, const struct raw *raw,
                                         struct load_plan *plan) {
    char needed[NUMBER_BYTES], there[NUMBER_BYTES];
    uint64_t bytes = 0;
    if (!load_words_bytes(raw->size, &bytes) || bytes < 4 || bytes > LOAD_SIZE_HIGH || bytes % 4 != 0) {
        return arguments_wrong(
            line, "--size is '%s'; it must be a multiple of 4 bytes, at most 1024G, as 65536, 64K or 4M", raw->size);
    }
    plan->elements = bytes / sizeof(float);
    double memory = (double)load_plan_memory(plan), limit = 0.5 * (double)sysconf(_SC_PHYS_PAGES);
    limit *= (double)sysconf(_SC_PAGESIZE);
    if (memory > limit) {
        return arguments_wrong(line,
                               "places for %" PRIu32 " workers' gradients and weights would take %s, more than half of "
                               "this machine's memory (%s of it): ask for fewer --workers, --in-flight, --tensors, or "
                               "a smaller --size",
                               plan->pace.workers, number_bytes(memory, needed, sizeof needed),
                               number_bytes(limit, there, sizeof there));
    }
    return ARGUMENTS_RUN;
}

static uint32_t default_processes(uint64_t workers) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t most = processors < 1 ? 1 : processors < LOAD_PROCESSES_HIGH ? (uint64_t)processors : LOAD_PROCESSES_HIGH;
    return (uint32_t)(workers < most ? workers : most);
}

static enum arguments_verdict options_check(struct load_options *options, const struct command_line *line,
                                            const struct raw *raw) {
    struct load_plan *plan = &options->plan;
    enum arguments_verdict verdict = place_check(line, &options->where);
    plan->pace.workers = (uint32_t)raw->workers;
    plan->pace.in_flight = (uint32_t)raw->in_flight;
    plan->pace.seed = plan->seed = raw->seed;
    plan->processes = raw->processes == 0 ? default_processes(raw->workers) : (uint32_t)raw->processes;
    plan->clients = (uint32_t)raw->clients;
    plan->tensors = (uint32_t)raw->tensors;
    double warmup = raw->duration * WARMUP_SHARE < WARMUP_HIGH ? raw->duration * WARMUP_SHARE : WARMUP_HIGH;
    plan->warmup = SECONDS(raw->warmup < 0.0 ? warmup : raw->warmup);
    plan->duration = SECONDS(raw->duration);
    if (verdict == ARGUMENTS_RUN && plan->processes > plan->pace.workers) {
        verdict = arguments_wrong(line, "--processes is %" PRIu32 ", more than the %" PRIu32 " workers",
                                  plan->processes, plan->pace.workers);
    }
    if (options->where.servers == NULL && options->where.block == 0) {
        options->where.block = LOAD_BLOCK;
    }
    verdict = verdict == ARGUMENTS_RUN ? check_rate(line, raw, &plan->pace) : verdict;
    verdict = verdict == ARGUMENTS_RUN ? check_mode(line, raw, plan) : verdict;
    verdict = verdict == ARGUMENTS_RUN ? check_optimizer(line, raw, plan) : verdict;
    return verdict == ARGUMENTS_RUN ? check_size(line, raw, plan) : verdict;
}

enum arguments_verdict load_options_parse(struct load_options *options, int argc, char **argv) {
    static const char *const modes[] = {"push_pull", "push", "pull", "mixed", NULL};
    struct raw raw = {.size = "4M",
                      .mode = "push_pull",
                      .rate = "max",
                      .codec = "f32",
                      .workers = 4,
                      .clients = 1,
                      .tensors = 4,
                      .in_flight = 1,
                      .seed = 1,
                      .duration = 8.0,
                      .warmup = -1.0};
    memset(options, 0, sizeof *options);
    options->canonical = argc <= 1;
    const struct argument arguments[] = {
        PLACE_ARGUMENTS_OF(options->where, "65536"),
        {.name = "workers",
         .letter = 'w',
         .value = "W",
         .help = "logical workers (default 4)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &raw.workers,
         .low = 1,
         .high = LOAD_WORKERS_HIGH},
        {.name = "processes",
         .letter = 'p',
         .value = "P",
         .help = "processes that they are spread over (default: as many as processors, at most a worker each)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &raw.processes,
         .low = 1,
         .high = LOAD_PROCESSES_HIGH},
        {.name = "clients",
         .value = "N",
         .help = "clients of each process, among which its workers are spread; each has a connection to every server "
                 "thread (default 1)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &raw.clients,
         .low = 1,
         .high = LOAD_CLIENTS_HIGH},
        {.name = "tensors",
         .letter = 'k',
         .value = "K",
         .help = "tensors that a call moves together (default 4)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &raw.tensors,
         .low = 1,
         .high = LOAD_TENSORS_HIGH},
        {.name = "size",
         .value = "BYTES",
         .help = "of each tensor as float32; K, M and G are powers of 1024 (default 4M)",
         .kind = ARGUMENT_TEXT,
         .target = &raw.size},
        {.name = "mode",
         .letter = 'm',
         .value = "push_pull|push|pull|mixed",
         .help = "what a call is (default push_pull)",
         .kind = ARGUMENT_TEXT,
         .target = &raw.mode,
         .choices = modes},
        {.name = "mix",
         .value = "A/B/C",
         .help = "of mixed: percents of push_pull, push and pull, drawn call by call (default 50/25/25)",
         .kind = ARGUMENT_TEXT,
         .target = &raw.mix},
        {.name = "codec",
         .letter = 'c',
         .value = "GRADIENT[/WEIGHTS]",
         .help = "the form in which gradients travel, and weights: f32, bf16, f16, int8, int8:stochastic, and for "
                 "gradients topk:FRACTION and the others with feedback, as bf16:feedback (default f32/f32)",
         .kind = ARGUMENT_TEXT,
         .target = &raw.codec},
        {.name = "optimizer",
         .letter = 'o',
         .value = "NAME[:key=value,...]",
         .help = "the servers' optimizer and its hyperparameters (default adam)",
         .kind = ARGUMENT_TEXT,
         .target = &raw.optimizer},
        {.name = "rate",
         .letter = 'r',
         .value = "R|max",
         .help = "calls a second of all workers together, or as many as go (default max)",
         .kind = ARGUMENT_TEXT,
         .target = &raw.rate},
        {.name = "in-flight",
         .letter = 'd',
         .value = "D",
         .help = "calls that a worker has under way at most (default 1)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &raw.in_flight,
         .low = 1,
         .high = LOAD_IN_FLIGHT_HIGH},
        {.name = "think",
         .value = "MS",
         .help = "milliseconds between a call's end and the worker's next one (default 0)",
         .kind = ARGUMENT_DOUBLE,
         .target = &raw.think,
         .least = 0.0,
         .most = 3600000.0},
        {.name = "straggle",
         .value = "K:MS",
         .help = "K of the workers begin every call so many milliseconds later",
         .kind = ARGUMENT_TEXT,
         .target = &raw.straggle},
        {.name = "duration",
         .letter = 't',
         .value = "S",
         .help = "seconds that are measured (default 8)",
         .kind = ARGUMENT_DOUBLE,
         .target = &raw.duration,
         .least = 0.01,
         .most = 86400.0},
        {.name = "warmup",
         .value = "S",
         .help = "seconds of ramp-up before them (default: a tenth of --duration, at most 1)",
         .kind = ARGUMENT_DOUBLE,
         .target = &raw.warmup,
         .least = 0.0,
         .most = 3600.0},
        {.name = "verify",
         .help = "check that every push was applied exactly once",
         .kind = ARGUMENT_FLAG,
         .target = &raw.verify},
        {.name = "seed",
         .value = "N",
         .help = "of gradients and of the mix (default 1)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &raw.seed},
        {.name = "json",
         .help = "print one JSON object on a line instead of a table",
         .kind = ARGUMENT_FLAG,
         .target = &options->json},
    };
    const struct command_line line = {
        .program = LOAD_PROGRAM,
        .summary = "Puts a load on servers and measures it: many logical workers push gradients and pull weights as "
                   "fast as they can or at a fixed rate. Without any argument it runs one workload of about ten "
                   "seconds on two local servers, encrypted, and prints two numbers.",
        .options = arguments,
        .option_count = sizeof arguments / sizeof *arguments,
        .usage = "[--servers LIST | --local N] [OPTION...]",
        .details = load_details,
        .examples = "  canyon-sim load\n"
                    "  canyon-sim load --local 2 --threads 2 -w 8 -k 8 --size 16M --duration 20\n"
                    "  canyon-sim load -w 1000 -k 1 --size 4K --rate 5000 --optimizer adagrad\n"
                    "  canyon-sim load --local 2 --workers 1000 --size 8K --verify --duration 5\n"
                    "  canyon-sim load --servers 10.0.0.1:7077 --mode mixed --mix 80/10/10 --json\n"
                    "  canyon-sim load --workers 16 --straggle 2:50 --think 5 --insecure-plaintext",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    return verdict == ARGUMENTS_RUN ? options_check(options, &line, &raw) : verdict;
}
