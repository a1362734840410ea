/* Ten thousand peers that connect and say nothing: what they cost, and that others still get in. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/server/fixture.h"

#define CROWD     10000
#define LIMIT_KIB (16 * 1024)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static size_t descriptors_of(const struct process *process) {
    char path[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)process->pid);
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return 0; /* another user may not look */
    }
    while (readdir(directory) != NULL) {
        ++count;
    }
    closedir(directory);
    return count;
}

static bool may_open(size_t count) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return limit.rlim_cur >= count;
}

static void ten_thousand_silent_peers(void **state) {
    (void)state;
    static int crowd[CROWD];
    if (!may_open(17 * CROWD / 10)) {
        print_message("SKIPPED: fewer than %d open files are allowed; what %d idle peers cost was not measured\n",
                      17 * CROWD / 10, CROWD);
        skip();
    }
    fixture_encrypt(true);
    struct process *process = process_start(false, NULL, 0);
    struct sockaddr_in name = {
        .sin_family = AF_INET, .sin_port = htons(process->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct peer good, late;
    peer_open(&good, process, 0, NULL);
    size_t before = process_memory(process, "VmRSS"), own = descriptors_of(process);
    uint64_t begun = now_ms();
    for (size_t i = 0; i < CROWD; ++i) {
        crowd[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(crowd[i] >= 0);
        assert_int_equal(connect(crowd[i], (struct sockaddr *)&name, sizeof name), 0);
    }
    /* Nobody may be silent for longer than five seconds: on a machine that is slower than that, they are never all
     * there at once. */
    size_t here = 0;
    while (here < CROWD && now_ms() - begun < 5000) {
        here = descriptors_of(process) - own;
    }
    size_t after = process_memory(process, "VmRSS");
    print_message("%zu silent peers: %zu KiB, after %llu ms\n", here, after - before,
                  (unsigned long long)(now_ms() - begun));
    peer_open(&late, process, 0, NULL);
    peer_check(&late);
    peer_check(&good);
    if (SANITIZED) {
        print_message("SKIPPED: memory means nothing under a sanitizer\n");
    } else {
        assert_true(after - before <= LIMIT_KIB);
    }
    for (size_t i = 0; i < CROWD; ++i) {
        close(crowd[i]);
    }
    peer_close(&late);
    peer_close(&good);
    process_stop(process);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(ten_thousand_silent_peers, fixture_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
