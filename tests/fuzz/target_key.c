/* Keys as texts and as files: what is read is written the same, and no error repeats a secret.
 *
 * Input: the text. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdbool.h>

#include "common/key.h"
#include "common/key_text.h"
#include "common/random.h"

static char path[] = "/tmp/canyon-fuzz-key-XXXXXX";

static void remove_file(void) {
    unlink(path);
}

/* A file by its own name, since a link, even of /proc, is refused. */
static void put_file(const uint8_t *data, size_t size) {
    static int descriptor = -1;
    if (descriptor < 0) {
        REQUIRE(random_start(NULL) == CANYON_OK);
        descriptor = mkstemp(path);
        REQUIRE(descriptor >= 0 && atexit(remove_file) == 0);
    }
    REQUIRE(ftruncate(descriptor, 0) == 0);
    REQUIRE(size == 0 || pwrite(descriptor, data, size, 0) == (ssize_t)size);
}

static void check_error(enum canyon_status status, const struct error *error) {
    REQUIRE(status == CANYON_INVALID_ARGUMENT);
    REQUIRE(error->text[0] != '\0');
    REQUIRE(!key_shows_secret(error->text, strlen(error->text)));
}

static void check_text(enum key_kind kind, const char *text) {
    struct error error = {.text = ""};
    uint8_t key[KEY_BYTES];
    char again[KEY_TEXT_BYTES];
    enum canyon_status status = key_decode(kind, text, key, &error);
    if (status == CANYON_OK) {
        REQUIRE(strcmp(key_encode(kind, key, again), text) == 0);
        REQUIRE(key_shows_secret(text, strlen(text)) == (kind == KEY_SECRET));
    } else {
        check_error(status, &error);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error error = {.text = ""};
    struct key_pair *pair = NULL;
    char again[KEY_TEXT_BYTES];
    char *text = text_copy(data, size);
    put_file(data, size);
    check_text(KEY_PUBLIC, text);
    check_text(KEY_SECRET, text);
    enum canyon_status status = key_file_read(path, &pair, &error);
    if (status == CANYON_OK) {
        REQUIRE(strstr(text, key_encode(KEY_SECRET, pair->secret, again)) != NULL);
        key_pair_destroy(pair);
    } else {
        check_error(status, &error);
        REQUIRE(pair == NULL);
    }
    free(text);
    return 0;
}
