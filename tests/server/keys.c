#include "tests/server/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/random.h"

static const char *const names[KEY_COUNT] = {"server", "admin", "worker", "reader", "second", "stranger"};

static struct key_pair *pairs[KEY_COUNT];
static char home[] = "/tmp/canyon-keys-XXXXXX";
static char server_path[64], allow_path[64];
static pid_t owner;

static void clean(void) {
    if (getpid() == owner) { /* not in a child */
        unlink(server_path);
        unlink(allow_path);
        rmdir(home);
        for (size_t i = 0; i < KEY_COUNT; ++i) {
            key_pair_destroy(pairs[i]);
        }
    }
}

static void make(void) {
    if (owner != 0) {
        return;
    }
    assert_int_equal(random_start(NULL), CANYON_OK);
    assert_non_null(mkdtemp(home));
    snprintf(server_path, sizeof server_path, "%s/server.key", home);
    snprintf(allow_path, sizeof allow_path, "%s/allow", home);
    owner = getpid();
    atexit(clean);
    for (size_t i = 0; i < KEY_COUNT; ++i) {
        pairs[i] = key_pair_generate();
        assert_non_null(pairs[i]);
    }
    assert_int_equal(key_file_write(server_path, pairs[KEY_SERVER], NULL), CANYON_OK);
    keys_allow_usual();
}

const struct key_pair *key_of(int which) {
    make();
    return pairs[which];
}

const char *keys_server_path(void) {
    make();
    return server_path;
}

const char *keys_allow_path(void) {
    make();
    return allow_path;
}

/* Writes the text with the keys in their places. */
static void expand(FILE *file, const char *text) {
    char key[KEY_TEXT_BYTES];
    while (*text != '\0') {
        size_t i = *text == '@' ? 0 : KEY_COUNT;
        while (i < KEY_COUNT && strncmp(text + 1, names[i], strlen(names[i])) != 0) {
            ++i;
        }
        if (i < KEY_COUNT) {
            fputs(key_text(pairs[i]->public, key), file);
            text += 1 + strlen(names[i]);
        } else {
            fputc(*text++, file);
        }
    }
}

void keys_allow(const char *lines) {
    make();
    FILE *file = fopen(allow_path, "w");
    assert_non_null(file);
    fputs("format canyon-allow-1\n", file);
    expand(file, lines);
    assert_int_equal(fclose(file), 0);
}

void keys_allow_usual(void) {
    keys_allow("admin admin @admin\nworker worker @worker\nreader reader @reader\nworker second @second\n");
}
