/* Commands of tables as byte strings, applied to two shards that differ in the secret of their rows' keys: both answer
 * alike and have equal digests; what is refused changes nothing; a reservation that is released changes nothing; and
 * what a push may take of memory was said before.
 *
 * Input: u16 length and a command, again and again. */
#include "tests/fuzz/fuzz.h"

#include "server/shard.h"
#include "server/workspace.h"

#define OUT_FLOATS (1u << 16)

struct side {
    struct workspace *workspace;
    struct shard *shard;
    float *out;
};

static void side_init(struct side *side, const struct job *job, uint8_t secret) {
    const uint8_t bytes[ROWKEY_SECRET_BYTES] = {secret};
    side->workspace = workspace_create(NULL, bytes);
    side->shard = shard_create(job, 0);
    side->out = calloc(OUT_FLOATS, sizeof *side->out);
    REQUIRE(side->workspace != NULL && side->shard != NULL && side->out != NULL);
    shard_lend(side->shard, side->workspace);
}

static void side_finish(struct side *side) {
    shard_destroy(side->shard);
    REQUIRE(pool_taken(side->workspace->pool) == 0);
    workspace_destroy(side->workspace);
    free(side->out);
}

/* How much a table or a tensor may take is decided above the shard. */
static bool is_large(const struct shard *shard, const struct command *command) {
    struct tensor_spec spec;
    if (command->kind != COMMAND_DEFINE) {
        return false;
    }
    spec = *command->spec;
    return shard_canonical_spec(&spec, NULL) == CANYON_OK &&
           (shard_define_bytes(shard, &spec) > 1 << 20 || spec.shape.dims[0] > 256);
}

static bool takes_rows(const struct command *command) {
    return command->kind == COMMAND_TABLE_PUSH || command->kind == COMMAND_TABLE_TOUCH ||
           command->kind == COMMAND_TABLE_CONTRIBUTE;
}

static enum canyon_status apply(struct side *side, struct command command, struct shard_reply *reply) {
    uint8_t before[HASH_BYTES], after[HASH_BYTES];
    struct shard_totals old, new;
    struct error error = {.text = ""};
    uint64_t sequence = shard_sequence(side->shard), bytes = 0, exact = 0;
    shard_digest(side->shard, before);
    shard_totals(side->shard, &old);
    if (takes_rows(&command)) {
        enum canyon_status reserved = shard_growth(side->shard, &command, false, &bytes, &error);
        REQUIRE(shard_growth(side->shard, &command, true, &exact, &error) == reserved && exact <= bytes);
        reserved = shard_reserve(side->shard, &command, &error);
        REQUIRE(reserved == CANYON_OK || error.text[0] != '\0');
        shard_release(side->shard);
        shard_digest(side->shard, after);
        REQUIRE(memcmp(before, after, HASH_BYTES) == 0);
        command.out = side->out;
    }
    enum canyon_status status = shard_apply(side->shard, &command, reply, &error);
    shard_digest(side->shard, after);
    shard_totals(side->shard, &new);
    bool changed = memcmp(before, after, HASH_BYTES) != 0;
    REQUIRE(changed == (reply->sequence != 0) && (status == CANYON_OK || error.text[0] != '\0'));
    REQUIRE(status == CANYON_OK || !changed || (command.number != 0 && reply->refused == status));
    REQUIRE(shard_sequence(side->shard) == sequence + (changed ? 1 : 0));
    REQUIRE(!takes_rows(&command) || new.state_bytes <= old.state_bytes + bytes);
    return status;
}

static void apply_to_both(struct side *sides, const struct command *command) {
    struct shard_reply replies[2];
    uint8_t digests[2][HASH_BYTES];
    enum canyon_status first = apply(&sides[0], *command, &replies[0]),
                       second = apply(&sides[1], *command, &replies[1]);
    shard_digest(sides[0].shard, digests[0]);
    shard_digest(sides[1].shard, digests[1]);
    REQUIRE(first == second && memcmp(digests[0], digests[1], HASH_BYTES) == 0);
    REQUIRE(replies[0].rows == replies[1].rows && replies[0].version == replies[1].version);
    REQUIRE(memcmp(sides[0].out, sides[1].out, OUT_FLOATS * sizeof(float)) == 0);
    if (first == CANYON_OK && takes_rows(command) && command->rows > 0) {
        /* What came out is what a pull says. */
        float *pulled = calloc(OUT_FLOATS, sizeof *pulled);
        struct shard_row row;
        REQUIRE(pulled != NULL);
        REQUIRE(replies[0].duplicate || /* a duplicate makes no rows */
                shard_row(sides[0].shard, command->tensor, command->ids[0], &row, NULL) == CANYON_OK);
        REQUIRE(shard_pull(sides[0].shard, command->tensor, command->ids, command->rows, pulled, NULL) == CANYON_OK);
        REQUIRE(memcmp(pulled, sides[0].out, command->rows * sizeof(float)) == 0);
        free(pulled);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct job job = {.name = "job", .shards = 1, .block = 1024, .server_count = 1};
    struct input input = {data, size};
    struct side sides[2];
    side_init(&sides[0], &job, 1);
    side_init(&sides[1], &job, 77);
    while (input.left > 0) {
        struct tensor_spec spec;
        struct command command;
        size_t count, wanted = input_u16(&input);
        const uint8_t *from = input_bytes(&input, wanted, &count);
        uint8_t *bytes = exact_copy(from, count);
        if (command_decode(bytes, count, &spec, &command, NULL) == CANYON_OK && !is_large(sides[0].shard, &command) &&
            command.rows <= OUT_FLOATS / 256) {
            apply_to_both(sides, &command);
        }
        free(bytes);
    }
    side_finish(&sides[0]);
    side_finish(&sides[1]);
    return 0;
}
