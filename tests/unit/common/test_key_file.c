/* A secret key's file: what is written, who may have it, and everything that is refused as one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/random.h"
#include "tests/unit/keys.h"

static char directory[64], path[96];

static int set_up(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/canyon-key-XXXXXX");
    if (mkdtemp(directory) == NULL || random_start(NULL) != CANYON_OK) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/key", directory);
    /* A file that hangs must not hang for long. */
    alarm(50);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return rmdir(directory);
}

static void put(const void *bytes, size_t count, mode_t mode) {
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, bytes, count), (ssize_t)count);
    assert_int_equal(fchmod(descriptor, mode), 0);
    close(descriptor);
}

static void put_text(const char *format) {
    char text[2048];
    put(text, test_fill(text, sizeof text, format), 0600);
}

static void expect_refused(const char *what, enum canyon_status expected, const char *said) {
    struct error error = {.text = ""};
    struct key_pair *pair = NULL;
    enum canyon_status status = key_file_read(path, &pair, &error);
    if (status != expected || strstr(error.text, said) == NULL) {
        fail_msg("%s: %s instead of %s, and '%s' is not in: %s", what, status_name(status), status_name(expected), said,
                 error.text);
    }
    assert_null(pair);
    assert_non_null(strstr(error.text, path));
    test_no_secret(error.text, test_key(1).secret_text);
}

static void expect_first_key(void) {
    struct error error = {.text = ""};
    struct key_pair *pair = NULL;
    if (key_file_read(path, &pair, &error) != CANYON_OK) {
        fail_msg("%s", error.text);
    }
    assert_memory_equal(pair->secret, test_key(1).secret, KEY_BYTES);
    assert_memory_equal(pair->public, test_key(1).public, KEY_BYTES);
    key_pair_destroy(pair);
}

static void comes_back(void **state) {
    (void)state;
    struct test_key key = test_key(1);
    struct key_pair *pair = key_pair_from_secret(key.secret);
    struct stat file;
    char text[KEY_FILE_BYTES + 1] = "";
    /* The strangest mask takes nothing from the owner. */
    mode_t mask = umask(0777);
    assert_int_equal(key_file_write(path, pair, NULL), CANYON_OK);
    umask(mask);
    key_pair_destroy(pair);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    expect_first_key();
    /* The public key stands in it as a comment, the secret one once. */
    FILE *stream = fopen(path, "r");
    assert_non_null(stream);
    assert_true(fread(text, 1, sizeof text - 1, stream) > 0);
    fclose(stream);
    assert_non_null(strstr(text, key.text));
    const char *secret = strstr(text, key.secret_text);
    assert_non_null(secret);
    assert_null(strstr(secret + 1, "cns1"));
    unlink(path);
}

