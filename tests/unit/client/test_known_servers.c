/* The servers a client knows: which line is for which address, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/known_servers.h"
#include "common/key_list.h"
#include "common/limits.h"
#include "common/random.h"
#include "tests/unit/keys.h"

#define HEAD "format canyon-known-servers-1\n"

static struct known_servers *parse(const char *format) {
    char text[8192];
    struct error error = {.text = ""};
    struct known_servers *known = NULL;
    size_t length = test_fill(text, sizeof text, format);
    if (known_servers_parse(text, length, &known, &error) != CANYON_OK) {
        fail_msg("%s: %s", format, error.text);
    }
    return known;
}

/* number: of the test key; 0: nothing is found. */
static void expect(const struct known_servers *known, const char *address, uint32_t number) {
    const struct known_server *server = known_servers_find(known, address);
    if ((server == NULL) != (number == 0)) {
        fail_msg("%s is %s", address, server == NULL ? "not found" : "found");
    }
    if (server != NULL) {
        assert_memory_equal(server->key, test_key(number).public, KEY_BYTES);
    }
}

static void addresses(void **state) {
    (void)state;
    struct known_servers *known = parse(HEAD "server 10.0.0.5:7077 @\n"
                                             "server trainer:* @\n"
                                             "server trainer:7078 %\n"
                                             "server [::1]:7077 %\n"
                                             "server [2001:DB8:0::5]:* %\n"
                                             "server Big.Example.ORG:1 @\n");
    expect(known, "10.0.0.5:7077", 1);
    expect(known, "10.0.0.5:7078", 0);
    expect(known, "10.0.0.6:7077", 0);
    expect(known, "trainer:1", 1);
    expect(known, "trainer:7077", 1);
    expect(known, "trainer:7078", 2); /* the exact line wins */
    expect(known, "trainer:65535", 1);
    expect(known, "TRAINER:7078", 2);
    expect(known, "trainer.org:7077", 0);
    expect(known, "big.example.org:1", 1);
    expect(known, "big.example.org:2", 0);
    /* One address in several spellings. */
    expect(known, "[::1]:7077", 2);
    expect(known, "[0:0:0:0:0:0:0:1]:7077", 2);
    expect(known, "[::1]:7078", 0);
    expect(known, "[2001:db8::5]:9", 2);
    expect(known, "[2001:0db8:0000::0005]:9", 2);
    /* What is no address is no server's. */
    expect(known, "", 0);
    expect(known, "trainer", 0);
    expect(known, "trainer:*", 0);
    expect(known, ":7077", 0);
    expect(known, "trainer:99999", 0);
    known_servers_destroy(known);
    known = parse(HEAD);
    expect(known, "10.0.0.5:7077", 0);
    known_servers_destroy(known);
    known_servers_destroy(NULL);
}

static void ciphers(void **state) {
    (void)state;
    struct known_servers *known = parse(HEAD "server a:1 @\n"
                                             "server b:1 @ cipher=chacha20poly1305\n"
                                             "server c:1 @ cipher=aes256gcm\n");
    assert_int_equal(known_servers_find(known, "a:1")->cipher, CHANNEL_CHACHA20POLY1305);
    assert_int_equal(known_servers_find(known, "b:1")->cipher, CHANNEL_CHACHA20POLY1305);
    assert_int_equal(known_servers_find(known, "c:1")->cipher, CHANNEL_AES256GCM);
    known_servers_destroy(known);
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *line, *said;
    } cases[] = {
        {"worker a:1 @", "line 2: a line begins with \"server\", not with \"worker\""},
        {"server a @", "line 2: address \"a\" has no port"},
        {"server a: @", "line 2: address \"a:\""},
        {"server :1 @", "line 2: address \":1\""},
        {"server a:0 @", "line 2: address \"a:0\": no server has port 0"},
        {"server a:65536 @", "line 2: address \"a:65536\""},
        {"server a:** @", "line 2: address"},
        {"server *:1 @", "line 2: the host in \"*:1\" must be named in full"},
        {"server *:* @", "line 2: the host in \"*:*\" must be named in full"},
        {"server *.example.org:1 @", "must be named in full"},
        {"server :* @", "line 2: address"},
        {"server * @", "line 2: address"},
        {"server ::1:7077 @", "line 2: address \"::1:7077\""},
        {"server a:1,b:1 @", "line 2: address"},
        {"server a:1 @ cipher=aes", "line 2: cipher=aes: must be chacha20poly1305 or aes256gcm"},
        {"server a:1 @ cipher=AES256GCM", "must be chacha20poly1305 or aes256gcm"},
        {"server a:1 @ cipher=none", "must be chacha20poly1305 or aes256gcm"},
        {"server a:1 @ conns=4", "line 2: there is no option conns"},
        {"server a:1 @\nserver b:1 %\nserver A:1 %", "line 4: the address is on line 2 already"},
        {"server a:* @\nserver a:* @", "line 3: the address is on line 2 already"},
        {"server [::1]:7 @\n\nserver [0::1]:7 %", "line 4: the address is on line 2 already"},
        {"server a:1 !", "line 2: a secret key"},
        {"server a:1", "line 2: 2 words"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char format[512], text[1024];
        struct error error = {.text = ""};
        struct known_servers *known = NULL;
        snprintf(format, sizeof format, HEAD "%s\n", cases[i].line);
        size_t length = test_fill(text, sizeof text, format);
        if (known_servers_parse(text, length, &known, &error) != CANYON_INVALID_ARGUMENT ||
            strstr(error.text, cases[i].said) == NULL) {
            fail_msg("%s: '%s' is not in: %s", cases[i].line, cases[i].said, error.text);
        }
        assert_null(known);
        test_no_secret(error.text, test_key(1).secret_text);
        assert_int_equal(known_servers_parse(text, length, &known, NULL), CANYON_INVALID_ARGUMENT);
    }
    /* A list of the other kind. */
    static const char allow[] = "format canyon-allow-1\n";
    struct error error = {.text = ""};
    struct known_servers *known = NULL;
    assert_int_equal(known_servers_parse(allow, sizeof allow - 1, &known, &error), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "the format is canyon-allow-1, this program reads canyon-known-servers-1"));
}

