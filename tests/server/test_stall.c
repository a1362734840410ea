/* A frame that stands unfinished for half a minute ends its connection; an idle connection lives on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/server/fixture.h"

static void test_unfinished_frame_has_a_deadline(void **state) {
    (void)state;
    struct process *process = process_start(false, NULL, 0);
    struct peer idle, peer;
    peer_open(&idle, process, 0, NULL);
    peer_open(&peer, process, 0, NULL);
    uint64_t before = now_ms();
    assert_true(peer_write(&peer, "CNYN\1", 5));
    sleep_ms(20000); /* longer than the patience of one expectation */
    peer_expect_error(&peer, 0, CANYON_TIMEOUT, "30 seconds");
    peer_expect_end(&peer, PATIENCE_MS);
    assert_in_range(now_ms() - before, 29000, 45000);
    peer_check(&idle);
    peer_close(&peer);
    peer_close(&idle);
    process_stop(process);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_unfinished_frame_has_a_deadline, fixture_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
