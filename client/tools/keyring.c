#include "client/tools/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum canyon_status fail(char *text, size_t bytes, enum canyon_status status, const char *path, const char *why) {
    snprintf(text, bytes, "cannot write %s: %s", path, why);
    return status;
}

/* A new file that only its owner can use. */
static enum canyon_status write_file(const char *path, const char *contents, char *text, size_t bytes) {
    size_t length = strlen(contents);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        return fail(text, bytes, CANYON_INTERNAL, path, strerror(errno));
    }
    ssize_t written = write(descriptor, contents, length);
    int failure = written < 0 ? errno : ENOSPC;
    if (close(descriptor) != 0 || written != (ssize_t)length) {
        return fail(text, bytes, CANYON_INTERNAL, path, strerror(failure));
    }
    return CANYON_OK;
}

static enum canyon_status write_lists(const struct keyring *keyring, const char *client, const char *server,
                                      const char *cipher, char *text, size_t bytes) {
    char allow[256], known[1024], option[64] = "";
    if (cipher != NULL) {
        snprintf(option, sizeof option, " cipher=%s", cipher);
    }
    snprintf(allow, sizeof allow, "format canyon-allow-1\nadmin local %s\n", client);
    snprintf(known, sizeof known,
             "format canyon-known-servers-1\nserver 127.0.0.1:* %s%s\nserver [::1]:* %s%s\nserver localhost:* %s%s\n",
             server, option, server, option, server, option);
    enum canyon_status status = write_file(keyring->allow, allow, text, bytes);
    return status == CANYON_OK ? write_file(keyring->known_servers, known, text, bytes) : status;
}

enum canyon_status keyring_make(struct keyring *keyring, const char *directory, const char *cipher, char *text,
                                size_t bytes) {
    char client[CANYON_KEY_TEXT_BYTES], server[CANYON_KEY_TEXT_BYTES];
    struct {
        char *path;
        const char *name;
    } files[] = {{keyring->key, "key"},
                 {keyring->known_servers, "known_servers"},
                 {keyring->server_key, "server.key"},
                 {keyring->allow, "allow"}};
    memset(keyring, 0, sizeof *keyring);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        int length = snprintf(files[i].path, KEYRING_PATH_BYTES, "%s/%s", directory, files[i].name);
        if (length < 0 || length >= KEYRING_PATH_BYTES) {
            memset(keyring, 0, sizeof *keyring);
            return fail(text, bytes, CANYON_TOO_LARGE, directory, "its path is too long");
        }
    }
    enum canyon_status status = canyon_key_generate(keyring->key, client);
    if (status == CANYON_OK) {
        status = canyon_key_generate(keyring->server_key, server);
    }
    if (status != CANYON_OK) {
        snprintf(text, bytes, "%s", canyon_error_text());
    } else {
        status = write_lists(keyring, client, server, cipher, text, bytes);
    }
    if (status != CANYON_OK) {
        keyring_remove(keyring);
    }
    return status;
}

void keyring_remove(struct keyring *keyring) {
    const char *const files[] = {keyring->key, keyring->known_servers, keyring->server_key, keyring->allow};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (files[i][0] != '\0') {
            unlink(files[i]);
        }
    }
    memset(keyring, 0, sizeof *keyring);
}
