/* The allow-list: what a line grants, and that anything wrong refuses the whole file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/key_list.h"
#include "common/random.h"
#include "server/allow.h"
#include "tests/unit/common/seed.h"
#include "tests/unit/keys.h"

#define HEAD "format canyon-allow-1\n"

static struct allow *parse(const char *format) {
    char text[8192];
    struct error error = {.text = ""};
    struct allow *allow = NULL;
    size_t length = test_fill(text, sizeof text, format);
    if (allow_parse(text, length, &allow, &error) != CANYON_OK) {
        fail_msg("%s: %s", format, error.text);
    }
    return allow;
}

static const struct allow_entry *first(const struct allow *allow) {
    const struct allow_entry *entry = allow_find(allow, test_key(1).public);
    assert_non_null(entry);
    return entry;
}

static bool comes_from(const struct allow_entry *entry, const char *text) {
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
        return allow_from(entry, (const struct sockaddr *)&four);
    }
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return allow_from(entry, (const struct sockaddr *)&six);
}

static void plain_lines(void **state) {
    (void)state;
    static const struct {
        const char *word;
        enum role role;
    } roles[] = {{"reader", ROLE_READER}, {"worker", ROLE_WORKER}, {"admin", ROLE_ADMIN}};
    for (size_t i = 0; i < 3; i++) {
        char text[256];
        snprintf(text, sizeof text, HEAD "%s trainer-07 @\n", roles[i].word);
        struct allow *allow = parse(text);
        const struct allow_entry *entry = first(allow);
        assert_int_equal(allow_count(allow), 1);
        assert_int_equal(entry->role, roles[i].role);
        assert_string_equal(entry->name, "trainer-07");
        assert_memory_equal(entry->key, test_key(1).public, KEY_BYTES);
        assert_int_equal(entry->line, 2);
        /* Without options there are no limits. */
        assert_int_equal(entry->connections, 0);
        assert_int_equal(entry->push_bytes, 0);
        assert_true(comes_from(entry, "1.2.3.4"));
        assert_true(comes_from(entry, "::1"));
        assert_true(allow_tensor(entry, "anything"));
        assert_string_equal(role_name(entry->role), roles[i].word);
        assert_null(allow_find(allow, test_key(2).public));
        allow_release(allow);
    }
    assert_string_equal(role_name(ROLE_NONE), "none");
}

/* Each role may do what the one before may: the numbers are compared. */
static void roles_are_in_order(void **state) {
    (void)state;
    assert_true(ROLE_NONE < ROLE_READER && ROLE_READER < ROLE_WORKER && ROLE_WORKER < ROLE_ADMIN);
}

static void empty_list(void **state) {
    (void)state;
    struct allow *allow = parse(HEAD);
    assert_int_equal(allow_count(allow), 0);
    assert_null(allow_find(allow, test_key(1).public));
    allow_release(allow);
    allow_release(NULL);
}

static void options(void **state) {
    (void)state;
    struct allow *allow = parse(HEAD "worker a @ tensors=embedding,layer*,x/y push_bytes=2G/s "
                                     "from=10.0.0.0/8,2001:db8::/32,192.0.2.1 conns=16\n"
                                     "reader b % tensors=*\n");
    const struct allow_entry *entry = first(allow);
    assert_int_equal(entry->connections, 16);
    assert_int_equal(entry->push_bytes, 2000000000);
    assert_true(comes_from(entry, "10.1.2.3"));
    assert_true(comes_from(entry, "::ffff:10.1.2.3"));
    assert_true(comes_from(entry, "2001:db8::5"));
    assert_true(comes_from(entry, "192.0.2.1"));
    assert_false(comes_from(entry, "192.0.2.2"));
    assert_false(comes_from(entry, "127.0.0.1"));
    assert_false(comes_from(entry, "::1"));
    static const char *const inside[] = {"embedding", "layer", "layer1", "layer/weight", "x/y"};
    static const char *const outside[] = {"", "embedding1", "embeddin", "laye", "Layer", "x", "x/y/z", "ayer", "*"};
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        assert_true(allow_tensor(entry, inside[i]));
    }
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        assert_false(allow_tensor(entry, outside[i]));
    }
    assert_true(allow_tensor(allow_find(allow, test_key(2).public), "anything"));
    allow_release(allow);
}

