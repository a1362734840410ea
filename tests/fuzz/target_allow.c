/* The allow-list: accepted as a whole, with an entry for every line, or refused without a secret in the text.
 *
 * Input: the list. */
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "common/key_list.h"
#include "common/key_text.h"
#include "common/random.h"
#include "server/allow.h"
#include "server/network.h"

struct lines {
    const struct allow *allow;
    size_t count;
};

static void check_networks(const struct allow_entry *entry) {
    for (size_t i = 0; i < entry->network_count; i++) {
        const struct network *network = &entry->networks[i];
        struct sockaddr_in four = {.sin_family = AF_INET};
        struct sockaddr_in6 six = {.sin6_family = AF_INET6};
        memcpy(&four.sin_addr, network->bytes, 4);
        memcpy(&six.sin6_addr, network->bytes, 16);
        const struct sockaddr *address =
            network->family == AF_INET ? (const struct sockaddr *)&four : (const struct sockaddr *)&six;
        /* An IPv6 network's own first address may be one that stands for an IPv4 address: that is not in it. */
        REQUIRE(network_has(network, address) || (network->family == AF_INET6 && network->bits < 96));
        REQUIRE(allow_from(entry, address) == 1 || !network_has(network, address));
    }
}

static void check_patterns(const struct allow_entry *entry) {
    for (size_t i = 0; i < entry->tensor_count; i++) {
        char name[LIMIT_NAME_BYTES + 1];
        size_t length = strcspn(entry->tensors[i], "*");
        REQUIRE(length < LIMIT_NAME_BYTES);
        memcpy(name, entry->tensors[i], length);
        name[length] = '\0';
        REQUIRE(allow_tensor(entry, name));
    }
    REQUIRE(entry->tensor_count > 0 || allow_tensor(entry, "any"));
}

/* The same list once more, line by line: each has its entry. */
static enum canyon_status check_line(void *user, const struct key_list_line *line, struct error *error) {
    struct lines *lines = user;
    const struct allow_entry *entry = allow_find(lines->allow, line->key);
    (void)error;
    lines->count++;
    REQUIRE(entry != NULL && entry->line == line->number);
    REQUIRE(strcmp(entry->name, line->name) == 0 && strcmp(role_name(entry->role), line->kind) == 0);
    check_networks(entry);
    check_patterns(entry);
    return CANYON_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct allow *allow = NULL;
    struct error error = {.text = ""};
    char *text = (char *)exact_copy(data, size);
    REQUIRE(random_start(NULL) == CANYON_OK);
    enum canyon_status status = allow_parse(text, size, &allow, &error);
    if (status == CANYON_OK) {
        struct lines lines = {.allow = allow};
        REQUIRE(key_list_parse(text, size, ALLOW_FORMAT, check_line, &lines, NULL) == CANYON_OK);
        REQUIRE(lines.count == allow_count(allow));
    } else {
        REQUIRE(status == CANYON_INVALID_ARGUMENT && allow == NULL);
        REQUIRE(strncmp(error.text, "line ", 5) == 0 || strncmp(error.text, "the list ", 9) == 0);
        REQUIRE(!key_shows_secret(error.text, strlen(error.text)));
    }
    allow_release(allow);
    free(text);
    return 0;
}
