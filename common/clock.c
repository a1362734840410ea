#include "common/clock.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

static uint64_t read_clock(clockid_t id) {
    struct timespec time;
    int failed = clock_gettime(id, &time);
    assert(!failed);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t clock_now(void) {
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_boot(void) {
    return read_clock(CLOCK_BOOTTIME);
}

uint64_t clock_cpu(void) {
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

char *clock_stamp(char *text, size_t bytes) {
    struct timespec now;
    struct tm parts;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0 || gmtime_r(&now.tv_sec, &parts) == NULL) {
        snprintf(text, bytes, "?");
        return text;
    }
    snprintf(text, bytes, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
             parts.tm_hour, parts.tm_min, parts.tm_sec, (int)(now.tv_nsec / 1000000));
    return text;
}