static void rates(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"1", 1},
        {"500/s", 500},
        {"64K", 64000},
        {"200M/s", 200000000},
        {"2G", 2000000000},
        {"3T/s", 3000000000000},
        {"64Ki", 65536},
        {"1Mi/s", 1048576},
        {"2Gi", 2147483648},
        {"1Ti/s", 1099511627776},
        {"18446744073709551615", UINT64_MAX},
        {"18446744073709551K", 18446744073709551000u},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, HEAD "worker a @ push_bytes=%s\n", cases[i].text);
        struct allow *allow = parse(text);
        assert_true(first(allow)->push_bytes == cases[i].bytes);
        allow_release(allow);
    }
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *line, *said;
    } cases[] = {
        {"king a @", "line 2: \"king\" is no role; the roles are reader, worker and admin"},
        {"none a @", "line 2: \"none\" is no role"},
        {"Worker a @", "line 2: \"Worker\" is no role"},
        {"server a:1 @", "line 2: \"server\" is no role"},
        {"worker -a @", "line 2: "},
        {"worker a,b @", "line 2: "},
        {"worker \xc3\xa4 @", "line 2: "},
        {"worker a @ role=admin",
         "line 2: there is no option role; the options are from, conns, push_bytes and tensors"},
        {"worker a @ Conns=1", "line 2: there is no option Conns"},
        {"worker a @ conns=0", "line 2: conns=0: must be a whole number from 1 to 1000000"},
        {"worker a @ conns=1000001", "conns=1000001: must be"},
        {"worker a @ conns=-1", "conns=-1: must be"},
        {"worker a @ conns=4x", "conns=4x: must be"},
        {"worker a @ conns=99999999999999999999999", "must be a whole number"},
        {"worker a @ conns=1 conns=1", "line 2: the option conns stands twice"},
        {"worker a @ push_bytes=0", "push_bytes=0: must be bytes a second"},
        {"worker a @ push_bytes=0G/s", "must be bytes a second"},
        {"worker a @ push_bytes=G", "must be bytes a second"},
        {"worker a @ push_bytes=/s", "must be bytes a second"},
        {"worker a @ push_bytes=1.5G", "must be bytes a second"},
        {"worker a @ push_bytes=1g", "must be bytes a second"},
        {"worker a @ push_bytes=1GB", "must be bytes a second"},
        {"worker a @ push_bytes=1G/m", "must be bytes a second"},
        {"worker a @ push_bytes=1G/s/s", "must be bytes a second"},
        {"worker a @ push_bytes=-1", "must be bytes a second"},
        {"worker a @ push_bytes=18446744073709551616", "must be bytes a second"},
        {"worker a @ push_bytes=18446744073709552K", "must be bytes a second"},
        {"worker a @ push_bytes=16777216Ti", "must be bytes a second"},
        {"worker a @ push_bytes=111111111111111111111111111111111111111", "must be bytes a second"},
        {"worker a @ from=10.0.0.0/33", "line 2: from=10.0.0.0/33: "},
        {"worker a @ from=10.0.0.1/8", "is 10.0.0.0/8 meant"},
        {"worker a @ from=10.0.0.0/8,", "a part of the list is empty"},
        {"worker a @ from=,10.0.0.0/8", "a part of the list is empty"},
        {"worker a @ from=10.0.0.1,,10.0.0.2", "a part of the list is empty"},
        {"worker a @ from=localhost", "\"localhost\" is not an IP address"},
        {"worker a @ tensors=,", "a part of the list is empty"},
        {"worker a @ tensors=a*b", "\"a*b\" is neither a tensor's name nor the beginning"},
        {"worker a @ tensors=**", "\"**\" is neither"},
        {"worker a @ tensors=/a", "\"/a\" is neither"},
        {"worker a @ tensors=a,b?", "\"b?\" is neither"},
        {"worker a @\nworker b @", "line 3: the key cnp1"},
        {"worker a @\nworker a %", "line 3: the name a is on line 2 already"},
        {"worker a %\n# x\nadmin a @", "line 4: the name a is on line 2 already"},
        {"worker a @\nking b %", "line 3: \"king\""},
        {"worker a !", "line 2: a secret key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char format[512], text[1024];
        struct error error = {.text = ""};
        struct allow *allow = NULL;
        snprintf(format, sizeof format, HEAD "%s\n", cases[i].line);
        size_t length = test_fill(text, sizeof text, format);
        if (allow_parse(text, length, &allow, &error) != CANYON_INVALID_ARGUMENT ||
            strstr(error.text, cases[i].said) == NULL) {
            fail_msg("%s: '%s' is not in: %s", cases[i].line, cases[i].said, error.text);
        }
        assert_null(allow);
        test_no_secret(error.text, test_key(1).secret_text);
        assert_int_equal(allow_parse(text, length, &allow, NULL), CANYON_INVALID_ARGUMENT);
    }
}

