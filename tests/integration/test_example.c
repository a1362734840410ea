/* The programs under client/examples run against real servers and succeed; each is given the servers' addresses. */
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/harness.h"
#include "tests/integration/process.h"

struct program {
    const char *path, *servers;
};

static int run_program(void *user) {
    const struct program *program = user;
    execl(program->path, program->path, program->servers, (char *)NULL);
    return 127;
}

static void examples_run(void **state) {
    (void)state;
    glob_t found;
    check(glob(CANYON_BINARY_DIR "/bin/example_*", 0, NULL, &found) == 0);
    check(found.gl_pathc > 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2});
        struct program program = {.path = found.gl_pathv[i], .servers = cluster_servers(cluster)};
        int code = process_wait(process_start(run_program, &program), PATIENCE_MS);
        if (code != 0)
            check_fail("%s ended with %d", program.path, code);
        cluster_stop(cluster);
    }
    /* Without a server it says so and fails; it does not hang. */
    char address[CLUSTER_ADDRESS_BYTES];
    int port = port_dead(address);
    struct program program = {.path = found.gl_pathv[0], .servers = address};
    int code = process_wait(process_start(run_program, &program), PATIENCE_MS);
    check(code > 0 && code < 126);
    close(port);
    globfree(&found);
}

int main(void) {
    const struct CMUnitTest tests[] = {integration_test(examples_run)};
    return cmocka_run_group_tests_name("example", tests, NULL, NULL);
}
