/* Commands as byte strings: one that is read is canonical, and a shard takes or refuses it as a whole.
 *
 * Input: u16 length and a command, again and again. */
#include "tests/fuzz/fuzz.h"

#include "server/shard.h"

static void apply(struct shard *shard, const struct command *command) {
    uint8_t before[HASH_BYTES], after[HASH_BYTES];
    uint64_t sequence = shard_sequence(shard);
    struct shard_reply reply;
    struct error error = {.text = ""};
    shard_digest(shard, before);
    enum canyon_status status = shard_apply(shard, command, &reply, &error);
    shard_digest(shard, after);
    bool changed = memcmp(before, after, HASH_BYTES) != 0;
    REQUIRE(changed == (reply.sequence != 0));
    REQUIRE(status == CANYON_OK || error.text[0] != '\0');
    REQUIRE(!changed || status == reply.refused);
    REQUIRE(!changed || command->number == 0 || reply.applied == command->number);
    REQUIRE(status == CANYON_OK || !changed || command->number != 0);
    REQUIRE(shard_sequence(shard) == sequence + (changed ? 1 : 0));
}

/* How much a tensor may take is decided above the shard. */
static bool is_large(const struct shard *shard, const struct command *command) {
    struct tensor_spec spec;
    if (command->kind != COMMAND_DEFINE) {
        return false;
    }
    spec = *command->spec;
    return shard_canonical_spec(&spec, NULL) == CANYON_OK && shard_define_bytes(shard, &spec) > 1 << 20;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct job job = {.name = "job", .shards = 1, .block = 1024, .server_count = 1};
    struct input input = {data, size};
    struct shard *shard = shard_create(&job, 0);
    REQUIRE(shard != NULL);
    while (input.left > 0) {
        struct tensor_spec spec;
        struct command command;
        struct error error;
        size_t count, wanted = input_u16(&input);
        const uint8_t *from = input_bytes(&input, wanted, &count);
        uint8_t *bytes = exact_copy(from, count);
        if (command_decode(bytes, count, &spec, &command, &error) == CANYON_OK) {
            uint8_t *again = exact_copy(bytes, count);
            REQUIRE(command_bytes(&command) == count);
            command_encode(&command, again);
            REQUIRE(memcmp(bytes, again, count) == 0);
            free(again);
            if (!is_large(shard, &command)) {
                apply(shard, &command);
            }
        }
        free(bytes);
    }
    shard_destroy(shard);
    return 0;
}
