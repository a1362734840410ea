/* Numbers as people read them. Every function writes a NUL-terminated text (cut to `bytes`) and returns it, so that
 * printf("%s", number_bytes(n, text, sizeof text)) is one line; NUMBER_BYTES is always room enough. */
#ifndef CANYON_TOOLS_NUMBER_H
#define CANYON_TOOLS_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#define NUMBER_BYTES 32

/* Powers of 1024: "0 B", "512 B", "1.2 MiB". */
char *number_bytes(double amount, char *text, size_t bytes);

/* Powers of 1000: "7", "999", "34.5 k", "1.2 M". */
char *number_count(double amount, char *text, size_t bytes);

/* The same per second: "34.5 k/s". */
char *number_rate(double per_second, char *text, size_t bytes);

/* "850 ms", "12.3 s", "3m 04s", "2h 05m", "3d 04h". */
char *number_duration(double seconds, char *text, size_t bytes);

/* Short ones: "850 ns", "85.1 us", "3.20 ms", "1.25 s". */
char *number_latency(double nanoseconds, char *text, size_t bytes);

/* "0:12", "3:04", "2:05:09": for time left, whole seconds. */
char *number_clock(double seconds, char *text, size_t bytes);

/* Digits in groups: "1,234,567". */
char *number_grouped(uint64_t amount, char *text, size_t bytes);

/* The shortest decimal that reads back as the same double: "0.001", "1e-08". */
char *number_shortest(double value, char *text, size_t bytes);

#endif
