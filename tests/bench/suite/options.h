/* The command line of canyon-bench. */
#ifndef TESTS_BENCH_SUITE_OPTIONS_H
#define TESTS_BENCH_SUITE_OPTIONS_H

#include "client/tools/arguments.h"
#include "tests/bench/suite/plan.h"

struct options {
    struct plan plan;
    bool json;          /* print JSON instead of the table */
    bool sweep;         /* sizes and threads instead of the parts */
    const char *output; /* file for JSON; NULL for none */
    const char *plot;   /* file for the sweep's picture; NULL for none */
};

/* Fills in everything. Help and complaints are printed. Texts are argv's. */
enum arguments_verdict options_read(struct options *options, int argc, char **argv);

#endif
