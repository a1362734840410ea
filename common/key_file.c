/* A secret key's file: who may have it, and what stands in it. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/key.h"
#include "common/key_text.h"
#include "common/secret.h"

/* Lives in secret memory. */
struct reading {
    char text[KEY_FILE_BYTES + 1]; /* one more than may be there, so that too much is seen; and for the last NUL */
    size_t bytes;
    uint8_t secret[KEY_BYTES];
};

_Static_assert(sizeof(struct reading) <= SECRET_LIMIT_BYTES, "the file does not fit secret memory");

/* ---- Reading ---------------------------------------------------------------------------------------------------- */

static enum canyon_status open_file(const char *path, int *descriptor, struct error *error) {
    /* Without O_NONBLOCK the open of a named pipe waits for somebody who writes. */
    *descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (*descriptor >= 0) {
        return CANYON_OK;
    }
    int reason = errno;
    struct stat file;
    if (reason == ENOENT || reason == ENOTDIR) {
        return error_set(error, CANYON_NOT_FOUND, "there is no such file; `canyon keygen` makes keys");
    }
    if (reason == ELOOP && lstat(path, &file) == 0 && S_ISLNK(file.st_mode)) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "it is a symbolic link, which others may be able to turn: name the file it leads to");
    }
    if (reason == ENXIO) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "it is not a regular file");
    }
    return error_set(error, CANYON_INVALID_ARGUMENT, "cannot be opened: %s", strerror(reason));
}

/* Of the descriptor, so that nobody can put another file in the checked one's place. */
static enum canyon_status check_file(int descriptor, struct error *error) {
    struct stat file;
    if (fstat(descriptor, &file) != 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "cannot be looked at: %s", strerror(errno));
    }
    if (!S_ISREG(file.st_mode)) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "it is %s, not a regular file",
                         S_ISDIR(file.st_mode) ? "a directory" : "a pipe or device");
    }
    if (file.st_uid != geteuid() && file.st_uid != 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "it belongs to user %lu and this program runs as user %lu: `chown %lu` it",
                         (unsigned long)file.st_uid, (unsigned long)geteuid(), (unsigned long)geteuid());
    }
    if ((file.st_mode & 07177) != 0) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "its mode is %04o, so that not only its owner can use it: `chmod 600` it, and make a new key "
                         "if others may have read it",
                         (unsigned)(file.st_mode & 07777));
    }
    if (file.st_size > KEY_FILE_BYTES) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "it has %lld bytes and a key's file at most %d: is it another file?", (long long)file.st_size,
                         KEY_FILE_BYTES);
    }
    return CANYON_OK;
}

static enum canyon_status read_file(int descriptor, struct reading *reading, struct error *error) {
    ssize_t got = 1;
    while (got != 0 && reading->bytes < sizeof reading->text) {
        got = read(descriptor, reading->text + reading->bytes, sizeof reading->text - reading->bytes);
        if (got < 0 && errno != EINTR) {
            return error_set(error, CANYON_INVALID_ARGUMENT, "cannot be read: %s", strerror(errno));
        }
        reading->bytes += got > 0 ? (size_t)got : 0;
    }
    if (reading->bytes > KEY_FILE_BYTES) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "it has more than %d bytes: is it another file?",
                         KEY_FILE_BYTES);
    }
    return CANYON_OK;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* Finds the one line that is neither blank nor a comment, ends it with a NUL and decodes it. */
static enum canyon_status parse_file(struct reading *reading, struct error *error) {
    char *found = NULL, *end = reading->text + reading->bytes;
    size_t number = 0, lines = 0;
    if (memchr(reading->text, '\0', reading->bytes) != NULL) {
        return error_set(error, CANYON_INVALID_ARGUMENT, "it holds NUL bytes: is it another file?");
    }
    for (char *line = reading->text, *next = NULL; line < end; line = next) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        char *after = newline != NULL ? newline : end;
        next = after + 1;
        number++;
        while (line < after && is_blank(*line)) {
            line++;
        }
        while (line < after && is_blank(after[-1])) {
            after--;
        }
        if (line == after || *line == '#') {
            continue;
        }
        if (found != NULL) {
            return error_set(error, CANYON_INVALID_ARGUMENT,
                             "a second line (line %zu) is no comment: a key's file holds one secret key", number);
        }
        *after = '\0'; /* there is room: the text has one byte more than the file */
        found = line;
        lines = number;
    }
    if (found == NULL) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "there is no key in it: remove it and make a key with `canyon keygen`");
    }
    enum canyon_status status = key_decode(KEY_SECRET, found, reading->secret, error);
    if (status != CANYON_OK) {
        error_prefix(error, "line %zu", lines);
    }
    return status;
}

