#include "common/key_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/key_text.h"
#include "common/secret.h"

#define WORDS (3 + KEY_LIST_OPTIONS)

/* One line, cut into words in place. */
struct cut {
    char text[KEY_LIST_LINE_BYTES + 1];
    char *words[WORDS];
    size_t count;
};

/* ---- Lines ------------------------------------------------------------------------------------------------------ */

/* Copies a line, without what ends it, and refuses what no list holds. */
static enum canyon_status take_text(struct cut *cut, const char *line, size_t bytes, struct error *error) {
    if (bytes > 0 && line[bytes - 1] == '\r') {
        bytes--; /* as some editors end lines */
    }
    if (bytes > KEY_LIST_LINE_BYTES) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "the line has more than %d bytes", KEY_LIST_LINE_BYTES);
    }
    if (bytes >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "the line begins with an invisible byte order mark: save the file as UTF-8 without it");
    }
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)line[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return error_set(error, CANYON_INVALID_ARGUMENT,
                             "byte %zu of the line is the control character 0x%02x: is it a text file?", i + 1, c);
        }
    }
    /* In a comment or a name too: it would show up in this list's backups, and in what is said about the line. */
    if (key_shows_secret(line, bytes)) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "a secret key (cns1...) stands in this list of public keys: remove it, and if others can read "
                         "the list make a new key");
    }
    memcpy(cut->text, line, bytes);
    cut->text[bytes] = '\0';
    return CANYON_OK;
}

static enum canyon_status cut_words(struct cut *cut, struct error *error) {
    char *place = NULL;
    cut->count = 0;
    for (char *word = strtok_r(cut->text, " \t", &place); word != NULL && word[0] != '#';
         word = strtok_r(NULL, " \t", &place)) {
        if (cut->count == WORDS) {
            return error_set(error, CANYON_INVALID_ARGUMENT, "the line has more than %d options", KEY_LIST_OPTIONS);
        }
        cut->words[cut->count++] = word;
    }
    return CANYON_OK;
}

static enum canyon_status check_format(const struct cut *cut, const char *format, struct error *error) {
    if (cut->count == 2 && strcmp(cut->words[0], "format") == 0) {
        if (strcmp(cut->words[1], format) == 0) {
            return CANYON_OK;
        }
        return error_set(error, CANYON_INVALID_ARGUMENT, "the format is %.40s, this program reads %s", cut->words[1],
                         format);
    }
    return error_set(error, CANYON_INVALID_ARGUMENT, "the first line must be: format %s", format);
}

static enum canyon_status cut_options(struct cut *cut, struct key_list_option *options, size_t *count,
                                      struct error *error) {
    *count = 0;
    for (size_t i = 3; i < cut->count; i++) {
        char *word = cut->words[i], *equals = strchr(word, '=');
        if (equals == NULL || equals == word || equals[1] == '\0') {
            return error_set(error, CANYON_INVALID_ARGUMENT, "\"%.40s\" is not an option: write NAME=VALUE", word);
        }
        *equals = '\0';
        for (size_t j = 0; j < *count; j++) {
            if (strcmp(options[j].key, word) == 0) {
                return error_set(error, CANYON_INVALID_ARGUMENT, "the option %.40s stands twice in the line", word);
            }
        }
        options[(*count)++] = (struct key_list_option){.key = word, .value = equals + 1};
    }
    return CANYON_OK;
}

/* A line that is neither blank nor a comment, after the first. */
static enum canyon_status take_line(struct cut *cut, size_t number, key_list_take take, void *user,
                                    struct error *error) {
    struct key_list_option options[KEY_LIST_OPTIONS];
    struct key_list_line line = {.number = number, .options = options};
    if (cut->count < 3) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "%zu word%s where a kind, a name and a public key belong",
                         cut->count, cut->count == 1 ? " stands" : "s stand");
    }
    line.kind = cut->words[0];
    line.name = cut->words[1];
    enum canyon_status status = key_parse(cut->words[2], line.key, error);
    if (status == CANYON_OK) {
        status = cut_options(cut, options, &line.option_count, error);
    }
    if (status == CANYON_OK) {
        status = take(user, &line, error);
    }
    return status;
}

