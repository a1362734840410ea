/* Addresses: what is read, what is refused, and their one canonical text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses),
        cmocka_unit_test(bad_addresses),
        cmocka_unit_test(longest_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