enum canyon_status key_file_read(const char *path, struct key_pair **pair, struct error *error) {
    int descriptor = -1;
    struct key_pair *made = NULL;
    struct reading *reading = secret_alloc(sizeof *reading);
    enum canyon_status status;
    if (reading == NULL) {
        status = error_set(error, CANYON_NO_MEMORY, "there is no memory for a secret");
        goto out;
    }
    status = open_file(path, &descriptor, error);
    if (status == CANYON_OK) {
        status = check_file(descriptor, error);
    }
    if (status == CANYON_OK) {
        status = read_file(descriptor, reading, error);
    }
    if (status == CANYON_OK) {
        status = parse_file(reading, error);
    }
    if (status != CANYON_OK) {
        goto out;
    }
    made = key_pair_from_secret(reading->secret);
    if (made == NULL) {
        status = error_set(error, CANYON_NO_MEMORY, "there is no memory for a secret");
        goto out;
    }
    *pair = made;
out:
    if (status != CANYON_OK) {
        error_prefix(error, "the key's file %.100s", path);
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
    secret_free(reading);
    secret_wipe_stack();
    return status;
}

/* ---- Writing ---------------------------------------------------------------------------------------------------- */

/* Makes the directories of `path`, which is changed and restored on the way. */
static enum canyon_status make_directories(char *path, struct error *error) {
    for (char *slash = path[0] == '\0' ? NULL : strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int failed = mkdir(path, 0700);
        int reason = errno;
        struct stat there;
        /* What is there already may give another reason than EEXIST: a file system that cannot be written. */
        if (failed && stat(path, &there) == 0) {
            failed = 0;
        }
        if (failed) {
            return error_set(error, CANYON_INVALID_ARGUMENT, "the directory %.100s cannot be made: %s", path,
                             strerror(reason));
        }
        *slash = '/';
    }
    return CANYON_OK;
}

/* `text` holds what is to be written; it is secret. */
static bool write_all(int descriptor, const char *text, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        ssize_t put = write(descriptor, text + done, bytes - done);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    return true;
}

/* So that the new name survives a loss of power too. */
static bool sync_directory(char *path) {
    char *slash = strrchr(path, '/');
    const char *directory = slash == NULL ? "." : slash == path ? "/" : path;
    if (slash != NULL) {
        *slash = '\0';
    }
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems cannot sync a directory, and say so with EINVAL. */
    bool done = descriptor >= 0 && (fsync(descriptor) == 0 || errno == EINVAL);
    int reason = errno;
    if (descriptor >= 0) {
        close(descriptor);
    }
    if (slash != NULL) {
        *slash = '/';
    }
    errno = reason;
    return done;
}

static enum canyon_status create_file(const char *path, int *descriptor, struct error *error) {
    *descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*descriptor >= 0) {
        return CANYON_OK;
    }
    if (errno == EEXIST) {
        return error_set(error, CANYON_CONFLICT,
                         "there is a file of that name, and keys are never overwritten: move it away first, or name "
                         "another");
    }
    return error_set(error, CANYON_INVALID_ARGUMENT, "it cannot be made: %s", strerror(errno));
}

/* The file's text, in secret memory; NULL when there is none. */
static char *compose(const struct key_pair *pair, size_t *bytes) {
    static const char format[] = "# A secret key of Canyon: whoever has it can act in its owner's name.\n"
                                 "# Its public half is %s\n";
    const size_t room = sizeof format + 2 * KEY_TEXT_BYTES;
    char public[KEY_TEXT_BYTES];
    char *text = secret_alloc(room);
    if (text != NULL) {
        int length = snprintf(text, room, format, key_text(pair->public, public));
        assert(length > 0 && (size_t)length + KEY_TEXT_BYTES + 1 <= room);
        key_encode(KEY_SECRET, pair->secret, text + length);
        *bytes = (size_t)length + KEY_TEXT_BYTES;
        text[*bytes - 1] = '\n';
    }
    return text;
}

enum canyon_status key_file_write(const char *path, const struct key_pair *pair, struct error *error) {
    size_t bytes = 0;
    int descriptor = -1;
    enum canyon_status status = CANYON_OK;
    char *text = compose(pair, &bytes), *copy = strdup(path);
    if (text == NULL || copy == NULL) {
        status = error_set(error, CANYON_NO_MEMORY, "there is no memory for a secret");
        goto out;
    }
    status = make_directories(copy, error);
    if (status == CANYON_OK) {
        status = create_file(path, &descriptor, error);
    }
    if (status != CANYON_OK) {
        goto out;
    }
    /* fchmod, since a strange umask may have taken the owner's own rights. */
    if (fchmod(descriptor, 0600) != 0 || !write_all(descriptor, text, bytes) || fsync(descriptor) != 0 ||
        !sync_directory(copy)) {
        status = error_set(error, CANYON_INVALID_ARGUMENT, "it cannot be written: %s", strerror(errno));
        unlink(path);
    }
out:
    if (status != CANYON_OK) {
        error_prefix(error, "the key's file %.100s", path);
    }
    if (descriptor >= 0) {
        close(descriptor);
    }
    free(copy);
    secret_free(text);
    return status;
}
