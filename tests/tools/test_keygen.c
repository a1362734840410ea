/* `canyon keygen`, and the calls of the library behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <sys/stat.h>

#include "canyon.h"
#include "tests/tools/run.h"

#define PROGRAM CANYON_BINARY_DIR "/bin/canyon"

static char directory[64], home[96];
static struct run result;

/* Runs canyon with these words, split at blanks. */
static void canyon(int code, const char *words) {
    char copy[1024], program[] = PROGRAM, *argv[32] = {program}, *place = NULL;
    size_t argc = 1;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok_r(copy, " ", &place); word != NULL; word = strtok_r(NULL, " ", &place)) {
        argv[argc++] = word;
    }
    run_program(&result, argv, -1);
    if (result.code != code) {
        fail_msg("canyon %s: exit code %d instead of %d\n%s%s", words, result.code, code, result.out, result.err);
    }
    /* Whatever happens, a secret key is in its file alone. */
    assert_null(strstr(result.out, "cns1"));
    assert_null(strstr(result.err, "cns1"));
}

static void expect_in(const char *text, const char *part) {
    if (strstr(text, part) == NULL) {
        fail_msg("'%s' is not in:\n%s", part, text);
    }
}

/* Removes the directory's files; each test begins with an environment in which nothing is there. */
static int clean(void **state) {
    (void)state;
    static const char *const files[] = {"key", "server.key", "other.key", "sub/deep/key", "sub/deep", "sub"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s/%s", home, files[i]);
        remove(path);
    }
    rmdir(home);
    return 0;
}

static int set_up(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/canyon-keygen-XXXXXX");
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    snprintf(home, sizeof home, "%s/home", directory);
    return setenv("CANYON_HOME", home, 1);
}

static int tear_down(void **state) {
    clean(state);
    return rmdir(directory);
}

static mode_t mode_of(const char *name) {
    struct stat file;
    char path[160];
    snprintf(path, sizeof path, "%s/%s", home, name);
    if (lstat(path, &file) != 0) {
        fail_msg("%s is not there", path);
    }
    return file.st_mode & 07777;
}

static const char *member(json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL) {
        fail_msg("there is no %s in %s", key, result.out);
    }
    return text;
}

static json_t *printed_json(void) {
    json_error_t error;
    json_t *value = json_loads(result.out, 0, &error);
    if (value == NULL) {
        fail_msg("%s: %s", error.text, result.out);
    }
    return value;
}

static void makes_and_shows(void **state) {
    (void)state;
    char line[256], text[CANYON_KEY_TEXT_BYTES];
    /* The mask of a careless user takes nothing from the file's privacy, a strange one nothing from its owner. */
    mode_t mask = umask(0);
    canyon(0, "keygen --name trainer-07");
    umask(mask);
    assert_string_equal(result.err, "");
    assert_int_equal(mode_of("key"), 0600);
    assert_int_equal(mode_of("."), 0700);
    assert_int_equal(canyon_key_show(NULL, text), CANYON_OK);
    assert_int_equal(strlen(text), CANYON_KEY_TEXT_BYTES - 1);
    assert_int_equal(strncmp(text, "cnp1", 4), 0);
    snprintf(line, sizeof line, "\nworker trainer-07 %s\n", text);
    expect_in(result.out, line);
    expect_in(result.out, "format canyon-allow-1");
    canyon(0, "keygen --show");
    snprintf(line, sizeof line, "%s\n", text);
    assert_string_equal(result.out, line);
    snprintf(line, sizeof line, "keygen --show %s/key", home);
    canyon(0, line);
    expect_in(result.out, text);
}

static void keys_differ(void **state) {
    (void)state;
    char one[CANYON_KEY_TEXT_BYTES], two[CANYON_KEY_TEXT_BYTES];
    canyon(0, "keygen");
    canyon(0, "keygen --server --name 10.0.0.1:7077");
    assert_int_equal(canyon_key_show(NULL, one), CANYON_OK);
    expect_in(result.out, "\nserver 10.0.0.1:7077 cnp1");
    expect_in(result.out, "known_servers");
    expect_in(result.out, "format canyon-known-servers-1");
    canyon(0, "keygen --server --show");
    result.out[strcspn(result.out, "\n")] = '\0';
    snprintf(two, sizeof two, "%s", result.out);
    assert_string_not_equal(one, two);
    assert_int_equal(mode_of("server.key"), 0600);
}

static void prints_json(void **state) {
    (void)state;
    char text[160];
    canyon(0, "keygen --json --role admin --name alice");
    json_t *made = printed_json();
    snprintf(text, sizeof text, "%s/key", home);
    assert_string_equal(member(made, "file"), text);
    assert_true(json_is_true(json_object_get(made, "made")));
    snprintf(text, sizeof text, "admin alice %s", member(made, "public_key"));
    assert_string_equal(member(made, "line"), text);
    canyon(0, "--json keygen --show");
    json_t *shown = printed_json();
    assert_false(json_is_true(json_object_get(shown, "made")));
    assert_string_equal(member(shown, "public_key"), member(made, "public_key"));
    json_decref(shown);
    json_decref(made);
    canyon(0, "keygen --server --json --name trainer");
    made = printed_json();
    expect_in(member(made, "line"), "server trainer:* cnp1");
    json_decref(made);
}

