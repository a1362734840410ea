/* Lists of keys: the form of lines, the files they may stand in, and that one fault refuses the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/key_list.h"
#include "common/random.h"
#include "tests/unit/keys.h"

#define FORMAT "canyon-test-1"
#define HEAD   "format " FORMAT "\n"

/* What was taken, written down again in one canonical form. */
struct taken {
    char text[8192];
    size_t lines, stop_at; /* the line that is refused; 0 for none */
};

static enum canyon_status take(void *user, const struct key_list_line *line, struct error *error) {
    struct taken *taken = user;
    size_t length = strlen(taken->text);
    char text[KEY_TEXT_BYTES];
    taken->lines++;
    if (line->number == taken->stop_at) {
        return error_set(error, CANYON_MISMATCH, "the reader does not like %s", line->name);
    }
    const char *key = strcmp(key_text(line->key, text), test_key(1).text) == 0 ? "@" : "%";
    length += (size_t)snprintf(taken->text + length, sizeof taken->text - length, "%zu:%s:%s:%s", line->number,
                               line->kind, line->name, key);
    for (size_t i = 0; i < line->option_count && length < sizeof taken->text; i++) {
        length += (size_t)snprintf(taken->text + length, sizeof taken->text - length, ":%s=%s", line->options[i].key,
                                   line->options[i].value);
    }
    assert_true(length + 2 < sizeof taken->text);
    strcat(taken->text, ";");
    return CANYON_OK;
}

static void expect_good(const char *format, const char *expected) {
    char text[16384];
    struct error error = {.text = ""};
    struct taken taken = {.text = ""};
    size_t length = test_fill(text, sizeof text, format);
    /* In memory of exactly its size, without a NUL behind it. */
    char *exact = malloc(length);
    assert_true(length > 0 && exact != NULL);
    memcpy(exact, text, length);
    if (key_list_parse(exact, length, FORMAT, take, &taken, &error) != CANYON_OK) {
        fail_msg("%s: %s", format, error.text);
    }
    free(exact);
    assert_string_equal(taken.text, expected);
}

static void expect_bytes_refused(const char *text, size_t length, const char *what, const char *said) {
    struct error error = {.text = ""};
    struct taken taken = {.text = ""};
    enum canyon_status status = key_list_parse(text, length, FORMAT, take, &taken, &error);
    if (status != CANYON_INVALID_ARGUMENT || strstr(error.text, said) == NULL) {
        fail_msg("%s: %s, and '%s' is not in: %s", what, status_name(status), said, error.text);
    }
    test_no_secret(error.text, test_key(1).secret_text);
}

static void expect_refused(const char *format, const char *said) {
    char text[16384];
    expect_bytes_refused(text, test_fill(text, sizeof text, format), format, said);
}

static void good_lists(void **state) {
    (void)state;
    expect_good(HEAD, "");
    expect_good("format " FORMAT, "");
    expect_good("\n  \n# comment\n\tformat\t" FORMAT "  \n", "");
    expect_good(HEAD "worker a @\n", "2:worker:a:@;");
    expect_good(HEAD "worker a @", "2:worker:a:@;");
    expect_good(HEAD "\n\n# x\n  worker \t a\t@   \n", "5:worker:a:@;");
    expect_good(HEAD "worker a @ x=1 yy=2=3\n\nadmin b % \n", "2:worker:a:@:x=1:yy=2=3;4:admin:b:%;");
    expect_good(HEAD "worker a @ # x=1\nadmin b % x=# #\n", "2:worker:a:@;3:admin:b:%:x=#;");
    expect_good(HEAD "worker a#b @ c=d#e\n", "2:worker:a#b:@:c=d#e;");
    /* As editors on Windows end lines. */
    expect_good("# x\r\nformat " FORMAT "\r\n\r\nworker a @\r\nworker b %", "4:worker:a:@;5:worker:b:%;");
    /* Names are the reader's affair, comments nobody's. */
    expect_good(HEAD "# \xc3\xa4\xff\nw\xc3\xb6rker \xff @\n", "3:w\xc3\xb6rker:\xff:@;");
    expect_good(HEAD "a b @ 1=1 2=2 3=3 4=4 5=5 6=6 7=7 8=8 9=9 10=a 11=b 12=c 13=d 14=e 15=f 16=g\n",
                "2:a:b:@:1=1:2=2:3=3:4=4:5=5:6=6:7=7:8=8:9=9:10=a:11=b:12=c:13=d:14=e:15=f:16=g;");
}

