/* Optimizer settings as people write them, and their canonical form.
 *
 * Input: the text, "adam:lr=0.01,beta1=0.8". */
#include "tests/fuzz/fuzz.h"

#include "server/command.h"
#include "server/shard.h"

static void check_canonical(const struct optimizer_spec *parsed) {
    struct tensor_spec spec = {.name = "t", .shape = {.rank = 1, .dims = {3}}, .optimizer = *parsed};
    struct error error = {.text = ""};
    if (shard_canonical_spec(&spec, &error) != CANYON_OK) {
        REQUIRE(error.text[0] != '\0');
        return;
    }
    struct tensor_spec again = spec, decoded;
    struct command command = {.kind = COMMAND_CREATE, .tensor = 1, .spec = &spec}, back;
    REQUIRE(shard_canonical_spec(&again, &error) == CANYON_OK);
    REQUIRE(command_specs_equal(&spec, &again));
    REQUIRE(optimizer_spec_equal(&spec.optimizer, &again.optimizer));
    size_t count = command_bytes(&command);
    uint8_t *bytes = malloc(count);
    REQUIRE(bytes != NULL);
    command_encode(&command, bytes);
    REQUIRE(command_decode(bytes, count, &decoded, &back, &error) == CANYON_OK);
    REQUIRE(command_specs_equal(&spec, &decoded));
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct optimizer_spec spec = {.name = ""};
    struct error error = {.text = ""};
    char shown[256];
    char *text = text_copy(data, size);
    enum canyon_status status = optimizer_spec_parse(text, &spec, &error);
    if (status == CANYON_OK) {
        REQUIRE(spec.count <= LIMIT_SETTINGS);
        optimizer_spec_text(&spec, shown, sizeof shown);
        check_canonical(&spec);
    } else {
        REQUIRE(error.text[0] != '\0');
    }
    free(text);
    return 0;
}