static void forms_of_contents(void **state) {
    (void)state;
    static const char *const good[] = {
        "!",         "!\n",           "\n\n!\n\n", "# comment\n!\n# another\n", "!\r\n", "# comment\r\n\r\n!\r\n",
        "  !  \t\n", "\t# @\n \n!\n", "#!\n!\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        put_text(good[i]);
        expect_first_key();
    }
    static const struct {
        const char *text, *said;
    } bad[] = {
        {"", "no key in it"},
        {"\n# only comments\n", "no key in it"},
        {"@\n", "line 1: a public key"},
        {"\n!\n!\n", "second line (line 3)"},
        {"!\n@\n", "second line (line 2)"},
        {"! !\n", "line 1: the key is cut off or has something behind it"},
        {"key = !\n", "line 1: a secret key is expected"},
        {"-----BEGIN PRIVATE KEY-----\n", "line 1: a secret key is expected"},
        {"!a\n", "something behind it"},
        {"cns1\n", "cut off"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put_text(bad[i].text);
        expect_refused(bad[i].text, CANYON_INVALID_ARGUMENT, bad[i].said);
    }
    /* Cut off anywhere: as a power failure or a full disk leaves it. */
    char text[128];
    size_t length = test_fill(text, sizeof text, "!");
    for (size_t i = 0; i < length; i++) {
        put(text, i, 0600);
        expect_refused("cut off", CANYON_INVALID_ARGUMENT, i == 0 ? "no key in it" : i < 4 ? "expected" : "cut off");
    }
    text[20] ^= 1;
    put(text, length, 0600);
    expect_refused("mistyped", CANYON_INVALID_ARGUMENT, "line 1: the key has a typing error");
    put("# a\0b\n", 6, 0600);
    expect_refused("NUL", CANYON_INVALID_ARGUMENT, "NUL");
    unlink(path);
}

static void lengths(void **state) {
    (void)state;
    char text[KEY_FILE_BYTES + 1];
    char key[KEY_TEXT_BYTES];
    size_t length = test_fill(key, sizeof key, "!");
    memset(text, '\n', sizeof text);
    memcpy(text + KEY_FILE_BYTES - length, key, length); /* the last bytes that are allowed, without a newline */
    put(text, KEY_FILE_BYTES, 0600);
    expect_first_key();
    put(text, KEY_FILE_BYTES + 1, 0600);
    expect_refused("too long", CANYON_INVALID_ARGUMENT, "4001 bytes");
    assert_int_equal(truncate(path, 1ll << 40), 0);
    expect_refused("huge", CANYON_INVALID_ARGUMENT, "1099511627776 bytes");
    unlink(path);
}

static void modes(void **state) {
    (void)state;
    static const struct {
        mode_t mode;
        bool good;
    } cases[] = {{0600, true},  {0400, true},  {0644, false}, {0640, false},  {0604, false},  {0620, false},
                 {0602, false}, {0610, false}, {0601, false}, {0700, false},  {0777, false},  {0660, false},
                 {0666, false}, {0440, false}, {0444, false}, {04600, false}, {02600, false}, {01600, false}};
    char text[128];
    size_t length = test_fill(text, sizeof text, "!\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char mode[8];
        put(text, length, cases[i].mode);
        snprintf(mode, sizeof mode, "%04o", (unsigned)cases[i].mode);
        if (cases[i].good) {
            expect_first_key();
        } else {
            expect_refused(mode, CANYON_INVALID_ARGUMENT, mode);
            expect_refused(mode, CANYON_INVALID_ARGUMENT, "chmod 600");
        }
        unlink(path);
    }
}

static void kinds_of_files(void **state) {
    (void)state;
    char other[96];
    expect_refused("missing", CANYON_NOT_FOUND, "no such file");
    assert_int_equal(mkdir(path, 0700), 0);
    expect_refused("directory", CANYON_INVALID_ARGUMENT, "a directory, not a regular file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_refused("pipe", CANYON_INVALID_ARGUMENT, "not a regular file");
    unlink(path);
    /* A link is refused whatever it leads to; the file it leads to is good by its own name, and so is a link among the
     * directories. */
    snprintf(other, sizeof other, "%s/real", directory);
    put_text("!\n");
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink("real", path), 0);
    expect_refused("link", CANYON_INVALID_ARGUMENT, "symbolic link");
    unlink(path);
    assert_int_equal(symlink("nowhere", path), 0);
    expect_refused("link to nothing", CANYON_INVALID_ARGUMENT, "symbolic link");
    unlink(path);
    assert_int_equal(symlink(directory, path), 0);
    strcat(path, "/real");
    expect_first_key();
    path[strlen(path) - strlen("/real")] = '\0';
    unlink(path);
    unlink(other);
    assert_int_equal(symlink("/dev/zero", path), 0);
    expect_refused("link to a device", CANYON_INVALID_ARGUMENT, "symbolic link");
    unlink(path);
    char kept[sizeof path];
    memcpy(kept, path, sizeof path);
    memcpy(path, "/dev/zero", sizeof "/dev/zero");
    expect_refused("device", CANYON_INVALID_ARGUMENT, "not a regular file");
    memcpy(path, kept, sizeof path);
}

static void owners(void **state) {
    (void)state;
    if (geteuid() != 0) {
        puts("SKIPPED: only root can give a file to another user");
        skip();
    }
    put_text("!\n");
    assert_int_equal(chown(path, 12345, 0), 0);
    expect_refused("owner", CANYON_INVALID_ARGUMENT, "belongs to user 12345 and this program runs as user 0");
    /* Its owner may read it, and not what root or somebody else has. */
    assert_int_equal(chmod(directory, 0755), 0);
    assert_int_equal(seteuid(12345), 0);
    struct key_pair *pair = NULL;
    enum canyon_status own = key_file_read(path, &pair, NULL);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(own, CANYON_OK);
    key_pair_destroy(pair);
    assert_int_equal(chown(path, 54321, 0), 0);
    assert_int_equal(seteuid(12345), 0);
    struct error error = {.text = ""};
    enum canyon_status foreign = key_file_read(path, &pair, &error);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(foreign, CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "cannot be opened"));
    unlink(path);
}

