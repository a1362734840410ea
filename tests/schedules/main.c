/* canyon-schedules: runs the protocol under schedules of faults. tests/README.md says how to use it. */
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/codec.h"
#include "server/optimizers/optimizer.h"
#include "tests/schedules/bugs.h"
#include "tests/schedules/world.h"

#define ENOUGH 100 /* schedules in which everything has to happen at some time */

struct options {
    uint64_t from, count;
    const char *bug;
    bool verbose, list, every_bug, known, write, help;
};

static const char usage[] =
    "usage: canyon-schedules [OPTION]...\n"
    "Runs the real session, handler and shard code under schedules of faults, and judges what became of every push.\n"
    "\n"
    "  --count N      so many schedules (200)\n"
    "  --from N       the first one's seed (1); the others follow\n"
    "  --seed N       this schedule alone, with a trace of it\n"
    "  --verbose      with a trace of each\n"
    "  --bug NAME     with this bug in the code: succeeds when a schedule finds it\n"
    "  --every-bug    with each bug in turn\n"
    "  --known-seeds  with each bug in turn, under the one seed that is known to find it\n"
    "  --write-seeds  the same for tests/schedules/seeds.inc: the first seed from --from on that finds each\n"
    "  --list-bugs    the bugs, and what they do\n"
    "  --help         this text\n"
    "\n"
    "Exit status: 0 when nothing was found (or the bugs that were asked for were), 1 otherwise, 2 for a wrong "
    "option.\n";

static bool read_number(const char *text, uint64_t *number) {
    char *end = NULL;
    if (text == NULL || *text < '0' || *text > '9') {
        return false;
    }
    *number = strtoull(text, &end, 10);
    return *end == '\0';
}

static bool read_options(int count, char **words, struct options *options) {
    bool good = true;
    for (int i = 1; i < count && good; i++) {
        const char *word = words[i], *value = i + 1 < count ? words[i + 1] : NULL;
        if (strcmp(word, "--count") == 0) {
            good = read_number(value, &options->count);
            i++;
        } else if (strcmp(word, "--from") == 0) {
            good = read_number(value, &options->from);
            i++;
        } else if (strcmp(word, "--seed") == 0) {
            good = read_number(value, &options->from);
            options->count = 1;
            options->verbose = true;
            i++;
        } else if (strcmp(word, "--bug") == 0) {
            options->bug = value;
            good = value != NULL;
            i++;
        } else if (strcmp(word, "--verbose") == 0) {
            options->verbose = true;
        } else if (strcmp(word, "--every-bug") == 0) {
            options->every_bug = true;
        } else if (strcmp(word, "--known-seeds") == 0) {
            options->known = true;
        } else if (strcmp(word, "--write-seeds") == 0) {
            options->write = true;
        } else if (strcmp(word, "--list-bugs") == 0) {
            options->list = true;
        } else if (strcmp(word, "--help") == 0) {
            options->help = true;
        } else {
            good = false;
        }
        if (!good) {
            fprintf(stderr, "canyon-schedules: cannot take %s%s%s; try --help\n", word, value == NULL ? "" : " ",
                    value == NULL ? "" : value);
        }
    }
    return good;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void report(uint64_t schedules, const struct world_totals *totals, double took) {
    printf("%" PRIu64 " schedules in %.1f s: %" PRIu64 " pushes in %" PRIu64 " requests: %" PRIu64 " answered, %" PRIu64
           " refused or never sent, %" PRIu64 " of unknown outcome, %" PRIu64 " of workers that died\n",
           schedules, took, totals->pushes, totals->requests, totals->ok, totals->refused, totals->unknown,
           totals->died);
    printf("  %" PRIu64 " connections, %" PRIu64 " of them cut; %" PRIu64 " lives of workers, stopped %" PRIu64
           " times; %" PRIu64 " servers killed, %" PRIu64 " of them without their state; %" PRIu64
           " frames executed, %" PRIu64 " events, %" PRIu64 " virtual seconds\n",
           totals->links, totals->cuts, totals->lives, totals->stops, totals->kills, totals->losses, totals->frames,
           totals->events, totals->seconds);
    printf("  %" PRIu64 " schedules with clocks: %" PRIu64 " clocks of workers, %" PRIu64 " closed in a shard, %" PRIu64
           " contributions, %" PRIu64 " pulls that waited, %" PRIu64 " changes of the mode (%" PRIu64
           " refusals), %" PRIu64 " idle hours; %" PRIu64 " intrusions, servers stopped %" PRIu64 " times\n",
           totals->paced, totals->clocks, totals->closes, totals->kept, totals->waits, totals->changes,
           totals->conflicts, totals->idles, totals->intrusions, totals->pauses);
}

/* ---- The seed of a schedule that does not come back ---------------------------------------------------------------
 */

static char seed_text[96]; /* of the schedule that runs */

static void tell_seed(void) {
    if (write(STDERR_FILENO, seed_text, strlen(seed_text)) < 0)
        return; /* nobody is there to be told */
}

/* An assertion, a crash, or SIGTERM to one that hangs. It ends as it would have without this. */
static void on_signal(int number) {
    tell_seed();
    signal(number, SIG_DFL);
    raise(number);
}

/* Sanitizers end a process in their own way. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void watch_for_the_end(void) {
    static const int ends[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        /* What a sanitizer has taken stays its own. */
        if (__sanitizer_set_death_callback == NULL || ends[i] == SIGABRT || ends[i] == SIGTERM)
            signal(ends[i], on_signal);
    }
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(tell_seed);
}

