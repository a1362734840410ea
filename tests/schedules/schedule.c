#include "tests/schedules/schedule.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/common/seed.h"

void *schedule_memory(void *memory) {
    if (memory == NULL) {
        fprintf(stderr, "canyon-schedules: no memory\n");
        abort();
    }
    return memory;
}

void schedule_init(struct schedule *schedule, uint64_t seed, bool verbose) {
    memset(schedule, 0, sizeof *schedule);
    schedule->seed = seed;
    schedule->random = seed;
    schedule->verbose = verbose;
    schedule->now = SECOND; /* not zero, which looks like nothing */
}

void schedule_finish(struct schedule *schedule) {
    free(schedule->heap);
    schedule->heap = NULL;
}

/* ---- the heap ---- */

static bool earlier(const struct schedule_entry *one, const struct schedule_entry *other) {
    return one->time != other->time ? one->time < other->time : one->order < other->order;
}

static void swap(struct schedule_entry *one, struct schedule_entry *other) {
    struct schedule_entry kept = *one;
    *one = *other;
    *other = kept;
}

void schedule_at(struct schedule *schedule, uint64_t time, schedule_event event, void *user, uint64_t argument) {
    if (schedule->count == schedule->room) {
        schedule->room = schedule->room == 0 ? 256 : schedule->room * 2;
        schedule->heap = schedule_memory(realloc(schedule->heap, schedule->room * sizeof *schedule->heap));
    }
    size_t at = schedule->count++;
    schedule->heap[at] = (struct schedule_entry){.time = time > schedule->now ? time : schedule->now,
                                                 .order = schedule->order++,
                                                 .event = event,
                                                 .user = user,
                                                 .argument = argument};
    while (at > 0 && earlier(&schedule->heap[at], &schedule->heap[(at - 1) / 2])) {
        swap(&schedule->heap[at], &schedule->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

bool schedule_step(struct schedule *schedule) {
    if (schedule->count == 0) {
        return false;
    }
    const struct schedule_entry entry = schedule->heap[0];
    schedule->heap[0] = schedule->heap[--schedule->count];
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < schedule->count; child++) {
            least = earlier(&schedule->heap[child], &schedule->heap[least]) ? child : least;
        }
        if (least == at) {
            break;
        }
        swap(&schedule->heap[at], &schedule->heap[least]);
        at = least;
    }
    schedule->now = entry.time;
    schedule->executed++;
    entry.event(entry.user, entry.argument);
    return true;
}

/* ---- chance ---- */

uint64_t schedule_below(struct schedule *schedule, uint64_t limit) {
    return seed_below(&schedule->random, limit);
}

uint64_t schedule_between(struct schedule *schedule, uint64_t low, uint64_t high) {
    return low + schedule_below(schedule, high - low + 1);
}

bool schedule_chance(struct schedule *schedule, unsigned permille) {
    return schedule_below(schedule, 1000) < permille;
}

void schedule_bytes(struct schedule *schedule, void *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ((uint8_t *)bytes)[i] = (uint8_t)seed_next(&schedule->random);
    }
}

/* ---- texts ---- */

void schedule_trace(struct schedule *schedule, const char *format, ...) {
    va_list arguments;
    if (!schedule->verbose) {
        return;
    }
    printf("%12.6f  ", (double)(schedule->now - SECOND) / (double)SECOND);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

void schedule_fail(struct schedule *schedule, const char *format, ...) {
    va_list arguments;
    char text[sizeof schedule->failure];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    schedule_trace(schedule, "FAILED: %s", text);
    if (!schedule->failed) {
        schedule->failed = true;
        memcpy(schedule->failure, text, sizeof text);
    }
}
