/* canyon-bench: Canyon over real processes beside what the machine allows, in one run and in turns. The figures and
 * what they mean stand in tests/bench/README.md. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tools/arguments.h"
#include "client/tools/outcome.h"
#include "client/tools/progress.h"
#include "tests/bench/measure.h"
#include "tests/bench/suite/dense.h"
#include "tests/bench/suite/latency.h"
#include "tests/bench/suite/machine.h"
#include "tests/bench/suite/memory.h"

enum part { DENSE_1, DENSE_2, DENSE_SECURE_1, DENSE_SECURE_2, LATENCY, MEMORY, PARTS };
#define DENSES LATENCY

static const char *const part_names[PARTS + 1] = {"dense_1", "dense_2", "dense_secure_1", "dense_secure_2", "latency",
                                                  "memory",  NULL};

static const struct figures_goal goals[] = {
    {"dense_1.roofline_ratio", 1.10, true},
    {"dense_2.roofline_ratio", 1.00, true},
    {"dense_secure_1.roofline_ratio", 0.95, true},
    {"dense_secure_2.roofline_ratio", 0.95, true},
    {"dense.gain_ratio", 0.95, true},
    {"dense_1.server_cpu_ratio", 1.05, false},
    {"dense_2.server_cpu_ratio", 1.05, false},
    {"latency.ratio_unpinned", 1.05, false},
    {"latency.ratio_one_core", 1.40, false},
    {"latency.ratio_spin", 1.30, false},
    {"memory.dense_overhead", 1.02, false},
};

struct run {
    struct plan plan;
    bool parts[PARTS];
    struct limits *limits;
    struct dense *denses[DENSES];
    struct latency *latency;
    struct figures *figures;
};

static void say(struct progress *progress, double share, const char *what, uint64_t repeat, uint64_t repeats) {
    char text[96];
    snprintf(text, sizeof text, "repeat %llu of %llu: %s", (unsigned long long)repeat, (unsigned long long)repeats,
             what);
    progress_update(progress, share, text);
}

static void open_parts(struct run *run, struct progress *progress) {
    run->limits = limits_create(&run->plan);
    run->figures = figures_create();
    for (enum part part = 0; part < DENSES; part++) {
        progress_update(progress, 0, "finding out how the limit programs are fastest here");
        if (run->parts[part])
            run->denses[part] =
                dense_create(&run->plan, run->limits, part_names[part], part % 2 == 0 ? 1 : 2, part >= DENSE_SECURE_1);
    }
    run->latency = run->parts[LATENCY] ? latency_create(&run->plan) : NULL;
}

static void close_parts(struct run *run) {
    for (enum part part = 0; part < DENSES; part++)
        dense_destroy(run->denses[part]);
    latency_destroy(run->latency);
    limits_destroy(run->limits);
    figures_destroy(run->figures);
}

static void measure(struct run *run, struct progress *progress) {
    for (uint64_t repeat = 0; repeat < run->plan.repeats; repeat++) {
        for (enum part part = 0; part < PARTS; part++) {
            if (!run->parts[part])
                continue;
            say(progress, ((double)repeat + (double)part / PARTS) / (double)run->plan.repeats, part_names[part],
                repeat + 1, run->plan.repeats);
            if (part < DENSES)
                dense_repeat(run->denses[part], run->figures);
            else if (part == LATENCY)
                latency_repeat(run->latency, run->figures);
            else
                memory_repeat(&run->plan, run->figures);
        }
        if (run->parts[DENSE_1] && run->parts[DENSE_2])
            dense_gain(run->figures);
    }
}

static json_t *report_json(const struct run *run) {
    json_t *limits = json_object();
    json_t *report = json_pack("{s:s,s:o,s:s,s:s,s:I,s:I,s:I,s:o}", "date", machine_date(), "machine", machine_json(),
                               "congestion", run->plan.congestion, "cipher", served_channel_name(run->plan.cipher),
                               "bytes", (json_int_t)run->plan.bytes, "repeats", (json_int_t)run->plan.repeats, "rounds",
                               (json_int_t)run->plan.rounds, "limits", limits);
    bench_must(report != NULL, "memory");
    limits_json(run->limits, limits);
    figures_json(run->figures, report);
    return report;
}

static void write_json(const struct run *run, const char *path) {
    json_t *report = report_json(run);
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    bench_must(file != NULL && json_dumpf(report, file, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) == 0 &&
                   fputc('\n', file) >= 0 && (file == stdout ? fflush(file) : fclose(file)) == 0,
               path);
    json_decref(report);
}

static void print_table(const struct run *run) {
    struct table *table = figures_table(run->figures, goals, sizeof goals / sizeof goals[0]);
    printf("%s\n%.1f MiB, %llu rounds in each of %llu repeats, adam, blocks of %d, %s on both ends\n\n", machine_text(),
           (double)run->plan.bytes / 0x1p20, (unsigned long long)run->plan.rounds,
           (unsigned long long)run->plan.repeats, PLAN_BLOCK,
           run->plan.congestion[0] != '\0' ? run->plan.congestion : "the host's congestion control");
    bench_must(table_print(table, stdout), "printing");
    table_destroy(table);
}

/* "dense_1,latency": false when one of them does not exist. */
static bool choose(struct run *run, const char *only) {
    char copy[256], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", only);
    for (char *word = strtok_r(copy, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        enum part part = 0;
        while (part < PARTS && strcmp(word, part_names[part]) != 0)
            part++;
        if (part == PARTS)
            return false;
        run->parts[part] = true;
    }
    return true;
}

static void ignore(int number) {
    (void)number; /* the children end, and so does the run, which cleans up */
}

int main(int argc, char **argv) {
    static struct run run;
    struct plan *plan = &run.plan;
    struct progress progress;
    bool json = false, quick = false;
    const char *only = NULL, *output = NULL, *congestion = NULL, *cipher = "chacha20poly1305";
    static const char *const ciphers[] = {"chacha20poly1305", "aes256gcm", NULL};
    *plan = (struct plan){.bytes = 64 << 20, .repeats = 9, .rounds = 5, .batch = 2000, .memory_bytes = 256 << 20};
    const struct argument options[] = {
        {.name = "only",
         .value = "LIST",
         .kind = ARGUMENT_TEXT,
         .target = &only,
         .help = "parts to run: dense_1, dense_2, dense_secure_1, dense_secure_2, latency, memory (default all)"},
        {.name = "repeats",
         .letter = 'n',
         .value = "N",
         .kind = ARGUMENT_UNSIGNED,
         .target = &plan->repeats,
         .low = 1,
         .high = FIGURES_REPEATS,
         .help = "how often everything is measured, in turns (default 9)"},
        {.name = "rounds",
         .value = "N",
         .kind = ARGUMENT_UNSIGNED,
         .target = &plan->rounds,
         .low = 1,
         .high = RUNNER_ROUNDS - 1,
         .help = "rounds of each thing in a repeat, after one that warms up (default 5)"},
        {.name = "size",
         .value = "BYTES",
         .kind = ARGUMENT_UNSIGNED,
         .target = &plan->bytes,
         .low = 4096,
         .high = (uint64_t)1 << 32,
         .help = "of the tensor (default 67108864: 64 MiB)"},
        {.name = "cipher",
         .value = "NAME",
         .kind = ARGUMENT_TEXT,
         .target = &cipher,
         .choices = ciphers,
         .help = "of the encrypted parts: chacha20poly1305 or aes256gcm (default chacha20poly1305)"},
        {.name = "congestion",
         .value = "NAME",
         .kind = ARGUMENT_TEXT,
         .target = &congestion,
         .help = "TCP's congestion control in every program (default cubic, or else reno, or else the host's)"},
        {.name = "quick",
         .kind = ARGUMENT_FLAG,
         .target = &quick,
         .help = "small and short, to see that it works: the figures mean nothing"},
        {.name = "json", .kind = ARGUMENT_FLAG, .target = &json, .help = "print JSON instead of the table"},
        {.name = "output",
         .letter = 'o',
         .value = "FILE",
         .kind = ARGUMENT_TEXT,
         .target = &output,
         .help = "write JSON to FILE too (default: bench.json in the build directory when all parts run)"},
    };
    const struct command_line line = {
        .program = "canyon-bench",
        .summary = "Measures Canyon over real processes beside what the machine allows, in turns, and prints figures.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .details =
            "Every figure is a median over the repeats; ratios are taken repeat by repeat. tests/bench/README.md\n"
            "says what each one means. CANYON_SERVER=PATH takes another server program.\n",
        .examples = "  canyon-bench\n  canyon-bench --only dense_1,dense_2 --repeats 15\n"
                    "  canyon-bench --only latency --json\n",
    };
    const enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    if (verdict != ARGUMENTS_RUN)
        return verdict == ARGUMENTS_HELP ? OUTCOME_DONE : OUTCOME_USAGE;
    if (!choose(&run, only != NULL ? only : "dense_1,dense_2,dense_secure_1,dense_secure_2,latency,memory")) {
        (void)arguments_wrong(&line,
                              "--only %s: parts are dense_1, dense_2, dense_secure_1, dense_secure_2, latency, "
                              "memory, separated by commas",
                              only);
        return OUTCOME_USAGE;
    }
    if (quick)
        plan->bytes = 1 << 20, plan->repeats = 2, plan->rounds = 1, plan->batch = 50, plan->memory_bytes = 8 << 20;
    plan->echo_mode = quick ? "blocking" : "best";
    plan->bytes = plan->bytes / 4096 * 4096;
    plan->congestion = congestion != NULL ? congestion : machine_congestion();
    plan->cipher = strcmp(cipher, "aes256gcm") == 0 ? SERVED_AES256GCM : SERVED_CHACHA20POLY1305;
    runner_place(-1);
    (void)signal(SIGINT, ignore);
    (void)signal(SIGPIPE, SIG_IGN);
    progress_init(&progress, stderr);
    open_parts(&run, &progress);
    measure(&run, &progress);
    progress_finish(&progress, "measured");
    if (!json)
        print_table(&run);
    if (json)
        write_json(&run, "-");
    if (output == NULL && only == NULL && !quick)
        output = CANYON_BINARY_DIR "/bench.json";
    if (output != NULL)
        write_json(&run, output);
    close_parts(&run);
    return OUTCOME_DONE;
}
