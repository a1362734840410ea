#define _GNU_SOURCE /* memmem */
/* What somebody would find who gets hold of a server's memory, as a core dump would have it: every mapping but those
 * that are left out of dumps. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/server/fixture.h"
#include "tests/server/keys.h"

#define PIECE ((size_t)1 << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

/* How often `wanted` is in the memory from `start` to `end`. Pieces overlap, so that nothing is missed between them. */
static size_t count_in(int memory, uint64_t start, uint64_t end, const void *wanted, size_t bytes) {
    static uint8_t piece[PIECE];
    size_t count = 0;
    for (uint64_t at = start; at + bytes <= end; at += PIECE - bytes + 1) {
        size_t want = end - at < PIECE ? (size_t)(end - at) : PIECE;
        ssize_t got = pread(memory, piece, want, (off_t)at);
        const uint8_t *from = piece, *found;
        while (got > 0 && (found = memmem(from, (size_t)got - (size_t)(from - piece), wanted, bytes)) != NULL) {
            ++count;
            from = found + 1;
        }
    }
    return count;
}

struct found {
    size_t dumped, kept_out;    /* occurrences */
    size_t mappings, kept_maps; /* looked at; of them left out of dumps */
};

/* /proc/PID/smaps: a line for each mapping, then its properties; "dd" among the VmFlags leaves it out of dumps. */
static void search(const struct process *process, int memory, const void *wanted, size_t bytes, struct found *found) {
    char path[64], line[512], rights[8] = "";
    uint64_t start = 0, end = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)process->pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        char flags[8];
        uint64_t low, high;
        if (sscanf(line, "%lx-%lx %7s", &low, &high, flags) == 3) {
            start = low;
            end = high;
            memcpy(rights, flags, sizeof rights);
        } else if (strncmp(line, "VmFlags:", 8) == 0 && rights[0] == 'r') {
            bool left_out = strstr(line, " dd") != NULL;
            size_t count = count_in(memory, start, end, wanted, bytes);
            *(left_out ? &found->kept_out : &found->dumped) += count;
            found->mappings++;
            found->kept_maps += left_out;
        }
    }
    fclose(file);
}

static void no_secret_is_where_a_dump_would_have_it(void **state) {
    (void)state;
    char path[64], text[KEY_TEXT_BYTES];
    if (SANITIZED || geteuid() != 0) {
        print_message("SKIPPED: %s; no memory was searched for keys\n",
                      SANITIZED ? "a sanitizer's memory is too large" : "only root may look into the server's memory");
        skip();
    }
    fixture_encrypt(true);
    struct process *process = process_start(false, NULL, 0);
    struct peer peer, gone;
    peer_open(&peer, process, 0, NULL);
    peer_open(&gone, process, 0, NULL);
    peer_close(&gone);
    peer_check(&peer);
    snprintf(path, sizeof path, "/proc/%d/mem", (int)process->pid);
    int memory = open(path, O_RDONLY);
    assert_true(memory >= 0);
    struct found secret = {.dumped = 0}, clamped = {.dumped = 0}, public = {.dumped = 0}, written = {.dumped = 0};
    search(process, memory, key_of(KEY_SERVER)->secret, KEY_BYTES, &secret);
    /* As the arithmetic on the curve uses it (RFC 7748): all but its ends is the same. */
    search(process, memory, key_of(KEY_SERVER)->secret + 1, KEY_BYTES - 2, &clamped);
    search(process, memory, key_of(KEY_WORKER)->public, KEY_BYTES, &public);
    /* The file's text: its first characters after the prefix, which stand for key bytes. */
    FILE *file = fopen(keys_server_path(), "r");
    assert_non_null(file);
    while (fgets(text, sizeof text, file) != NULL && strncmp(text, "cns1", 4) != 0) {
        continue;
    }
    fclose(file);
    assert_int_equal(strncmp(text, "cns1", 4), 0);
    search(process, memory, text, 40, &written);
    close(memory);
    print_message(
        "%zu mappings, %zu of them left out of dumps; the secret key is in %zu places there, in %zu elsewhere\n",
        secret.mappings, secret.kept_maps, secret.kept_out, secret.dumped);
    assert_true(public.dumped > 0);   /* the search finds what is there: the allow-list */
    assert_true(secret.kept_out > 0); /* where it is in use */
    assert_int_equal(secret.dumped, 0);
    assert_int_equal(clamped.dumped, 0);
    assert_int_equal(written.dumped + written.kept_out, 0);
    peer_close(&peer);
    process_stop(process);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(no_secret_is_where_a_dump_would_have_it, fixture_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
