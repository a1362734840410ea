/* Sessions and their numbers in a shard, and who watches its order. */
#include <inttypes.h>
#include <string.h>

#include "common/mutant.h"
#include "server/shard_state.h"

enum ledger_verdict shard_judge(struct shard *shard, const uint8_t session[SESSION_BYTES], uint64_t number) {
    return ledger_judge(ledger_last(&shard->ledger, session), number);
}

uint64_t shard_applied(struct shard *shard, const uint8_t session[SESSION_BYTES]) {
    return ledger_last(&shard->ledger, session);
}

void shard_expect(const struct shard *shard, const uint8_t session[SESSION_BYTES]) {
    ledger_expect(&shard->ledger, session);
}

uint64_t shard_session_bytes(const struct shard *shard) {
    return ledger_bytes(&shard->ledger);
}

uint64_t shard_session_growth(const struct shard *shard) {
    return ledger_growth(&shard->ledger);
}

enum canyon_status shard_reserve_session(struct shard *shard, const uint8_t session[SESSION_BYTES],
                                         struct error *error) {
    if (ledger_last(&shard->ledger, session) == 0 && !ledger_reserve(&shard->ledger)) {
        return error_set(error, CANYON_NO_MEMORY, "no memory to note one more session than %zu in shard %u",
                         shard->ledger.count, shard->index);
    }
    return CANYON_OK;
}

enum canyon_status shard_gap(struct shard *shard, const struct command *command, struct error *error) {
    const uint64_t last = ledger_last(&shard->ledger, command->session);
    if (last == 0) {
        return error_set(error, CANYON_SESSION_UNKNOWN,
                         "number %" PRIu64 " in shard %u of a session that is not known there: its first number is 1. "
                         "The server was restarted, or the session was gone for long",
                         command->number, shard->index);
    }
    return error_set(error, CANYON_GAP,
                     "number %" PRIu64 " in shard %u, whose last one of this session is %" PRIu64
                     ": what is between them did not come; connect again and resume",
                     command->number, shard->index, last);
}

static enum canyon_status read_block(const struct shard *shard, const struct command *command,
                                     struct shard_reply *reply, struct error *error) {
    struct dense *part = NULL;
    size_t place = 0;
    enum canyon_status status = shard_find_block(shard, command->tensor, command->block, &part, &place, error);
    if (status == CANYON_OK) {
        reply->version = part->blocks[place].version;
        reply->weights = dense_weights(part, place);
        reply->elements = dense_elements(part, place);
    }
    return status;
}

static enum canyon_status read_rows(const struct shard *shard, const struct command *command, struct shard_reply *reply,
                                    struct error *error) {
    struct table *table = NULL;
    enum canyon_status status = shard_find_table(shard, command->tensor, &table, error);
    if (status == CANYON_OK && command->out != NULL && !MUTANT(duplicate_rows_not_read)) {
        status = shard_pull(shard, command->tensor, command->ids, command->rows, command->out, error);
    }
    if (status == CANYON_OK) {
        reply->version = table->version;
    }
    return status;
}

enum canyon_status shard_answer_again(struct shard *shard, const struct command *command, struct shard_reply *reply,
                                      struct error *error) {
    shard_release(shard);
    reply->duplicate = true;
    reply->applied = ledger_last(&shard->ledger, command->session);
    reply->refused = ledger_refusal(&shard->ledger, command->session, command->number);
    if (MUTANT(verdict_not_replayed)) {
        reply->refused = CANYON_OK;
    }
    if (MUTANT(duplicate_answers_error)) {
        return error_set(error, CANYON_CONFLICT, "that was taken before");
    }
    if (reply->refused == CANYON_OUTCOME_UNKNOWN) {
        return error_set(error, CANYON_OUTCOME_UNKNOWN,
                         "number %" PRIu64 " in shard %u was taken when it came first, before the last %d runs of "
                         "refusals of its session: whether it was refused too is not known any more",
                         command->number, shard->index, LEDGER_REFUSALS);
    }
    if (reply->refused != CANYON_OK) {
        return error_set(error, reply->refused, "number %" PRIu64 " in shard %u was refused when it came first",
                         command->number, shard->index);
    }
    switch (command->kind) {
    case COMMAND_ASSIGN:
    case COMMAND_PUSH:
    case COMMAND_CONTRIBUTE:
        return read_block(shard, command, reply, error);
    case COMMAND_TABLE_PUSH:
    case COMMAND_TABLE_TOUCH:
    case COMMAND_TABLE_ERASE:
    case COMMAND_TABLE_CONTRIBUTE:
        return read_rows(shard, command, reply, error);
    default:
        return CANYON_OK;
    }
}

void shard_watch(struct shard *shard, shard_watcher *watch, void *user) {
    shard->watch = watch;
    shard->watcher = user;
}

/* A refusal is told as such, so that whoever applies it again refuses too, whatever made it be refused. What was lent
 * to the command for this shard is not part of it. */
void shard_tell(const struct shard *shard, const struct command *command, enum canyon_status status) {
    if (status != CANYON_OK && MUTANT(refusal_not_logged)) {
        return;
    }
    if (shard->watch != NULL && status == CANYON_OK) {
        struct command told = *command;
        told.found = NULL;
        told.out = NULL;
        shard->watch(shard->watcher, &told);
    } else if (shard->watch != NULL) {
        struct command refusal = {.kind = COMMAND_REFUSE, .number = command->number, .verdict = status};
        memcpy(refusal.session, command->session, SESSION_BYTES);
        shard->watch(shard->watcher, &refusal);
    }
}