static void bad_lists(void **state) {
    (void)state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"", "the list is empty: its first line must be: format " FORMAT},
        {"\n# format " FORMAT "\n", "the list is empty"},
        {"worker a @\n", "line 1: the first line must be: format " FORMAT},
        {"\n\nformat\n", "line 3: the first line must be"},
        {"format " FORMAT " and more\n", "line 1: the first line must be"},
        {"Format " FORMAT "\n", "line 1: the first line must be"},
        {"format canyon-test-2\n", "line 1: the format is canyon-test-2, this program reads " FORMAT},
        {"\xef\xbb\xbf" HEAD, "line 1: the line begins with an invisible byte order mark"},
        {HEAD HEAD, "line 2: 2 words stand"},
        {HEAD "worker\n", "line 2: 1 word stands"},
        {HEAD "worker a\n", "line 2: 2 words stand"},
        {HEAD "worker a # @\n", "line 2: 2 words stand"},
        {HEAD "worker @ a\n", "line 2: a public key is expected"},
        {HEAD "worker a cnp1...\n", "line 2: the key is cut off"},
        {HEAD "worker a @x=1\n", "line 2: the key is cut off or has something behind it"},
        {HEAD "worker a @ x\n", "line 2: \"x\" is not an option"},
        {HEAD "worker a @ x=\n", "line 2: \"x=\" is not an option"},
        {HEAD "worker a @ =x\n", "line 2: \"=x\" is not an option"},
        {HEAD "worker a @ x = 1\n", "line 2: \"x\" is not an option"},
        {HEAD "worker a @ x=1 y=1 x=2\n", "line 2: the option x stands twice"},
        {HEAD "worker a @ \n\nworker b % %\n", "line 4: \"cnp1"},
        {HEAD "a b @ 1=1 2=2 3=3 4=4 5=5 6=6 7=7 8=8 9=9 10=a 11=b 12=c 13=d 14=e 15=f 16=g 17=h\n",
         "line 2: the line has more than 16 options"},
        {HEAD "worker a \x01\n", "line 2: byte 10 of the line is the control character 0x01"},
        {HEAD "worker a\vb @\n", "line 2: byte 9 of the line is the control character 0x0b"},
        {HEAD "worker a\rb @\n", "control character 0x0d"},
        {HEAD "worker a @\r\r\n", "control character 0x0d"},
        {HEAD "# \x7f\n", "control character 0x7f"},
        {HEAD "# \x1b[2J\n", "control character 0x1b"},
        {HEAD "worker a !\n", "line 2: a secret key (cns1...) stands"},
        {HEAD "worker ! @\n", "line 2: a secret key (cns1...) stands"},
        {HEAD "! a @\n", "line 2: a secret key (cns1...) stands"},
        {HEAD "worker a @ !\n", "line 2: a secret key (cns1...) stands"},
        {HEAD "worker a @ !=1\n", "line 2: a secret key (cns1...) stands"},
        {HEAD "worker a @ x=!\n", "line 2: a secret key (cns1...) stands"},
        {HEAD "# was !\n", "line 2: a secret key (cns1...) stands"},
        {"format !\n", "line 1: a secret key (cns1...) stands"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_refused(cases[i].text, cases[i].said);
    }
    static const char with_nul[] = HEAD "worker a\0 b\n";
    expect_bytes_refused(with_nul, sizeof with_nul - 1, "NUL",
                         "line 2: byte 9 of the line is the control character 0x00");
    static const char utf16[] = "f\0o\0r\0m\0a\0t\0";
    expect_bytes_refused(utf16, sizeof utf16 - 1, "UTF-16", "line 1: byte 2");
}

static void long_lines(void **state) {
    (void)state;
    char text[4096];
    for (size_t extra = 0; extra < 3; extra++) {
        struct taken taken = {.text = ""};
        struct error error = {.text = ""};
        size_t head = test_fill(text, sizeof text, HEAD),
               line = test_fill(text + head, sizeof text - head, "worker a @ x=");
        size_t length = head + KEY_LIST_LINE_BYTES - 1 + extra;
        memset(text + head + line, 'y', length - head - line);
        memcpy(text + length, "\r\nworker b %\n", 13); /* what ends a line does not count */
        enum canyon_status status = key_list_parse(text, length + 2, FORMAT, take, &taken, &error);
        assert_int_equal(status, extra < 2 ? CANYON_OK : CANYON_INVALID_ARGUMENT);
        assert_int_equal(taken.lines, extra < 2 ? 1 : 0);
        assert_true(extra < 2 || strstr(error.text, "line 2: the line has more than 1024 bytes") != NULL);
    }
    memset(text, '#', sizeof text);
    expect_bytes_refused(text, sizeof text, "comment", "line 1: the line has more than 1024 bytes");
}

/* What the reader refuses ends the reading, with its own status. */
static void readers_have_a_say(void **state) {
    (void)state;
    char text[1024];
    struct error error = {.text = ""};
    struct taken taken = {.stop_at = 3};
    size_t length = test_fill(text, sizeof text, HEAD "worker a @\nworker b %\nworker c\n");
    assert_int_equal(key_list_parse(text, length, FORMAT, take, &taken, &error), CANYON_MISMATCH);
    assert_string_equal(error.text, "line 3: the reader does not like b");
    assert_int_equal(taken.lines, 2);
    taken = (struct taken){.stop_at = 3};
    assert_int_equal(key_list_parse(text, length, FORMAT, take, &taken, NULL), CANYON_MISMATCH);
}

