#define _GNU_SOURCE
#include "tests/bench/suite/iperf.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/measure.h"

#define ATTEMPTS 40 /* while its server begins */

struct iperf {
    const struct plan *plan;
    pid_t server;
    uint16_t port;
};

static bool installed(void) {
    const int status = system("command -v iperf3 >/dev/null 2>&1");
    return status == 0;
}

struct iperf *iperf_create(const struct plan *plan) {
    char port[16];
    struct iperf *iperf = NULL;
    if (!installed())
        return NULL;
    iperf = calloc(1, sizeof *iperf);
    bench_must(iperf != NULL, "memory");
    iperf->plan = plan;
    close(served_listen(&iperf->port)); /* a free one; it cannot inherit a socket */
    snprintf(port, sizeof port, "%u", iperf->port);
    iperf->server = fork();
    bench_must(iperf->server >= 0, "fork");
    if (iperf->server == 0) {
        const int nothing = open("/dev/null", O_RDWR);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(nothing, STDIN_FILENO);
        dup2(nothing, STDOUT_FILENO);
        dup2(nothing, STDERR_FILENO);
        execlp("iperf3", "iperf3", "-s", "-B", "127.0.0.1", "-p", port, (char *)NULL);
        _exit(127);
    }
    return iperf;
}

void iperf_destroy(struct iperf *iperf) {
    if (iperf == NULL)
        return;
    kill(iperf->server, SIGTERM);
    waitpid(iperf->server, NULL, 0);
    free(iperf);
}

/* Bits a second received each way, added up; 0 when there was no answer. */
static double sum_of(const struct iperf *iperf) {
    char command[160];
    double there = 0, back = 0;
    const char *congestion = iperf->plan->congestion;
    snprintf(command, sizeof command, "exec iperf3 -c 127.0.0.1 -p %u --bidir -t 1 --json %s %s 2>/dev/null",
             iperf->port, congestion[0] != '\0' ? "-C" : "", congestion);
    FILE *answer = popen(command, "r");
    bench_must(answer != NULL, "iperf3");
    json_t *json = json_loadf(answer, 0, NULL);
    pclose(answer);
    if (json_unpack(json, "{s:{s:{s:F},s:{s:F}}}", "end", "sum_received", "bits_per_second", &there,
                    "sum_received_bidir_reverse", "bits_per_second", &back) != 0)
        there = back = 0;
    json_decref(json);
    return there > 0 && back > 0 ? there + back : 0;
}

void iperf_repeat(struct iperf *iperf, struct figures *figures) {
    double sum = 0;
    for (int attempt = 0; attempt < ATTEMPTS && sum <= 0; attempt++) {
        if (attempt > 0)
            measure_sleep(0.05);
        sum = sum_of(iperf);
    }
    if (sum <= 0)
        bench_fail("iperf3 does not answer as it should: leave the part iperf3 out with --only");
    const double half = sum / 2 / 8e9, echo_ms = figures_last(figures, "dense_1.echo_ms");
    figures_add(figures, "iperf3.half_gbps", half);
    if (echo_ms > 0)
        figures_add(figures, "iperf3.echo_ratio", (double)iperf->plan->bytes / (1e6 * echo_ms) / half);
}
