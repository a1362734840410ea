/* Which of three variables says where the files are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/home.h"

static void put(const char *name, const char *value) {
    assert_int_equal(value != NULL ? setenv(name, value, 1) : unsetenv(name), 0);
}

static void the_first_that_is_set_wins(void **state) {
    static const struct {
        const char *canyon, *configuration, *home, *path; /* NULL: unset; no path: refused */
    } cases[] = {
        {"/c", "/x", "/h", "/c/key"},
        {"relative", "/x", "/h", "relative/key"},
        {NULL, "/x", "/h", "/x/canyon/key"},
        {"", "/x", "/h", "/x/canyon/key"},
        {NULL, "relative", "/h", "/h/.config/canyon/key"},
        {NULL, "", "/h", "/h/.config/canyon/key"},
        {NULL, NULL, "/h", "/h/.config/canyon/key"},
        {NULL, NULL, "", NULL},
        {NULL, NULL, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[HOME_PATH_BYTES] = "";
        struct error error = {.text = ""};
        put("CANYON_HOME", cases[i].canyon);
        put("XDG_CONFIG_HOME", cases[i].configuration);
        put("HOME", cases[i].home);
        enum canyon_status status = home_file(HOME_CLIENT_KEY, path, &error);
        assert_int_equal(status, cases[i].path != NULL ? CANYON_OK : CANYON_CONFIGURATION);
        if (cases[i].path != NULL) {
            assert_string_equal(path, cases[i].path);
        } else {
            assert_non_null(strstr(error.text, "CANYON_HOME"));
        }
    }
}

static void a_path_is_cut_nowhere(void **state) {
    static char longest[HOME_PATH_BYTES];
    char path[HOME_PATH_BYTES];
    struct error error;
    (void)state;
    memset(longest, 'a', HOME_PATH_BYTES - sizeof "/key");
    put("CANYON_HOME", longest);
    assert_int_equal(home_file("key", path, &error), CANYON_OK);
    assert_int_equal(strlen(path), HOME_PATH_BYTES - 1);
    longest[HOME_PATH_BYTES - sizeof "/key"] = 'a';
    put("CANYON_HOME", longest);
    assert_int_equal(home_file("key", path, &error), CANYON_TOO_LARGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_that_is_set_wins),
        cmocka_unit_test(a_path_is_cut_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
