#include "client/simulator/examples.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/simulator/counter.h"

#define HELD_STREAM (5ull << 61)

bool examples_open(struct examples *examples, const char *path, const struct libsvm_names *names,
                   const struct examples_choice *choice, char *text, size_t bytes) {
    struct stat about;
    *examples = (struct examples){.path = path, .names = *names, .choice = *choice};
    examples->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    lines_init(&examples->lines, examples->descriptor);
    if (examples->descriptor < 0 || fstat(examples->descriptor, &about) != 0) {
        snprintf(text, bytes, "cannot open %s: %s", path, strerror(errno));
        return false;
    }
    if (!S_ISREG(about.st_mode)) {
        snprintf(text, bytes, "%s is not a regular file: it has to be read more than once", path);
        return false;
    }
    return true;
}

static bool is_held(const struct examples_choice *choice, uint64_t number) {
    double draw = (double)(counter_bits(choice->seed, HELD_STREAM, number) >> 11) / 9007199254740992.0;
    return draw < choice->held;
}

/* Whether the example that is next by number is one of those chosen; counts it. */
static bool is_chosen(struct examples *examples) {
    const struct examples_choice *choice = &examples->choice;
    bool held = is_held(choice, examples->number++);
    switch (choice->part) {
    case EXAMPLES_TRAIN:
        return !held && examples->dealt++ % choice->workers == choice->worker;
    case EXAMPLES_HELD:
        return held;
    default:
        return true;
    }
}

/* The text of a line that is wrong. */
static enum examples_state tell_wrong(const struct examples *examples, const char *why, char *text, size_t bytes) {
    snprintf(text, bytes, "%s:%" PRIu64 ": %s", examples->path, examples->line, why);
    return EXAMPLES_WRONG;
}

enum examples_state examples_next(struct examples *examples, struct libsvm_example *example, char *text, size_t bytes) {
    char why[LIBSVM_TEXT_BYTES];
    const char *line = NULL;
    size_t length = 0;
    enum lines_state state = LINES_READ;
    while ((state = lines_next(&examples->lines, &line, &length)) == LINES_READ) {
        examples->line++;
        if (!libsvm_is_example(line, length) || !is_chosen(examples)) {
            continue;
        }
        enum libsvm_verdict verdict = libsvm_parse(&examples->names, line, length, example, why, sizeof why);
        return verdict == LIBSVM_EXAMPLE ? EXAMPLES_READ : tell_wrong(examples, why, text, bytes);
    }
    if (state == LINES_FAILED) {
        snprintf(text, bytes, "cannot read %s behind line %" PRIu64 ": %s", examples->path, examples->line,
                 strerror(errno));
        return EXAMPLES_FAILED;
    }
    if (state == LINES_INTERRUPTED) {
        snprintf(text, bytes, "interrupted while reading %s", examples->path);
        return EXAMPLES_INTERRUPTED;
    }
    return EXAMPLES_ENDED;
}

void examples_close(struct examples *examples) {
    if (examples->path != NULL) {
        lines_finish(&examples->lines);
        if (examples->descriptor >= 0) {
            close(examples->descriptor);
        }
    }
    memset(examples, 0, sizeof *examples);
}

bool examples_survey(const char *path, const struct libsvm_names *names, const struct examples_choice *choice,
                     const char *program, uint64_t tell, struct examples_count *count, char *text, size_t bytes) {
    struct examples examples;
    struct libsvm_example example = {.count = 0};
    struct examples_choice all = *choice;
    enum examples_state state = EXAMPLES_FAILED;
    memset(count, 0, sizeof *count);
    all.part = EXAMPLES_ALL;
    bool good = examples_open(&examples, path, names, &all, text, bytes);
    while (good &&
           ((state = examples_next(&examples, &example, text, bytes)) == EXAMPLES_READ || state == EXAMPLES_WRONG)) {
        if (state == EXAMPLES_WRONG && count->wrong++ < tell) {
            fprintf(stderr, "%s: %s\n", program, text);
        }
        bool held = is_held(choice, count->examples);
        count->examples++;
        count->held += held;
        count->train += !held;
        count->positives += state == EXAMPLES_READ && example.positive;
        count->features += example.count;
    }
    libsvm_finish(&example);
    examples_close(&examples);
    return good && state == EXAMPLES_ENDED;
}
