/* The servers a client knows: every line of an accepted list is found by its address, or the whole is refused without a
 * secret in the text.
 *
 * Input: the list. */
#include "tests/fuzz/fuzz.h"

#include "client/known_servers.h"
#include "common/key_list.h"
#include "common/key_text.h"
#include "common/limits.h"
#include "common/random.h"

static enum canyon_status check_line(void *user, const struct key_list_line *line, struct error *error) {
    const struct known_servers *known = user;
    char address[LIMIT_ADDRESS_BYTES + 8];
    size_t length = strlen(line->name);
    (void)error;
    REQUIRE(length < LIMIT_ADDRESS_BYTES);
    memcpy(address, line->name, length + 1);
    bool every_port = address[length - 1] == '*';
    if (every_port) {
        memcpy(address + length - 1, "1", 2);
    }
    const struct known_server *server = known_servers_find(known, address);
    REQUIRE(server != NULL);
    /* A line for that very port may win over one for all. */
    REQUIRE(every_port || memcmp(server->key, line->key, KEY_BYTES) == 0);
    return CANYON_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct known_servers *known = NULL;
    struct error error = {.text = ""};
    char *text = (char *)exact_copy(data, size);
    REQUIRE(random_start(NULL) == CANYON_OK);
    enum canyon_status status = known_servers_parse(text, size, &known, &error);
    if (status == CANYON_OK) {
        REQUIRE(key_list_parse(text, size, KNOWN_SERVERS_FORMAT, check_line, known, NULL) == CANYON_OK);
    } else {
        REQUIRE(status == CANYON_INVALID_ARGUMENT && known == NULL);
        REQUIRE(strncmp(error.text, "line ", 5) == 0 || strncmp(error.text, "the list ", 9) == 0);
        REQUIRE(!key_shows_secret(error.text, strlen(error.text)));
    }
    known_servers_destroy(known);
    free(text);
    return 0;
}
