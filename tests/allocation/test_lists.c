/* Keys' files and the lists of whom to trust, with every allocation failing once: nothing is read or written then, and
 * done again it is done. */
#include "tests/allocation/fail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/known_servers.h"
#include "common/random.h"
#include "server/allow.h"
#include "tests/unit/keys.h"

static char directory[] = "/tmp/canyon-allocation-XXXXXX", path[64];
static char list[8192], servers[8192];

static void expect_refused(enum canyon_status status, const struct error *error) {
    if (!fail_happened() || status != CANYON_NO_MEMORY || error->text[0] == '\0') {
        fail_msg("%s: %s (%s)", status_name(status), error->text, fail_place());
    }
}

static void put(const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void read_allow(size_t nth) {
    struct allow *allow = NULL;
    struct error error = {.text = ""};
    fail_begin(nth);
    fail_arm();
    enum canyon_status status = allow_read(path, &allow, &error);
    fail_disarm();
    if (status != CANYON_OK) {
        expect_refused(status, &error);
        assert_null(allow);
        assert_int_equal(allow_read(path, &allow, &error), CANYON_OK);
    } else if (fail_happened()) {
        fail_msg("nothing was refused: %s", fail_place());
    }
    assert_int_equal(allow_count(allow), 40);
    const struct allow_entry *entry = allow_find(allow, test_key(17).public);
    assert_true(entry != NULL && allow_tensor(entry, "layer1") && !allow_tensor(entry, "head"));
    allow_release(allow);
}

static void read_known_servers(size_t nth) {
    struct known_servers *known = NULL;
    struct error error = {.text = ""};
    fail_begin(nth);
    fail_arm();
    enum canyon_status status = known_servers_read(path, &known, &error);
    fail_disarm();
    if (status != CANYON_OK) {
        expect_refused(status, &error);
        assert_null(known);
        assert_int_equal(known_servers_read(path, &known, &error), CANYON_OK);
    } else if (fail_happened()) {
        fail_msg("nothing was refused: %s", fail_place());
    }
    assert_non_null(known_servers_find(known, "10.0.0.17:7077"));
    known_servers_destroy(known);
}

static void write_and_read_key(size_t nth) {
    struct test_key key = test_key(1);
    struct key_pair *pair = key_pair_from_secret(key.secret), *back = NULL;
    struct error error = {.text = ""};
    unlink(path);
    fail_begin(nth);
    fail_arm();
    enum canyon_status status = key_file_write(path, pair, &error);
    fail_disarm();
    if (status != CANYON_OK) {
        expect_refused(status, &error);
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_equal(key_file_write(path, pair, &error), CANYON_OK);
    }
    fail_arm();
    status = key_file_read(path, &back, &error);
    fail_disarm();
    if (status != CANYON_OK) {
        expect_refused(status, &error);
        assert_null(back);
        assert_int_equal(key_file_read(path, &back, &error), CANYON_OK);
    }
    assert_memory_equal(back->public, key.public, KEY_BYTES);
    key_pair_destroy(back);
    key_pair_destroy(pair);
}

static void each_allocation_fails_once(void **state) {
    (void)state;
    size_t used = (size_t)snprintf(list, sizeof list, "format canyon-allow-1\n");
    size_t filled = (size_t)snprintf(servers, sizeof servers, "format canyon-known-servers-1\n");
    for (uint32_t i = 0; i < 40; i++) {
        used += (size_t)snprintf(list + used, sizeof list - used,
                                 "worker w%u %s from=10.0.0.0/8,::1 tensors=a,layer*\n", i, test_key(i).text);
        filled += (size_t)snprintf(servers + filled, sizeof servers - filled, "server 10.0.0.%u:7077 %s\n", i,
                                   test_key(i).text);
    }
    assert_true(used < sizeof list && filled < sizeof servers);
    put(list);
    fail_each("allow-list", read_allow, 10000);
    put(servers);
    fail_each("known servers", read_known_servers, 10000);
    fail_each("key's file", write_and_read_key, 10000);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_fails_once)};
    if (random_start(NULL) != CANYON_OK || mkdtemp(directory) == NULL) {
        return 1;
    }
    snprintf(path, sizeof path, "%s/file", directory);
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(directory);
    return failures;
}
