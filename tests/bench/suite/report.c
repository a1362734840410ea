#include "tests/bench/suite/report.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/measure.h"
#include "tests/bench/suite/machine.h"

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
    {"iperf3.echo_ratio", 0.90, true},
    {"sparse_1.roofline_ratio", 0.95, true},
    {"sparse_2.roofline_ratio", 0.95, true},
    {"sparse.bytes_per_row", 24.0, false},
    {"sparse.bytes_ratio", 1.05, false},
    {"sparse.growth_p999_ratio", 5.0, false},
};

void report_skip(struct report_skips *skips, const char *what, const char *why) {
    assert(skips->count < sizeof skips->what / sizeof skips->what[0]);
    skips->what[skips->count] = what;
    skips->why[skips->count++] = why;
}

json_t *report_json(const struct plan *plan, const struct figures *figures, json_t *limits,
                    const struct report_skips *skips) {
    json_t *skipped = json_object();
    json_t *report = json_pack("{s:s,s:o,s:s,s:s,s:I,s:I,s:I,s:I,s:o,s:o}", "date", machine_date(), "machine",
                               machine_json(), "congestion", plan->congestion[0] != '\0' ? plan->congestion : "system",
                               "cipher", served_channel_name(plan->cipher), "bytes", (json_int_t)plan->bytes, "block",
                               (json_int_t)plan->block, "rounds", (json_int_t)plan->rounds, "rows",
                               (json_int_t)plan->rows, "limits", limits, "skipped", skipped);
    bench_must(report != NULL, "memory");
    for (size_t i = 0; i < skips->count; i++)
        bench_must(json_object_set_new(skipped, skips->what[i], json_string(skips->why[i])) == 0, "memory");
    figures_json(figures, report);
    return report;
}

void report_write(const json_t *report, const char *path) {
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    bench_must(file != NULL && json_dumpf(report, file, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) == 0 &&
                   fputc('\n', file) >= 0 && (file == stdout ? fflush(file) : fclose(file)) == 0,
               path);
}

void report_print(const char *what, const struct plan *plan, const struct figures *figures,
                  const struct report_skips *skips) {
    struct table *table = figures_table(figures, goals, sizeof goals / sizeof goals[0]);
    printf("%s\npush_pull of %s, adam, blocks of %u elements; %s on both ends; medians of %llu rounds\n\n",
           machine_text(), what, (unsigned)plan->block,
           plan->congestion[0] != '\0' ? plan->congestion : "the host's congestion control",
           (unsigned long long)plan->rounds);
    bench_must(table_print(table, stdout), "printing");
    for (size_t i = 0; i < skips->count; i++)
        printf("%sskipped: %s: %s\n", i == 0 ? "\n" : "", skips->what[i], skips->why[i]);
    fflush(stdout);
    table_destroy(table);
}