static void longest_names(void **state) {
    (void)state;
    char name[LIMIT_NAME_BYTES + 1], text[1024];
    for (size_t length = LIMIT_NAME_BYTES - 1; length <= LIMIT_NAME_BYTES; length++) {
        struct allow *allow = NULL;
        memset(name, 'n', length);
        name[length] = '\0';
        int bytes =
            snprintf(text, sizeof text, HEAD "worker %s %s tensors=%s*,%s\n", name, test_key(1).text, name, name);
        enum canyon_status status = allow_parse(text, (size_t)bytes, &allow, NULL);
        assert_int_equal(status, length < LIMIT_NAME_BYTES ? CANYON_OK : CANYON_INVALID_ARGUMENT);
        if (allow != NULL) {
            assert_string_equal(first(allow)->name, name);
            assert_true(allow_tensor(first(allow), name));
        }
        allow_release(allow);
    }
}

/* As many keys as the largest list can hold: each found with its own line, no other found, in whatever order they
 * stand. */
static void many_keys(void **state) {
    (void)state;
    enum { KEYS = 20000 };
    uint64_t seed = seed_begin("many_keys");
    uint8_t(*keys)[KEY_BYTES] = malloc(KEYS * sizeof *keys), other[KEY_BYTES];
    char *text = malloc(KEY_LIST_BYTES), key[KEY_TEXT_BYTES];
    struct allow *allow = NULL;
    struct error error = {.text = ""};
    int length = snprintf(text, KEY_LIST_BYTES, HEAD);
    for (int i = 0; i < KEYS; i++) {
        /* Half of them differ late, as a search by their beginnings would confuse them. */
        uint32_t last = (uint32_t)i + 2;
        for (size_t j = 0; j < KEY_BYTES - sizeof last; j++) {
            keys[i][j] = i % 2 == 0 ? 0 : (uint8_t)seed_next(&seed);
        }
        memcpy(keys[i] + KEY_BYTES - sizeof last, &last, sizeof last);
        length += snprintf(text + length, KEY_LIST_BYTES - (size_t)length, "worker w%d %s conns=%d\n", i,
                           key_text(keys[i], key), i + 1);
    }
    if (allow_parse(text, (size_t)length, &allow, &error) != CANYON_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(allow_count(allow), KEYS);
    for (int i = 0; i < KEYS; i++) {
        const struct allow_entry *entry = allow_find(allow, keys[i]);
        assert_non_null(entry);
        assert_int_equal(entry->connections, i + 1);
        assert_int_equal(entry->line, i + 2);
        memcpy(other, keys[i], KEY_BYTES);
        other[seed_below(&seed, KEY_BYTES)] ^= (uint8_t)(1 + seed_below(&seed, 255));
        entry = allow_find(allow, other);
        assert_true(entry == NULL || memcmp(entry->key, other, KEY_BYTES) == 0);
    }
    /* The last line doubled is found among all the others. */
    int twice = snprintf(text + length, KEY_LIST_BYTES - (size_t)length, "worker again %s\n", key_text(keys[777], key));
    struct allow *none = NULL;
    assert_int_equal(allow_parse(text, (size_t)(length + twice), &none, &error), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "line 20002: the key cnp1"));
    assert_non_null(strstr(error.text, "is on line 779 already"));
    assert_null(none);
    allow_release(allow);
    free(text);
    free(keys);
}

static void *hold_and_release(void *user) {
    for (int i = 0; i < 20000; i++) {
        struct allow *held = allow_hold(user);
        assert(first(held)->role == ROLE_WORKER);
        allow_release(held);
    }
    allow_release(user);
    return NULL;
}

