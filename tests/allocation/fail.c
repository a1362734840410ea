#include "tests/allocation/fail.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_size_t counted, wanted;
static atomic_bool armed, happened;
static _Atomic(void *) place;

void fail_begin(size_t nth) {
    armed = false;
    happened = false;
    counted = 0;
    wanted = nth;
    place = NULL;
}

void fail_arm(void) {
    armed = true;
}

void fail_disarm(void) {
    armed = false;
}

bool fail_happened(void) {
    return happened;
}

size_t fail_count(void) {
    return counted;
}

const char *fail_place(void) {
    static char text[64];
    snprintf(text, sizeof text, "allocation %zu, asked for at %p", (size_t)wanted, (void *)place);
    return text;
}

void fail_each(const char *name, void (*scenario)(size_t nth), size_t most) {
    size_t nth = 0;
    do {
        nth++;
        if (nth > most) {
            fprintf(stderr, "%s: more than %zu allocations\n", name, most);
            abort();
        }
        scenario(nth);
    } while (fail_happened());
    printf("%s: each of %zu allocations failed once\n", name, nth - 1);
}

/* Counts one; true when it is the one. */
static bool fails(void *caller) {
    if (!armed || atomic_fetch_add(&counted, 1) + 1 != wanted) {
        return false;
    }
    place = caller;
    happened = true;
    return true;
}

/* ---- What the linker puts in place of the real ones ---- */

#define CALLER __builtin_return_address(0)

void *__real_malloc(size_t count);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t count);
void *__real_aligned_alloc(size_t alignment, size_t count);
int __real_posix_memalign(void **memory, size_t alignment, size_t count);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t most);
FILE *__real_open_memstream(char **text, size_t *count);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);

void *__wrap_malloc(size_t count);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t count);
void *__wrap_aligned_alloc(size_t alignment, size_t count);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t count);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);
FILE *__wrap_open_memstream(char **text, size_t *count);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);

static bool fails_with_errno(void *caller) {
    bool now = fails(caller);
    if (now) {
        errno = ENOMEM;
    }
    return now;
}

void *__wrap_malloc(size_t count) {
    return fails_with_errno(CALLER) ? NULL : __real_malloc(count);
}

void *__wrap_calloc(size_t count, size_t bytes) {
    return fails_with_errno(CALLER) ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *memory, size_t count) {
    return fails_with_errno(CALLER) ? NULL : __real_realloc(memory, count);
}

void *__wrap_aligned_alloc(size_t alignment, size_t count) {
    return fails_with_errno(CALLER) ? NULL : __real_aligned_alloc(alignment, count);
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t count) {
    return fails(CALLER) ? ENOMEM : __real_posix_memalign(memory, alignment, count);
}

char *__wrap_strdup(const char *text) {
    return fails_with_errno(CALLER) ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t most) {
    return fails_with_errno(CALLER) ? NULL : __real_strndup(text, most);
}

FILE *__wrap_open_memstream(char **text, size_t *count) {
    return fails_with_errno(CALLER) ? NULL : __real_open_memstream(text, count);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    return fails(CALLER) ? EAGAIN : __real_pthread_create(thread, attributes, run, argument);
}