static void longest_host(void **state) {
    (void)state;
    for (size_t length = 255; length < 300; length++) {
        char host[320], text[1024], address[340];
        struct known_servers *known = NULL;
        memset(host, 'h', length);
        host[length] = '\0';
        int bytes = snprintf(text, sizeof text, HEAD "server %s:* %s\n", host, test_key(1).text);
        enum canyon_status status = known_servers_parse(text, (size_t)bytes, &known, NULL);
        assert_true(status == CANYON_OK || (status == CANYON_INVALID_ARGUMENT && length > LIMIT_ADDRESS_BYTES - 9));
        snprintf(address, sizeof address, "%s:65535", host);
        if (known != NULL) {
            expect(known, address, 1);
        }
        known_servers_destroy(known);
    }
}

/* A job of as many servers as there can be, and then some. */
static void many_servers(void **state) {
    (void)state;
    char *text = malloc(KEY_LIST_BYTES), address[64];
    struct known_servers *known = NULL;
    struct test_key key = test_key(1);
    int length = snprintf(text, KEY_LIST_BYTES, HEAD);
    for (unsigned i = 0; i < 5000; i++) {
        length += snprintf(text + length, KEY_LIST_BYTES - (size_t)length, "server 10.%u.%u.1:%u %s\n", i / 200,
                           i * 7919u % 200, i % 3 + 1, key.text);
    }
    assert_int_equal(known_servers_parse(text, (size_t)length, &known, NULL), CANYON_OK);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(address, sizeof address, "10.%u.%u.1:%u", i / 200, i * 7919u % 200, i % 3 + 1);
        expect(known, address, 1);
        snprintf(address, sizeof address, "10.%u.%u.1:%u", i / 200, i * 7919u % 200, i % 3 + 4);
        expect(known, address, 0);
    }
    known_servers_destroy(known);
    free(text);
}

static void files(void **state) {
    (void)state;
    char path[] = "/tmp/canyon-known-XXXXXX", text[1024];
    struct error error = {.text = ""};
    struct known_servers *known = NULL;
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    size_t length = test_fill(text, sizeof text, HEAD "server a:1 @\n");
    assert_int_equal(write(descriptor, text, length), (ssize_t)length);
    assert_int_equal(fchmod(descriptor, 0644), 0);
    assert_int_equal(known_servers_read(path, &known, &error), CANYON_OK);
    expect(known, "a:1", 1);
    known_servers_destroy(known);
    known = NULL;
    length = test_fill(text, sizeof text, "server a:1 %\n");
    assert_int_equal(write(descriptor, text, length), (ssize_t)length);
    assert_int_equal(known_servers_read(path, &known, &error), CANYON_INVALID_ARGUMENT);
    assert_int_equal(strncmp(error.text, path, strlen(path)), 0);
    assert_non_null(strstr(error.text, ": line 3: the address is on line 2 already"));
    close(descriptor);
    unlink(path);
    assert_int_equal(known_servers_read(path, &known, &error), CANYON_NOT_FOUND);
    assert_non_null(strstr(error.text, path));
    assert_null(known);
}

/* The example that is installed is read, and its lines are for the addresses that its comments say. */
static void example(void **state) {
    (void)state;
    char text[8192] = "";
    struct error error = {.text = ""};
    struct known_servers *known = NULL;
    FILE *file = fopen(CANYON_SOURCE_DIR "/deploy/known_servers.example", "r");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    assert_true(length > 0 && length < sizeof text - 1);
    if (known_servers_parse(text, length, &known, &error) != CANYON_OK) {
        fail_msg("%s", error.text);
    }
    static const char *const good[] = {"10.0.0.5:7077", "parameters-1:1", "[2001:db8::7]:7077", "parameters-2:7077"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_non_null(known_servers_find(known, good[i]));
    }
    assert_null(known_servers_find(known, "10.0.0.5:7078"));
    assert_int_equal(known_servers_find(known, "parameters-1:1")->cipher, CHANNEL_CHACHA20POLY1305);
    assert_int_equal(known_servers_find(known, "parameters-2:7077")->cipher, CHANNEL_AES256GCM);
    known_servers_destroy(known);
}

static int set_up(void **state) {
    (void)state;
    return random_start(NULL) == CANYON_OK ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),    cmocka_unit_test(ciphers),      cmocka_unit_test(refused),
        cmocka_unit_test(longest_host), cmocka_unit_test(many_servers), cmocka_unit_test(files),
        cmocka_unit_test(example),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
