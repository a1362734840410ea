#include "tests/bench/suite/limits.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/measure.h"
#include "tests/bench/suite/subject.h"

enum kind { ECHO, ADAM, AEAD, AEAD_ONE_SIDE, KINDS };
static const char *const names[KINDS] = {"echo", "adam", "aead", "aead_one_side"};
static const char *const programs[KINDS] = {"limit_echo", "limit_adam", "limit_aead", "limit_aead"};

struct limits {
    const struct plan *plan;
    struct runner *runners[KINDS][LIMITS_THREADS + 1];
};

struct limits *limits_create(const struct plan *plan) {
    struct limits *limits = calloc(1, sizeof *limits);
    bench_must(limits != NULL, "memory");
    limits->plan = plan;
    return limits;
}

void limits_destroy(struct limits *limits) {
    for (size_t kind = 0; limits != NULL && kind < KINDS; kind++) {
        for (size_t i = 0; i <= LIMITS_THREADS; i++)
            runner_stop(limits->runners[kind][i]);
    }
    free(limits);
}

static struct runner *start(const struct limits *limits, enum kind kind, unsigned threads) {
    const struct plan *plan = limits->plan;
    char thread_text[16], byte_text[24];
    const int first = subject_first(plan, threads), behind = first + (int)threads;
    char core[16], core_behind[16];
    const char *words[20] = {"--threads", thread_text, "--bytes", byte_text};
    size_t count = 4;
    snprintf(thread_text, sizeof thread_text, "%u", threads);
    snprintf(byte_text, sizeof byte_text, "%" PRIu64, plan->bytes);
    snprintf(core, sizeof core, "%d", first);
    snprintf(core_behind, sizeof core_behind, "%d", behind);
    if (first >= 0 && kind == ECHO)
        words[count++] = "--server-core", words[count++] = core, words[count++] = "--client-core",
        words[count++] = core_behind;
    else if (first >= 0)
        words[count++] = "--core", words[count++] = core;
    if (kind == ECHO) {
        words[count++] = "--congestion", words[count++] = plan->congestion;
        words[count++] = "--mode", words[count++] = plan->echo_mode;
    } else if (kind != ADAM) {
        words[count++] = "--cipher", words[count++] = served_channel_name(plan->cipher);
        words[count++] = "--sides", words[count++] = kind == AEAD ? "2" : "1";
    }
    words[count] = NULL;
    return runner_start(programs[kind], words);
}

static struct runner *of(struct limits *limits, enum kind kind, unsigned threads) {
    assert(threads <= LIMITS_THREADS);
    if (limits->runners[kind][threads] == NULL)
        limits->runners[kind][threads] = start(limits, kind, threads);
    return limits->runners[kind][threads];
}

struct runner *limits_echo(struct limits *limits, unsigned threads) {
    return of(limits, ECHO, threads);
}

struct runner *limits_adam(struct limits *limits, unsigned threads) {
    return of(limits, ADAM, threads);
}

struct runner *limits_aead(struct limits *limits, unsigned threads) {
    return of(limits, AEAD, threads);
}

struct runner *limits_aead_one_side(struct limits *limits, unsigned threads) {
    return of(limits, AEAD_ONE_SIDE, threads);
}

void limits_json(const struct limits *limits, json_t *object) {
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (unsigned i = 0; i <= LIMITS_THREADS; i++) {
            char key[32];
            snprintf(key, sizeof key, "%s_%u", names[kind], i);
            if (limits->runners[kind][i] != NULL)
                bench_must(json_object_set_new(object, key, json_string(runner_ready(limits->runners[kind][i]))) == 0,
                           "memory");
        }
    }
}