static void never_overwrites(void **state) {
    (void)state;
    char before[CANYON_KEY_TEXT_BYTES], after[CANYON_KEY_TEXT_BYTES], words[256];
    canyon(0, "keygen");
    assert_int_equal(canyon_key_show(NULL, before), CANYON_OK);
    canyon(1, "keygen");
    expect_in(result.err, "never overwritten");
    expect_in(result.err, home);
    snprintf(words, sizeof words, "keygen --output %s/key", home);
    canyon(1, words);
    assert_int_equal(canyon_key_generate(NULL, after), CANYON_CONFLICT);
    assert_int_equal(canyon_key_show(NULL, after), CANYON_OK);
    assert_string_equal(before, after);
}

static void makes_directories(void **state) {
    (void)state;
    char words[256];
    snprintf(words, sizeof words, "keygen -o %s/sub/deep/key", home);
    canyon(0, words);
    assert_int_equal(mode_of("sub"), 0700);
    assert_int_equal(mode_of("sub/deep"), 0700);
    assert_int_equal(mode_of("sub/deep/key"), 0600);
    /* A file is no directory. */
    snprintf(words, sizeof words, "keygen -o %s/sub/deep/key/key", home);
    canyon(1, words);
    expect_in(result.err, "cannot be made");
}

static void refuses_what_makes_no_sense(void **state) {
    (void)state;
    static const struct {
        const char *words, *said;
    } cases[] = {
        {"keygen there", "--output"}, {"keygen --show --output there", "--show"}, {"keygen --role king", "king"},
        {"keygen --name a#b", "a#b"}, {"keygen --name -x", "letter or digit"},    {"keygen --server --name a,b", "a,b"},
        {"keygen one two", "two"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        canyon(2, cases[i].words);
        expect_in(result.err, cases[i].said);
    }
    struct stat file;
    assert_int_not_equal(stat(home, &file), 0); /* nothing was tried */
}

static void says_what_is_wrong_with_a_file(void **state) {
    (void)state;
    char path[160], text[CANYON_KEY_TEXT_BYTES];
    canyon(1, "keygen --show");
    expect_in(result.err, "no such file");
    canyon(0, "keygen");
    snprintf(path, sizeof path, "%s/key", home);
    assert_int_equal(chmod(path, 0640), 0);
    canyon(1, "keygen --show");
    expect_in(result.err, "chmod 600");
    assert_int_equal(canyon_key_show(path, text), CANYON_INVALID_ARGUMENT);
    expect_in(canyon_error_text(), "0640");
}

static void help_teaches(void **state) {
    (void)state;
    canyon(0, "keygen --help");
    expect_in(result.out, "known_servers");
    expect_in(result.out, "CANYON_HOME");
    expect_in(result.out, "Exit codes");
    canyon(0, "help");
    expect_in(result.out, "keygen");
    /* What is printed fits a terminal. */
    canyon(0, "help keygen");
    for (const char *line = result.out; *line != '\0'; line += strcspn(line, "\n") + 1) {
        assert_true(strcspn(line, "\n") <= 88);
    }
}

static void library_checks_its_arguments(void **state) {
    (void)state;
    char text[CANYON_KEY_TEXT_BYTES], path[256], small[8];
    assert_int_equal(canyon_key_generate(NULL, NULL), CANYON_INVALID_ARGUMENT);
    assert_int_equal(canyon_key_generate("", text), CANYON_INVALID_ARGUMENT);
    assert_int_equal(canyon_key_show("", text), CANYON_INVALID_ARGUMENT);
    assert_int_equal(canyon_key_show(NULL, text), CANYON_NOT_FOUND);
    assert_int_equal(canyon_home_file(NULL, path, sizeof path), CANYON_INVALID_ARGUMENT);
    assert_int_equal(canyon_home_file("../key", path, sizeof path), CANYON_INVALID_ARGUMENT);
    assert_int_equal(canyon_home_file("key", small, sizeof small), CANYON_TOO_LARGE);
    assert_int_equal(canyon_home_file("allow", path, sizeof path), CANYON_OK);
    expect_in(path, home);
    expect_in(path, "/allow");
    assert_int_equal(canyon_home_file("allow", path, strlen(path)), CANYON_TOO_LARGE);
    assert_int_equal(canyon_home_file("allow", path, strlen(path) + 1), CANYON_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(makes_and_shows, clean),
        cmocka_unit_test_teardown(keys_differ, clean),
        cmocka_unit_test_teardown(prints_json, clean),
        cmocka_unit_test_teardown(never_overwrites, clean),
        cmocka_unit_test_teardown(makes_directories, clean),
        cmocka_unit_test_teardown(refuses_what_makes_no_sense, clean),
        cmocka_unit_test_teardown(says_what_is_wrong_with_a_file, clean),
        cmocka_unit_test_teardown(help_teaches, clean),
        cmocka_unit_test_teardown(library_checks_its_arguments, clean),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