/* Whoever releases last frees: the sanitizers see both too early and never. */
static void references_of_many_threads(void **state) {
    (void)state;
    pthread_t threads[4];
    struct allow *allow = parse(HEAD "worker a @\n");
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hold_and_release, allow_hold(allow)), 0);
    }
    allow_release(allow);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void files(void **state) {
    (void)state;
    char path[] = "/tmp/canyon-allow-XXXXXX", text[1024];
    struct error error = {.text = ""};
    struct allow *allow = NULL;
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    size_t length = test_fill(text, sizeof text, HEAD "worker a @\nadmin b %\n");
    assert_int_equal(write(descriptor, text, length), (ssize_t)length);
    assert_int_equal(allow_read(path, &allow, &error), CANYON_OK);
    assert_int_equal(allow_count(allow), 2);
    allow_release(allow);
    allow = NULL;
    /* One fault refuses all of it, and the text tells where it is. */
    length = test_fill(text, sizeof text, "reader a @\n");
    assert_int_equal(write(descriptor, text, length), (ssize_t)length);
    assert_int_equal(allow_read(path, &allow, &error), CANYON_INVALID_ARGUMENT);
    assert_int_equal(strncmp(error.text, path, strlen(path)), 0);
    assert_non_null(strstr(error.text, ": line 4: the "));
    assert_int_equal(fchmod(descriptor, 0664), 0);
    assert_int_equal(allow_read(path, &allow, &error), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "chmod go-w"));
    close(descriptor);
    unlink(path);
    assert_int_equal(allow_read(path, &allow, &error), CANYON_NOT_FOUND);
    assert_null(allow);
}

/* The example that is installed: it is read, has a line of every role and every option there is, and grants what its
 * comments say. */
static void example(void **state) {
    (void)state;
    static const char path[] = CANYON_SOURCE_DIR "/deploy/allow.example";
    static const char *const parts[] = {
        "\nreader  ", "\nworker  ", "\nadmin ", " conns=", " from=", " tensors=", " push_bytes="};
    char text[8192] = "", copy[] = "/tmp/canyon-allow-XXXXXX";
    struct error error = {.text = ""};
    struct allow *allow = NULL;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    assert_true(length > 0 && length < sizeof text - 1);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strstr(text, parts[i]) == NULL) {
            fail_msg("the example has no line with \"%s\"", parts[i]);
        }
    }
    /* A copy, since who checks a source out may have let the group write. */
    int descriptor = mkstemp(copy);
    assert_int_equal(write(descriptor, text, length), (ssize_t)length);
    close(descriptor);
    if (allow_read(copy, &allow, &error) != CANYON_OK) {
        fail_msg("%s", error.text);
    }
    unlink(copy);
    assert_int_equal(allow_count(allow), 4);
    uint8_t key[KEY_BYTES];
    char *at = strstr(strstr(text, "\nworker  trainer-08"), "cnp1"), *end = at + KEY_TEXT_BYTES - 1;
    *end = '\0';
    assert_int_equal(key_parse(at, key, NULL), CANYON_OK);
    const struct allow_entry *entry = allow_find(allow, key);
    assert_non_null(entry);
    assert_string_equal(entry->name, "trainer-08");
    assert_int_equal(entry->role, ROLE_WORKER);
    assert_int_equal(entry->connections, 16);
    assert_int_equal(entry->push_bytes, 2000000000);
    assert_true(comes_from(entry, "10.1.2.3") && comes_from(entry, "2001:db8::1") && !comes_from(entry, "127.0.0.1"));
    assert_true(allow_tensor(entry, "layer1") && !allow_tensor(entry, "head"));
    allow_release(allow);
}

static int set_up(void **state) {
    (void)state;
    return random_start(NULL) == CANYON_OK ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lines),
        cmocka_unit_test(roles_are_in_order),
        cmocka_unit_test(empty_list),
        cmocka_unit_test(options),
        cmocka_unit_test(rates),
        cmocka_unit_test(refused),
        cmocka_unit_test(longest_names),
        cmocka_unit_test(many_keys),
        cmocka_unit_test(references_of_many_threads),
        cmocka_unit_test(files),
        cmocka_unit_test(example),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