/* Every beginning of a list, and every list with one byte changed: good or refused, never anything else. */
static void every_cut_and_change(void **state) {
    (void)state;
    char text[1024];
    size_t length = test_fill(text, sizeof text, HEAD "# c\nworker a @ x=1\r\nadmin b % y=2 # d\n");
    for (size_t i = 0; i < length; i++) {
        char *cut = malloc(i + 1);
        struct taken taken = {.text = ""};
        memcpy(cut, text, i);
        enum canyon_status status = key_list_parse(cut, i, FORMAT, take, &taken, NULL);
        assert_true(status == CANYON_OK || status == CANYON_INVALID_ARGUMENT);
        free(cut);
        for (int c = 0; c < 256; c++) {
            char before = text[i];
            taken = (struct taken){.text = ""};
            text[i] = (char)c;
            status = key_list_parse(text, length, FORMAT, take, &taken, NULL);
            assert_true(status == CANYON_OK || status == CANYON_INVALID_ARGUMENT);
            text[i] = before;
        }
    }
}

/* ---- Files ------------------------------------------------------------------------------------------------------ */

static char directory[64], path[96];

static int set_up(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/canyon-list-XXXXXX");
    if (mkdtemp(directory) == NULL || random_start(NULL) != CANYON_OK) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/list", directory);
    alarm(50); /* a file that hangs must not hang for long */
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return rmdir(directory);
}

static void put(const char *to, const char *format, mode_t mode) {
    char text[4096];
    size_t length = test_fill(text, sizeof text, format);
    int descriptor = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, length), (ssize_t)length);
    assert_int_equal(fchmod(descriptor, mode), 0);
    close(descriptor);
}

static void expect_read(enum canyon_status expected, const char *said) {
    struct taken taken = {.text = ""};
    struct error error = {.text = ""};
    enum canyon_status status = key_list_read(path, FORMAT, take, &taken, &error);
    if (status != expected || strstr(error.text, said) == NULL) {
        fail_msg("%s instead of %s, and '%s' is not in: %s", status_name(status), status_name(expected), said,
                 error.text);
    }
    assert_true(status == CANYON_OK ? taken.lines == 1 : strstr(error.text, path) != NULL);
}

static void files(void **state) {
    (void)state;
    static const struct {
        mode_t mode;
        bool good;
    } modes[] = {{0600, true},  {0644, true},  {0640, true},  {0444, true},  {0400, true}, {0755, true},
                 {0664, false}, {0660, false}, {0646, false}, {0620, false}, {0602, false}};
    char other[96], said[128];
    expect_read(CANYON_NOT_FOUND, "cannot be opened");
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        put(path, HEAD "worker a @\n", modes[i].mode);
        expect_read(modes[i].good ? CANYON_OK : CANYON_INVALID_ARGUMENT, modes[i].good ? "" : "chmod go-w");
        unlink(path);
    }
    put(path, HEAD "worker a\n", 0600);
    snprintf(said, sizeof said, "%s: line 2: ", path);
    expect_read(CANYON_INVALID_ARGUMENT, said);
    /* As a container's configuration is: a link to a link to what may be replaced as a whole. */
    snprintf(other, sizeof other, "%s/real", directory);
    put(path, HEAD "worker a @\n", 0600);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    expect_read(CANYON_OK, "");
    assert_int_equal(chmod(other, 0666), 0);
    expect_read(CANYON_INVALID_ARGUMENT, "0666");
    unlink(other);
    expect_read(CANYON_NOT_FOUND, "cannot be opened");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_read(CANYON_INVALID_ARGUMENT, "not a regular file");
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_read(CANYON_INVALID_ARGUMENT, "not a regular file");
    unlink(path);
    assert_int_equal(symlink("/dev/zero", path), 0);
    expect_read(CANYON_INVALID_ARGUMENT, "not a regular file");
    unlink(path);
}

static void large_files(void **state) {
    (void)state;
    char line[256];
    put(path, HEAD "worker a @\n", 0600);
    FILE *stream = fopen(path, "a");
    memset(line, '#', sizeof line);
    line[sizeof line - 1] = '\n';
    struct stat file;
    assert_int_equal(stat(path, &file), 0);
    size_t size = (size_t)file.st_size;
    while (size < KEY_LIST_BYTES) {
        size_t more = KEY_LIST_BYTES - size < sizeof line ? KEY_LIST_BYTES - size : sizeof line;
        assert_int_equal(fwrite(line + sizeof line - more, 1, more, stream), more);
        size += more;
    }
    fflush(stream);
    expect_read(CANYON_OK, "");
    fputc('\n', stream);
    fclose(stream);
    expect_read(CANYON_INVALID_ARGUMENT, "more than 4194304 bytes");
    /* A terabyte is refused as quickly. */
    assert_int_equal(truncate(path, 1ll << 40), 0);
    expect_read(CANYON_INVALID_ARGUMENT, "more than 4194304 bytes");
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_lists),           cmocka_unit_test(bad_lists),
        cmocka_unit_test(long_lines),           cmocka_unit_test(readers_have_a_say),
        cmocka_unit_test(every_cut_and_change), cmocka_unit_test(files),
        cmocka_unit_test(large_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
