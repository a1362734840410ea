/* Keys as the public API has them. */
#include <string.h>

#include "client/error.h"
#include "client/include/canyon.h"
#include "common/home.h"
#include "common/key.h"
#include "common/random.h"

_Static_assert(CANYON_KEY_TEXT_BYTES == KEY_TEXT_BYTES, "the public header has another length");

enum canyon_status canyon_home_file(const char *name, char *path, size_t bytes) {
    struct error error = {.status = CANYON_OK};
    char whole[HOME_PATH_BYTES];
    if (name == NULL || name[0] == '\0' || strchr(name, '/') != NULL || path == NULL) {
        return last_error_format(CANYON_INVALID_ARGUMENT, "the name of a file is needed, without a directory");
    }
    enum canyon_status status = home_file(name, whole, &error);
    size_t length = status == CANYON_OK ? strlen(whole) : 0;
    if (status == CANYON_OK && length >= bytes) {
        status = error_set(&error, CANYON_TOO_LARGE, "the path has %zu bytes with its NUL, there is room for %zu",
                           length + 1, bytes);
    }
    if (status == CANYON_OK) {
        memcpy(path, whole, length + 1);
    }
    return last_error_set(&error);
}

/* The path that was given, or the default in `room`; and the library made ready. */
static enum canyon_status begin(const char **path, char room[HOME_PATH_BYTES], const char *text, struct error *error) {
    if (text == NULL || (*path != NULL && (*path)[0] == '\0')) {
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         text == NULL ? "room for the public key's text is needed" : "the path is empty");
    }
    enum canyon_status status = random_start(error);
    if (status == CANYON_OK && *path == NULL) {
        status = home_file(HOME_CLIENT_KEY, room, error);
        *path = room;
    }
    return status;
}

enum canyon_status canyon_key_generate(const char *path, char text[CANYON_KEY_TEXT_BYTES]) {
    struct error error = {.status = CANYON_OK};
    char room[HOME_PATH_BYTES];
    struct key_pair *pair = NULL;
    enum canyon_status status = begin(&path, room, text, &error);
    if (status != CANYON_OK) {
        goto out;
    }
    pair = key_pair_generate();
    if (pair == NULL) {
        error_set(&error, CANYON_NO_MEMORY, "there is no memory for a secret");
        goto out;
    }
    if (key_file_write(path, pair, &error) == CANYON_OK) {
        key_text(pair->public, text);
    }
out:
    key_pair_destroy(pair);
    return last_error_set(&error);
}

enum canyon_status canyon_key_show(const char *path, char text[CANYON_KEY_TEXT_BYTES]) {
    struct error error = {.status = CANYON_OK};
    char room[HOME_PATH_BYTES];
    struct key_pair *pair = NULL;
    if (begin(&path, room, text, &error) == CANYON_OK && key_file_read(path, &pair, &error) == CANYON_OK) {
        key_text(pair->public, text);
    }
    key_pair_destroy(pair);
    return last_error_set(&error);
}
