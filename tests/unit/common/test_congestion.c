/* Congestion control by name, on sockets of this machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "common/congestion.h"

static int new_socket(void) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    assert_true(descriptor >= 0);
    return descriptor;
}

static void name_of(int descriptor, char name[CONGESTION_NAME_BYTES]) {
    socklen_t length = CONGESTION_NAME_BYTES;
    memset(name, 0, CONGESTION_NAME_BYTES);
    assert_int_equal(getsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
}

static struct sockaddr_in address_of(const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(1)};
    assert_int_equal(inet_pton(AF_INET, text, &address.sin_addr), 1);
    return address;
}

/* What a socket has after `name` was applied for a peer at `text`. */
static void applied(const char *name, const char *text, char found[CONGESTION_NAME_BYTES]) {
    struct sockaddr_in peer = address_of(text);
    int descriptor = new_socket();
    congestion_set(descriptor, (const struct sockaddr *)&peer, name);
    name_of(descriptor, found);
    close(descriptor);
}

static void test_rules(void **state) {
    char system[CONGESTION_NAME_BYTES], found[CONGESTION_NAME_BYTES];
    int descriptor = new_socket();
    (void)state;
    name_of(descriptor, system);
    close(descriptor);
    applied("auto", "127.0.0.1", found);
    assert_true(strcmp(found, "cubic") == 0 || strcmp(found, "reno") == 0);
    applied("auto", "10.1.2.3", found);
    assert_string_equal(found, system);
    applied("system", "127.0.0.1", found);
    assert_string_equal(found, system);
}

/* Every kernel has reno. */
static void test_named(void **state) {
    char found[CONGESTION_NAME_BYTES];
    struct error error;
    (void)state;
    assert_int_equal(congestion_check("reno", &error), CANYON_OK);
    applied("reno", "127.0.0.1", found);
    assert_string_equal(found, "reno");
    applied("reno", "10.1.2.3", found);
    assert_string_equal(found, "reno");
    assert_int_equal(congestion_check("auto", &error), CANYON_OK);
    assert_int_equal(congestion_check("system", &error), CANYON_OK);
}

static void test_unknown(void **state) {
    static const char *const names[] = {"", "nonsense", "reno ", "a-name-that-is-longer-than-the-kernel-has"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct error error;
        assert_int_equal(congestion_check(names[i], &error), CANYON_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "reno"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