static enum canyon_status write_first(const char *to, struct error *error) {
    struct key_pair *pair = key_pair_from_secret(test_key(1).secret);
    assert_non_null(pair);
    enum canyon_status status = key_file_write(to, pair, error);
    key_pair_destroy(pair);
    return status;
}

/* Whatever has the name already stays as it is. */
static void nothing_is_overwritten(void **state) {
    (void)state;
    struct error error;
    struct stat before, after;
    char target[96];
    put("", 0, 0600);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(write_first(path, &error), CANYON_CONFLICT);
    assert_non_null(strstr(error.text, path));
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_size, 0);
    assert_int_equal(before.st_ino, after.st_ino);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(write_first(path, NULL), CANYON_CONFLICT);
    rmdir(path);
    /* A link to nothing must not make something there. */
    snprintf(target, sizeof target, "%s/target", directory);
    assert_int_equal(symlink("target", path), 0);
    assert_int_equal(write_first(path, NULL), CANYON_CONFLICT);
    assert_int_not_equal(lstat(target, &after), 0);
    unlink(path);
}

static void directories_are_made(void **state) {
    (void)state;
    static const char *const parts[] = {"a", "a/b", "a/b/c"};
    char deep[160];
    struct stat made;
    mode_t mask = umask(0);
    snprintf(deep, sizeof deep, "%s/a//b/./c/key", directory);
    assert_int_equal(write_first(deep, NULL), CANYON_OK);
    /* What is there already keeps its mode. */
    snprintf(deep, sizeof deep, "%s/a", directory);
    assert_int_equal(chmod(deep, 0755), 0);
    snprintf(deep, sizeof deep, "%s/a/b/key", directory);
    assert_int_equal(write_first(deep, NULL), CANYON_OK);
    umask(mask);
    unlink(deep);
    snprintf(deep, sizeof deep, "%s/a/b/c/key", directory);
    assert_int_equal(unlink(deep), 0);
    for (size_t i = 3; i-- > 0;) {
        snprintf(deep, sizeof deep, "%s/%s", directory, parts[i]);
        assert_int_equal(stat(deep, &made), 0);
        assert_int_equal(made.st_mode & 0777, i == 0 ? 0755 : 0700);
        assert_int_equal(rmdir(deep), 0);
    }
}

static void a_name_without_directory(void **state) {
    (void)state;
    char before[1024];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(directory), 0);
    enum canyon_status status = write_first("key", NULL);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(status, CANYON_OK);
    expect_first_key();
    unlink(path);
}

static void what_cannot_be_written(void **state) {
    (void)state;
    struct error error;
    struct stat file;
    static const char *const places[] = {"/proc/canyon/key", "/dev/null/key", "/proc/key", ""};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        assert_int_equal(write_first(places[i], &error), CANYON_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "cannot be made"));
    }
    /* The disk is full after ten bytes: no half of a file is left. */
    struct rlimit limit, ten;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    ten = limit;
    ten.rlim_cur = 10;
    fflush(NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &ten), 0);
    enum canyon_status status = write_first(path, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, strerror(EFBIG)));
    assert_int_not_equal(lstat(path, &file), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back),
        cmocka_unit_test(forms_of_contents),
        cmocka_unit_test(lengths),
        cmocka_unit_test(modes),
        cmocka_unit_test(kinds_of_files),
        cmocka_unit_test(owners),
        cmocka_unit_test(nothing_is_overwritten),
        cmocka_unit_test(directories_are_made),
        cmocka_unit_test(a_name_without_directory),
        cmocka_unit_test(what_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
