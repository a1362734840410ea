/* Networks: what is read as one, and which addresses are in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/un.h>

#include "server/network.h"
#include "tests/unit/common/seed.h"

static struct sockaddr_storage address_of(const char *text) {
    struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = 1};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = 1, .sin6_scope_id = 3};
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
        memcpy(&storage, &four, sizeof four);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
        memcpy(&storage, &six, sizeof six);
    }
    return storage;
}

static void members(void **state) {
    (void)state;
    static const struct {
        const char *network, *address;
        bool has;
    } cases[] = {
        {"10.0.0.0/8", "10.0.0.0", true},
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "9.255.255.255", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"10.0.0.0/8", "::10.1.2.3", false},
        {"10.0.0.0/8", "a00::", false},
        {"10.0.0.5", "10.0.0.5", true},
        {"10.0.0.5", "10.0.0.4", false},
        {"10.0.0.5/32", "::ffff:10.0.0.5", true},
        {"10.0.0.4/31", "10.0.0.5", true},
        {"10.0.0.4/31", "10.0.0.6", false},
        {"192.168.128.0/17", "192.168.255.1", true},
        {"192.168.128.0/17", "192.168.127.255", false},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"0.0.0.0/0", "::ffff:1.2.3.4", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"2001:db8::/32", "2001:db9::", false},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::1", "::1", true},
        {"::1", "127.0.0.1", false},
        {"::1/128", "::2", false},
        {"fe80::/10", "fe80::1", true}, /* whatever the interface */
        {"::/0", "ff02::1", true},
        {"::/0", "1.2.3.4", false},
        {"::/0", "::ffff:1.2.3.4", false},
        {"::ffff:10.0.0.0/104", "10.9.9.9", true},
        {"::ffff:10.0.0.0/104", "::ffff:10.9.9.9", true},
        {"::ffff:10.0.0.0/104", "11.0.0.0", false},
        {"::ffff:10.0.0.5", "10.0.0.5", true},
        {"::ffff:0:0/96", "1.2.3.4", true},
        {"::ffff:0:0/96", "::1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct network network;
        struct error error = {.text = ""};
        struct sockaddr_storage address = address_of(cases[i].address);
        if (network_parse(cases[i].network, &network, &error) != CANYON_OK) {
            fail_msg("%s: %s", cases[i].network, error.text);
        }
        if (network_has(&network, (const struct sockaddr *)&address) != cases[i].has) {
            fail_msg("%s %s %s", cases[i].network, cases[i].has ? "lacks" : "has", cases[i].address);
        }
    }
}

static void other_families(void **state) {
    (void)state;
    struct network network;
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    static const char *const all[] = {"0.0.0.0/0", "::/0"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(network_parse(all[i], &network, NULL), CANYON_OK);
        assert_false(network_has(&network, (const struct sockaddr *)&local));
        assert_false(network_has(&network, &none));
    }
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"", "not an IP address"},
        {"/8", "not an IP address"},
        {"10", "not an IP address"},
        {"10.0.0", "not an IP address"},
        {"10.0.0.256", "not an IP address"},
        {"10.0.0.0.0/8", "not an IP address"},
        {"host", "not an IP address"},
        {"*", "not an IP address"},
        {"[::1]", "not an IP address"},
        {"fe80::1%eth0", "not an IP address"},
        {"10.0.0.1:80", "not an IP address"},
        {"1:2:3:4:5:6:7:8:9", "not an IP address"},
        {"::1::", "not an IP address"},
        {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", "not an IP address"},
        {"10.0.0.0/", "not a number from 0 to 32"},
        {"10.0.0.0/33", "not a number from 0 to 32"},
        {"10.0.0.0/-1", "not a number from 0 to 32"},
        {"10.0.0.0/8/8", "not a number from 0 to 32"},
        {"10.0.0.0/255.0.0.0", "not a number from 0 to 32"},
        {"10.0.0.0/99999999999999999999", "not a number from 0 to 32"},
        {"::/129", "not a number from 0 to 128"},
        {"::/ 1", "not a number from 0 to 128"},
        {"10.0.0.1/8", "is 10.0.0.0/8 meant"},
        {"10.0.0.1/0", "is 0.0.0.0/0 meant"},
        {"10.0.0.5/31", "is 10.0.0.4/31 meant"},
        {"2001:db8::1/32", "is 2001:db8::/32 meant"},
        {"::ffff:10.0.0.1/104", "is ::ffff:10.0.0.0/104 meant"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct network network = {.bits = 7}, before = network;
        struct error error = {.text = ""};
        if (network_parse(cases[i].text, &network, &error) != CANYON_INVALID_ARGUMENT ||
            strstr(error.text, cases[i].said) == NULL) {
            fail_msg("%s: '%s' is not in: %s", cases[i].text, cases[i].said, error.text);
        }
        assert_memory_equal(&network, &before, sizeof before);
    }
}

/* Against a comparison of bit after bit. */
static void random_networks(void **state) {
    (void)state;
    uint64_t seed = seed_begin("random_networks");
    for (int round = 0; round < 20000; round++) {
        bool six = seed_below(&seed, 2) == 1;
        uint32_t width = six ? 128 : 32, bits = (uint32_t)seed_below(&seed, width + 1);
        uint8_t base[16] = {0}, probe[16];
        for (uint32_t bit = 0; bit < bits; bit++) {
            base[bit / 8] |= (uint8_t)((seed_next(&seed) & 1) << (7 - bit % 8));
        }
        base[0] |= bits > 0 ? 0x80 : 0; /* none that stands for an IPv4 address */
        memcpy(probe, base, sizeof probe);
        for (uint64_t flips = seed_below(&seed, 4); flips > 0; flips--) {
            uint64_t bit = seed_below(&seed, width);
            probe[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        }
        bool expected = true;
        for (uint32_t bit = 0; bit < bits; bit++) {
            expected = expected && ((probe[bit / 8] ^ base[bit / 8]) & 0x80 >> bit % 8) == 0;
        }
        char host[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];
        struct network network;
        struct sockaddr_in four = {.sin_family = AF_INET};
        struct sockaddr_in6 other = {.sin6_family = AF_INET6};
        memcpy(&four.sin_addr, probe, 4);
        memcpy(&other.sin6_addr, probe, 16);
        inet_ntop(six ? AF_INET6 : AF_INET, base, host, sizeof host);
        snprintf(text, sizeof text, "%s/%u", host, bits);
        assert_int_equal(network_parse(text, &network, NULL), CANYON_OK);
        const struct sockaddr *address = six ? (const struct sockaddr *)&other : (const struct sockaddr *)&four;
        if (network_has(&network, address) != expected) {
            fail_msg("%s is wrong about a probe of round %d", text, round);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members),
        cmocka_unit_test(other_families),
        cmocka_unit_test(refused),
        cmocka_unit_test(random_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
