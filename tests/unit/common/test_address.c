/* Addresses: what is read, what is refused, and their one canonical text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/address.h"

static void good_addresses(void **state) {
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
        const char *canonical;
    } cases[] = {
        {"127.0.0.1:7077", "127.0.0.1", 7077, "127.0.0.1:7077"},
        {"localhost:0", "localhost", 0, "localhost:0"},
        {"host-1.example.org:65535", "host-1.example.org", 65535, "host-1.example.org:65535"},
        {"[::1]:1", "::1", 1, "[::1]:1"},
        {"[fe80::1%eth0]:7077", "fe80::1%eth0", 7077, "[fe80::1%eth0]:7077"},
        {"[127.0.0.1]:80", "127.0.0.1", 80, "127.0.0.1:80"},
        {"a:00080", "a", 80, "a:80"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address address;
        char text[LIMIT_ADDRESS_BYTES];
        assert_int_equal(address_parse(cases[i].text, &address, NULL), CANYON_OK);
        assert_string_equal(address.host, cases[i].host);
        assert_int_equal(address.port, cases[i].port);
        assert_string_equal(address_text(&address, text, sizeof text), cases[i].canonical);
    }
}

static void bad_addresses(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",          ":",          ":80",        "host",           "host:",
        "host:-1",   "host:65536", "host:8x",    "host: 80",       " host:80",
        "ho st:80",  "::1:80",     "[::1]",      "[::1]80",        "[::1:80",
        "[]:80",     "::1]:80",    "host:80:90", "a,b:80",         "host:0x50",
        "ho\nst:80", "host:80 ",   "[[::1]]:80", "http://host:80", "host:99999999999999999999",
        ";host:80",  "ho#st:80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct address address = {.host = "before", .port = 1};
        struct error error = {.status = CANYON_OK};
        if (address_parse(bad[i], &address, &error) != CANYON_INVALID_ARGUMENT) {
            fail_msg("\"%s\" is accepted", bad[i]);
        }
        assert_string_equal(address.host, "before");
        assert_non_null(strstr(error.text, "address"));
    }
}

static void longest_host(void **state) {
    (void)state;
    char text[400];
    struct address address;
    for (size_t length = 250; length < 390; length++) {
        memset(text, 'h', length);
        memcpy(text + length, ":65535", 7);
        char back[LIMIT_ADDRESS_BYTES];
        if (address_parse(text, &address, NULL) == CANYON_OK) {
            assert_string_equal(address_text(&address, back, sizeof back), text);
        } else {
            assert_true(length > LIMIT_ADDRESS_BYTES - 9);
        }
    }
}

static void check_loopback(const char *text, bool expected) {
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
        assert_int_equal(address_is_loopback((const struct sockaddr *)&four), expected);
        return;
    }
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    assert_int_equal(address_is_loopback((const struct sockaddr *)&six), expected);
}

static void this_machine_alone(void **state) {
    static const char *const own[] = {"127.0.0.1", "127.0.0.0",        "127.255.255.255",
                                      "::1",       "::ffff:127.0.0.1", "::ffff:127.9.9.9"};
    static const char *const others[] = {
        "0.0.0.0",           "126.255.255.255", "128.0.0.1", "10.0.0.1",    "::",     "::2",
        "::ffff:10.0.0.127", "::127.0.0.1",     "fe80::1",   "2001:db8::1", "7f00::1"};
    (void)state;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        check_loopback(own[i], true);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        check_loopback(others[i], false);
    const struct sockaddr local = {.sa_family = AF_UNIX};
    assert_false(address_is_loopback(&local));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses),
        cmocka_unit_test(bad_addresses),
        cmocka_unit_test(longest_host),
        cmocka_unit_test(this_machine_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
