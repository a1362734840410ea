#define _GNU_SOURCE /* CPU_SET */

#include "server/affinity.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"

struct list {
    uint32_t count;
    uint16_t processors[LIMIT_THREADS];
};

static bool list_has(const struct list *list, unsigned long processor) {
    for (uint32_t i = 0; i < list->count; ++i) {
        if (list->processors[i] == processor) {
            return true;
        }
    }
    return false;
}

static bool list_add(struct list *list, unsigned long processor) {
    if (list->count == LIMIT_THREADS || processor >= CPU_SETSIZE || list_has(list, processor)) {
        return false;
    }
    list->processors[list->count++] = (uint16_t)processor;
    return true;
}

/* A number of at most four digits at *at, which moves behind it. */
static bool read_number(const char **at, unsigned long *number) {
    size_t digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > 4) {
        return false;
    }
    *number = strtoul(*at, NULL, 10);
    *at += digits;
    return true;
}

/* "0,2-5". */
static bool list_parse(const char *text, struct list *list) {
    list->count = 0;
    for (const char *at = text;; ++at) {
        unsigned long low, high;
        if (!read_number(&at, &low)) {
            return false;
        }
        high = low;
        if (*at == '-') {
            ++at;
            if (!read_number(&at, &high) || high < low) {
                return false;
            }
        }
        for (unsigned long processor = low; processor <= high; ++processor) {
            if (!list_add(list, processor)) {
                return false;
            }
        }
        if (*at == '\0') {
            return true;
        }
        if (*at != ',') {
            return false;
        }
    }
}

static bool is_automatic(const char *text) {
    return strcmp(text, "auto") == 0;
}

enum canyon_status affinity_check(const char *text, struct error *error) {
    struct list list;
    if (text[0] == '\0' || is_automatic(text) || (strlen(text) < AFFINITY_TEXT_BYTES && list_parse(text, &list))) {
        return CANYON_OK;
    }
    return error_set(error, CANYON_INVALID_ARGUMENT, "must be auto, or processors such as 0,2-5: each once, at most %d",
                     LIMIT_THREADS);
}

/* The number of the n-th processor of a set that has one at least, beginning anew behind the last. */
static int nth_of(const cpu_set_t *set, uint32_t n) {
    uint32_t left = n % (uint32_t)CPU_COUNT(set);
    size_t processor = 0;
    while (!CPU_ISSET(processor, set) || left-- > 0) {
        ++processor;
    }
    return (int)processor;
}

enum canyon_status affinity_processor(const char *text, uint32_t thread, uint32_t threads, int *processor,
                                      struct error *error) {
    struct list list = {.count = 0};
    cpu_set_t allowed;
    *processor = AFFINITY_NONE;
    if (text[0] == '\0') {
        return CANYON_OK;
    }
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return error_set(error, CANYON_CONFIGURATION, "pin: the system does not tell which processors there are: %s",
                         strerror(errno));
    }
    if (is_automatic(text)) {
        *processor = nth_of(&allowed, thread);
        return CANYON_OK;
    }
    if (!list_parse(text, &list) || list.count < threads) {
        return error_set(error, CANYON_CONFIGURATION,
                         "pin = %.80s names %u processors for %u threads: name one for each", text, list.count,
                         threads);
    }
    if (!CPU_ISSET(list.processors[thread], &allowed)) {
        return error_set(error, CANYON_CONFIGURATION, "pin = %.80s: this process may not use processor %u", text,
                         list.processors[thread]);
    }
    *processor = list.processors[thread];
    return CANYON_OK;
}

enum canyon_status affinity_bind(int processor, struct error *error) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)processor, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        return error_set(error, CANYON_UNAVAILABLE, "this thread cannot be bound to processor %d: %s", processor,
                         strerror(errno));
    }
    return CANYON_OK;
}
