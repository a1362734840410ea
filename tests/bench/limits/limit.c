#define _GNU_SOURCE
#include "limit.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)

uint64_t limit_cpu_of(clockid_t process) {
    struct timespec now;
    limit_must(clock_gettime(process, &now) == 0, "a clock");
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t limit_now(void) {
    return limit_cpu_of(CLOCK_MONOTONIC);
}

uint64_t limit_cpu(void) {
    return limit_cpu_of(CLOCK_PROCESS_CPUTIME_ID);
}

void limit_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void limit_must(int good, const char *what) {
    if (!good)
        limit_fail("%s: %s", what, strerror(errno));
}

/* ---- options ---- */

static void help(const struct limit_option *options, size_t count, const char *about) {
    printf("%s\n\n", about);
    for (size_t i = 0; i < count; i++)
        printf("  --%-12s %s (default %s)\n", options[i].name, options[i].help,
               options[i].value[0] != '\0' ? options[i].value : "none");
    puts("\nWithout --rounds it does as many rounds as each line of standard input says.\n"
         "exit status: 0 done; 1 a failure; 2 wrong options");
}

void limit_options(struct limit_option *options, size_t count, int argc, char **argv, const char *about) {
    for (int i = 1; i < argc; i++) {
        size_t at = 0;
        if (strcmp(argv[i], "--help") == 0) {
            help(options, count, about);
            exit(0);
        }
        while (at < count && (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i] + 2, options[at].name) != 0))
            at++;
        if (at == count || i + 1 == argc) {
            fprintf(stderr, "%s: %s: unknown, or without its value; --help lists the options\n", argv[0], argv[i]);
            exit(2);
        }
        options[at].value = argv[++i];
    }
}

uint64_t limit_number(const struct limit_option *option, uint64_t low, uint64_t high) {
    char *end = NULL;
    const unsigned long long value = strtoull(option->value, &end, 10);
    if (end == option->value || *end != '\0' || option->value[0] == '-' || value < low || value > high) {
        fprintf(stderr, "%s: --%s %s: from %llu to %llu\n", program_invocation_short_name, option->name, option->value,
                (unsigned long long)low, (unsigned long long)high);
        exit(2);
    }
    return value;
}

/* ---- the machine ---- */

int limit_core(const struct limit_option *option) {
    return option->value[0] != '\0' ? (int)limit_number(option, 0, CPU_SETSIZE - 1) : -1;
}

void limit_pin(int first, size_t index) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (first < 0)
        return;
    CPU_SET((size_t)first + index, &set);
    limit_must(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
}

void *limit_memory(size_t bytes) {
    const size_t whole = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    char *memory = mmap(NULL, whole + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    limit_must(memory != MAP_FAILED, "memory");
    char *aligned = memory + (HUGE_PAGE - (uintptr_t)memory % HUGE_PAGE) % HUGE_PAGE;
    (void)madvise(aligned, whole, MADV_HUGEPAGE); /* where the system has none, 4 KiB pages do */
    return aligned;
}

static int compare(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double limit_median(double *values, size_t count) {
    qsort(values, count, sizeof values[0], compare);
    return count == 0 ? 0 : values[count / 2];
}

/* ---- sockets ---- */

static void prepare(int descriptor, const char *congestion) {
    const int on = 1;
    limit_must(setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
    if (congestion != NULL && congestion[0] != '\0')
        limit_must(setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion)) == 0,
                   congestion);
}

int limit_listen(uint16_t *port, const char *congestion) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof name;
    const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    limit_must(descriptor >= 0, "socket");
    prepare(descriptor, congestion); /* accepted ones inherit it */
    limit_must(bind(descriptor, (struct sockaddr *)&name, sizeof name) == 0 && listen(descriptor, 64) == 0 &&
                   getsockname(descriptor, (struct sockaddr *)&name, &bytes) == 0,
               "a port");
    *port = ntohs(name.sin_port);
    return descriptor;
}

int limit_accept(int listening) {
    const int on = 1, descriptor = accept(listening, NULL, NULL);
    limit_must(descriptor >= 0 && setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "accept");
    return descriptor;
}

int limit_connect(uint16_t port, const char *congestion) {
    const struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    limit_must(descriptor >= 0, "socket");
    prepare(descriptor, congestion);
    limit_must(connect(descriptor, (const struct sockaddr *)&name, sizeof name) == 0, "connect");
    return descriptor;
}

const char *limit_congestion_default(void) {
    static const char *const preferred[] = {"cubic", "reno"};
    for (size_t i = 0; i < 2; i++) {
        const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
        const int given = descriptor >= 0 && setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, preferred[i],
                                                        (socklen_t)strlen(preferred[i])) == 0;
        if (descriptor >= 0)
            close(descriptor);
        if (given)
            return preferred[i];
    }
    return "";
}

/* ---- rounds ---- */

static void do_rounds(limit_round *round, void *user, size_t count, uint64_t rounds) {
    for (uint64_t r = 0; r < rounds; r++) {
        double figures[LIMIT_FIGURES] = {0};
        round(user, figures);
        for (size_t i = 0; i < count; i++)
            printf("%s%.0f", i == 0 ? "" : " ", figures[i]);
        putchar('\n');
    }
    fflush(stdout);
}

static void do_by_itself(limit_round *round, void *user, const char *const *names, size_t count, uint64_t rounds) {
    static double values[LIMIT_FIGURES][LIMIT_ROUNDS];
    for (uint64_t r = 0; r < rounds; r++) {
        double figures[LIMIT_FIGURES] = {0};
        round(user, figures);
        for (size_t i = 0; i < count; i++)
            values[i][r] = figures[i];
    }
    for (size_t i = 0; i < count; i++)
        printf("%-16s %12.3f ms\n", names[i], 1e-6 * limit_median(values[i], rounds));
}

void limit_serve(limit_round *round, void *user, const char *const *names, size_t count, uint64_t rounds) {
    char line[64];
    fflush(stdout);
    if (rounds > 0) {
        do_by_itself(round, user, names, count, rounds);
        return;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        const unsigned long asked = strtoul(line, NULL, 10);
        if (asked == 0 || asked > LIMIT_ROUNDS)
            limit_fail("rounds: 1 to %d, not %s", LIMIT_ROUNDS, line);
        do_rounds(round, user, count, asked);
    }
}
