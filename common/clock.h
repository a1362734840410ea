/* Monotonic time; wall-clock time is for log lines only and decides nothing. */
#ifndef CANYON_COMMON_CLOCK_H
#define CANYON_COMMON_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds of CLOCK_MONOTONIC. Thread-safe. */
uint64_t clock_now(void);

/* The same of CLOCK_BOOTTIME, which goes on while the machine sleeps. */
uint64_t clock_boot(void);

/* CPU time of this process so far in nanoseconds. */
uint64_t clock_cpu(void);

/* "2026-01-31T12:00:00.123Z" of now into `text`; returns it. */
char *clock_stamp(char *text, size_t bytes);

#endif
