/* Where the other end of a connection is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/lane_dial.h"

static void test_a_peer_is_near_or_far_or_gone(void **state) {
    (void)state;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    int listener = socket(AF_INET, SOCK_STREAM, 0), ours = socket(AF_INET, SOCK_STREAM, 0), pair[2];
    assert_int_equal(bind(listener, (const struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &length), 0);
    assert_int_equal(connect(ours, (const struct sockaddr *)&name, sizeof name), 0);
    int theirs = accept(listener, NULL, NULL);
    assert_true(theirs >= 0);
    assert_int_equal(dial_peer(ours), DIAL_NEAR);

    const struct linger at_once = {.l_onoff = 1}; /* a reset instead of an end */
    assert_int_equal(setsockopt(theirs, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(theirs);
    struct pollfd ended = {.fd = ours, .events = POLLIN};
    assert_int_equal(poll(&ended, 1, 5000), 1);
    assert_int_equal(dial_peer(ours), DIAL_GONE);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0); /* whatever is not an address of this machine */
    assert_int_equal(dial_peer(pair[0]), DIAL_FAR);
    close(pair[0]);
    close(pair[1]);
    close(ours);
    close(listener);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_peer_is_near_or_far_or_gone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