enum canyon_status key_list_parse(const char *text, size_t bytes, const char *format, key_list_take take, void *user,
                                  struct error *error) {
    struct cut cut;
    enum canyon_status status = CANYON_OK;
    bool begun = false;
    size_t number = 0;
    if (bytes > KEY_LIST_BYTES) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "the list has more than %u bytes", KEY_LIST_BYTES);
    }
    for (size_t at = 0; at < bytes && status == CANYON_OK;) {
        const char *line = text + at, *newline = memchr(line, '\n', bytes - at);
        size_t length = newline != NULL ? (size_t)(newline - line) : bytes - at;
        at += length + 1;
        number++;
        status = take_text(&cut, line, length, error);
        if (status == CANYON_OK) {
            status = cut_words(&cut, error);
        }
        if (status == CANYON_OK && cut.count > 0) {
            status = begun ? take_line(&cut, number, take, user, error) : check_format(&cut, format, error);
            begun = true;
        }
        if (status != CANYON_OK) {
            error_prefix(error, "line %zu", number);
        }
    }
    if (status == CANYON_OK && !begun) {
        status =
            error_set(error, CANYON_INVALID_ARGUMENT, "the list is empty: its first line must be: format %s", format);
    }
    secret_wipe(&cut, sizeof cut);
    return status;
}

/* ---- Files ------------------------------------------------------------------------------------------------------ */

static enum canyon_status open_list(const char *path, int *descriptor, struct error *error) {
    struct stat file;
    /* Without O_NONBLOCK the open of a named pipe waits for somebody who writes. */
    *descriptor = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (*descriptor < 0) {
        bool missing = errno == ENOENT || errno == ENOTDIR;
        return error_set(error, missing ? CANYON_NOT_FOUND : CANYON_INVALID_ARGUMENT, "cannot be opened: %s",
                         strerror(errno));
    }
    if (fstat(*descriptor, &file) != 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "cannot be looked at: %s", strerror(errno));
    }
    if (!S_ISREG(file.st_mode)) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "is not a regular file");
    }
    if ((file.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "its mode is %04o, so that others than its owner can say whom to trust: `chmod go-w` it",
                         (unsigned)(file.st_mode & 07777));
    }
    return CANYON_OK;
}

/* At most `room` bytes of it. */
static enum canyon_status read_list(int descriptor, char *text, size_t room, size_t *bytes, struct error *error) {
    ssize_t got = 1;
    *bytes = 0;
    while (got != 0 && *bytes < room) {
        got = read(descriptor, text + *bytes, room - *bytes);
        if (got < 0 && errno != EINTR) {
            return error_set(error, CANYON_INVALID_ARGUMENT, "cannot be read: %s", strerror(errno));
        }
        *bytes += got > 0 ? (size_t)got : 0;
    }
    return CANYON_OK;
}

enum canyon_status key_list_read(const char *path, const char *format, key_list_take take, void *user,
                                 struct error *error) {
    int descriptor = -1;
    size_t bytes = 0;
    /* One byte more than a list may have shows that it has too many; pages that are not used cost nothing. */
    const size_t room = KEY_LIST_BYTES + 1;
    char *text = malloc(room);
    enum canyon_status status = CANYON_OK;
    if (text == NULL) {
        status = error_set(error, CANYON_NO_MEMORY, "there is no memory to read it");
        goto out;
    }
    status = open_list(path, &descriptor, error);
    if (status == CANYON_OK) {
        status = read_list(descriptor, text, room, &bytes, error);
    }
    if (status == CANYON_OK) {
        status = key_list_parse(text, bytes, format, take, user, error);
    }
out:
    if (status != CANYON_OK) {
        error_prefix(error, "%.120s", path);
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
    if (text != NULL) {
        secret_wipe(text, bytes); /* for the secret key that somebody may have put into it */
    }
    free(text);
    return status;
}
