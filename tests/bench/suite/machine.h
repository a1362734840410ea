/* What a run should say about the machine it ran on. */
#ifndef TESTS_BENCH_SUITE_MACHINE_H
#define TESTS_BENCH_SUITE_MACHINE_H

#include <jansson.h>
#include <stdint.h>

/* Processors, the CPU's name, memory, kernel, the host's congestion control and huge pages. Owned. */
json_t *machine_json(void);
/* One line of the same. Static memory. */
const char *machine_text(void);

/* Bytes of memory that new programs can have now. */
uint64_t machine_available(void);

/* "cubic", or else "reno", or else "": the system's own. Static memory. */
const char *machine_congestion(void);
/* Today and the time, as 2026-01-31T12:00:00Z. Static memory. */
const char *machine_date(void);

#endif
