#include "client/simulator/load_check.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "canyon.h"
#include "client/simulator/draws.h"
#include "client/simulator/load_words.h"
#include "client/tools/number.h"

#define MILLISECONDS(ms) ((uint64_t)((ms)*1e6 + 0.5))
#define SECONDS(s)       ((uint64_t)((s)*1e9 + 0.5))
#define RATE_HIGH        1e8
#define WARMUP_SHARE     0.1 /* of the duration, */
#define WARMUP_HIGH      1.0 /* at most so many seconds */

static enum arguments_verdict check_rate(const struct command_line *line, const struct load_raw *raw,
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

static enum arguments_verdict check_mode(const struct command_line *line, const struct load_raw *raw,
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

static enum arguments_verdict check_optimizer(const struct command_line *line, const struct load_raw *raw,
                                              struct load_plan *plan) {
    struct canyon_tensor_spec tensor;
    struct canyon_table_spec table; /* which has settings that tensors have not */
    char why[256];
    canyon_tensor_spec_init(&tensor);
    canyon_table_spec_init(&table);
    plan->verify = raw->verify;
    plan->optimizer = raw->optimizer != NULL ? raw->optimizer : raw->verify ? "sgd:lr=1" : "adam";
    plan->codec = raw->codec;
    enum canyon_status status = plan->table ? canyon_table_spec_optimizer(&table, plan->optimizer)
                                            : canyon_tensor_spec_optimizer(&tensor, plan->optimizer);
    if (status != CANYON_OK) {
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

static enum arguments_verdict check_memory(const struct command_line *line, const struct load_plan *plan) {
    char needed[NUMBER_BYTES], there[NUMBER_BYTES];
    double memory = (double)load_plan_memory(plan), limit = 0.5 * (double)sysconf(_SC_PHYS_PAGES);
    limit *= (double)sysconf(_SC_PAGESIZE);
    if (memory > limit) {
        return arguments_wrong(line,
                               "places for %" PRIu32 " workers' gradients and weights%s would take %s, more than half "
                               "of this machine's memory (%s of it): ask for fewer --workers, --in-flight, %s",
                               plan->pace.workers, plan->table ? ", and drawing and verifying rows," : "",
                               number_bytes(memory, needed, sizeof needed), number_bytes(limit, there, sizeof there),
                               plan->table ? "--rows, or a smaller --batch" : "--tensors, or a smaller --size");
    }
    return ARGUMENTS_RUN;
}

/* Options of the one kind of load do not go with the other. */
static enum arguments_verdict check_kind(const struct command_line *line, const struct load_raw *raw) {
    const char *tensor = raw->tensors != 0 ? "--tensors" : raw->size != NULL ? "--size" : NULL;
    const char *table = raw->dim != 0               ? "--dim"
                        : raw->rows != 0            ? "--rows"
                        : raw->batch != 0           ? "--batch"
                        : raw->distribution != NULL ? "--distribution"
                                                    : NULL;
    if (raw->table && tensor != NULL) {
        return arguments_wrong(line, "%s is of tensors; with --table a call moves --batch rows of --dim elements",
                               tensor);
    }
    if (!raw->table && table != NULL) {
        return arguments_wrong(line, "%s is of a table: give --table too", table);
    }
    return ARGUMENTS_RUN;
}

static enum arguments_verdict check_size(const struct command_line *line, const struct load_raw *raw,
                                         struct load_plan *plan) {
    const char *size = raw->size == NULL ? LOAD_SIZE : raw->size;
    uint64_t bytes = 0;
    plan->tensors = raw->tensors == 0 ? LOAD_TENSORS : (uint32_t)raw->tensors;
    if (!load_words_bytes(size, &bytes) || bytes < 4 || bytes > LOAD_SIZE_HIGH || bytes % 4 != 0) {
        return arguments_wrong(
            line, "--size is '%s'; it must be a multiple of 4 bytes, at most 1024G, as 65536, 64K or 4M", size);
    }
    plan->elements = bytes / sizeof(float);
    return check_memory(line, plan);
}

/* What a table is, and what is drawn of it. */
static enum arguments_verdict check_rows(const struct command_line *line, const struct load_raw *raw,
                                         struct load_plan *plan) {
    plan->tensors = 1;
    plan->dim = raw->dim == 0 ? LOAD_DIM : (uint32_t)raw->dim;
    plan->rows = raw->rows == 0 ? LOAD_ROWS : raw->rows;
    plan->batch = raw->batch == 0 ? LOAD_BATCH : raw->batch;
    plan->elements = plan->batch * plan->dim;
    plan->distribution = raw->distribution == NULL ? LOAD_DRAWN : raw->distribution;
    if (!draws_read(plan->distribution, &plan->exponent)) {
        return arguments_wrong(line, "--distribution is '%s'; it must be uniform or zipf:S, as zipf:1.05, S at most %g",
                               plan->distribution, DRAWS_EXPONENT_HIGH);
    }
    if ((plan->exponent > 0.0 || plan->verify) && plan->rows > DRAWS_ZIPF_HIGH) {
        return arguments_wrong(line, "--rows is %" PRIu64 "; %s goes up to %" PRIu64, plan->rows,
                               plan->verify ? "--verify" : "Zipf's law", DRAWS_ZIPF_HIGH);
    }
    if (strncmp(plan->coded.gradient, "topk", 4) == 0 || strstr(plan->codec, ":feedback") != NULL) {
        return arguments_wrong(line, "--codec %s is not for tables: they have all but topk, and none with feedback",
                               plan->codec);
    }
    if (plan->verify && (strcmp(plan->coded.gradient, "f32") != 0 || strcmp(plan->coded.weights, "f32") != 0)) {
        return arguments_wrong(line, "--verify --table needs sums to travel as they are; --codec %s rounds them",
                               plan->codec);
    }
    enum arguments_verdict verdict = check_memory(line, plan);
    if (verdict == ARGUMENTS_RUN && plan->verify) {
        plan->most = draws_most(plan->rows, plan->exponent);
        if (load_plan_pushes_high(plan) < 1) {
            verdict = arguments_wrong(line,
                                      "--verify: the sum of one call of %" PRIu64 " draws of %" PRIu64
                                      " rows would pass what float32 holds exactly",
                                      plan->batch, plan->rows);
        }
    }
    return verdict;
}

static uint32_t default_processes(uint64_t workers) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t most = processors < 1 ? 1 : processors < LOAD_PROCESSES_HIGH ? (uint64_t)processors : LOAD_PROCESSES_HIGH;
    return (uint32_t)(workers < most ? workers : most);
}

enum arguments_verdict load_check(const struct command_line *line, const struct load_raw *raw, struct load_plan *plan) {
    enum arguments_verdict verdict = check_kind(line, raw);
    plan->pace.workers = (uint32_t)raw->workers;
    plan->pace.in_flight = (uint32_t)raw->in_flight;
    plan->pace.seed = plan->seed = raw->seed;
    plan->processes = raw->processes == 0 ? default_processes(raw->workers) : (uint32_t)raw->processes;
    plan->clients = (uint32_t)raw->clients;
    plan->table = raw->table;
    double warmup = raw->duration * WARMUP_SHARE < WARMUP_HIGH ? raw->duration * WARMUP_SHARE : WARMUP_HIGH;
    plan->warmup = SECONDS(raw->warmup < 0.0 ? warmup : raw->warmup);
    plan->duration = SECONDS(raw->duration);
    if (verdict == ARGUMENTS_RUN && plan->processes > plan->pace.workers) {
        verdict = arguments_wrong(line, "--processes is %" PRIu32 ", more than the %" PRIu32 " workers",
                                  plan->processes, plan->pace.workers);
    }
    verdict = verdict == ARGUMENTS_RUN ? check_rate(line, raw, &plan->pace) : verdict;
    verdict = verdict == ARGUMENTS_RUN ? check_mode(line, raw, plan) : verdict;
    verdict = verdict == ARGUMENTS_RUN ? check_optimizer(line, raw, plan) : verdict;
    if (verdict != ARGUMENTS_RUN) {
        return verdict;
    }
    return plan->table ? check_rows(line, raw, plan) : check_size(line, raw, plan);
}