/* How many schedules until one fails; `count` and one more when none does. */
static uint64_t run(uint64_t from, uint64_t count, bool verbose, struct world_totals *totals, char failure[512]) {
    for (uint64_t i = 0; i < count; i++) {
        snprintf(seed_text, sizeof seed_text, "canyon-schedules: in the schedule with seed %" PRIu64 "\n", from + i);
        if (!world_run(from + i, verbose, totals, failure, 512)) {
            return i + 1;
        }
    }
    return count + 1;
}

/* Schedules in which hardly anything happens find nothing. */
static bool covers(const struct world_totals *totals) {
    const struct {
        const char *what;
        uint64_t count;
    } parts[] = {{"answered pushes", totals->ok},
                 {"refusals", totals->refused},
                 {"unknown outcomes", totals->unknown},
                 {"pushes of workers that died", totals->died},
                 {"cuts", totals->cuts},
                 {"kills", totals->kills},
                 {"losses of state", totals->losses},
                 {"stops", totals->stops},
                 {"closed clocks", totals->closes},
                 {"contributions", totals->kept},
                 {"waiting pulls", totals->waits},
                 {"intrusions", totals->intrusions},
                 {"idle hours", totals->idles},
                 {"stops of servers", totals->pauses},
                 {"changes of the mode", totals->changes}};
    bool all = true;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].count == 0) {
            printf("FAILED: no %s in all of these schedules: they prove nothing about them\n", parts[i].what);
            all = false;
        }
    }
    return all;
}

/* Without a bug nothing must be found. */
static bool run_clean(const struct options *options) {
    struct world_totals totals = {.requests = 0};
    char failure[512];
    const double start = seconds();
    const uint64_t at = run(options->from, options->count, options->verbose, &totals, failure);
    if (at <= options->count) {
        const uint64_t seed = options->from + at - 1;
        printf("FAILED with seed %" PRIu64 ": %s\n  again, with a trace: canyon-schedules --seed %" PRIu64 "\n", seed,
               failure, seed);
    }
    report(at <= options->count ? at : options->count, &totals, seconds() - start);
    if (at > options->count) {
        printf("nothing lost, nothing doubled\n");
    }
    return at > options->count && (options->count < ENOUGH || covers(&totals));
}

/* The first seed that finds it; 0 when none of `count` does. */
static uint64_t seek_bug(const char *name, uint64_t from, uint64_t count, bool verbose, char failure[512]) {
    struct world_totals totals = {.requests = 0};
    if (!bug_choose(name)) {
        fprintf(stderr, "canyon-schedules: no bug is called %s; --list-bugs has them\n", name);
        return 0;
    }
    const uint64_t at = run(from, count, verbose, &totals, failure);
    bug_choose(NULL);
    return at > count ? 0 : from + at - 1;
}

static bool run_bug(const char *name, uint64_t from, uint64_t count, bool verbose) {
    char failure[512] = "";
    const uint64_t seed = seek_bug(name, from, count, verbose, failure);
    if (seed == 0) {
        printf("%-28s NOT FOUND in %" PRIu64 " schedules from %" PRIu64 " on\n", name, count, from);
    } else {
        printf("%-28s found by seed %" PRIu64 ": %s\n", name, seed, failure);
    }
    return seed != 0;
}

static bool write_seeds(const struct options *options) {
    char failure[512];
    bool all = true;
    for (size_t i = 0; i < bug_count; i++) {
        const uint64_t seed = seek_bug(bugs[i].name, options->from, options->count, false, failure);
        printf("{\"%s\", %" PRIu64 "},\n", bugs[i].name, seed);
        all = all && seed != 0;
    }
    return all;
}

int main(int count, char **words) {
    struct options options = {.from = 1, .count = 200};
    bool good = true;
    if (!read_options(count, words, &options)) {
        return 2;
    }
    /* Worlds come and go: their memory is not given back to the system in between. */
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    optimizer_start();
    codec_start();
    watch_for_the_end();
    if (options.help) {
        fputs(usage, stdout);
    } else if (options.list) {
        for (size_t i = 0; i < bug_count; i++) {
            printf("%-28s %s\n", bugs[i].name, bugs[i].meaning);
        }
    } else if (options.bug != NULL) {
        good = run_bug(options.bug, options.from, options.count, options.verbose);
    } else if (options.write) {
        good = write_seeds(&options);
    } else if (options.every_bug || options.known) {
        for (size_t i = 0; i < bug_count; i++) {
            const uint64_t from = options.known ? bug_seed(bugs[i].name) : options.from;
            good = run_bug(bugs[i].name, from, options.known ? 1 : options.count, false) && good;
        }
    } else {
        good = run_clean(&options);
    }
    return good ? 0 : 1;
}
