#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/rows.h"
#include "tests/schedules/pace.h"
#include "tests/schedules/push.h"

static struct schedule *schedule_of(const struct push *push) {
    return push->worker->stage->schedule;
}

/* Whether the server has to refuse a part: a run is refused whole. */
static bool wants_refusal(const struct push *push, unsigned index) {
    const enum cell_kind kind = push->parts[0].cell->kind;
    bool wants = push->malformed || push->denied || push->parts[index].poisoned;
    for (unsigned i = 0; i < push->count && (kind == CELL_ROW || kind == CELL_ERASED); i++) {
        wants = wants || (push->parts[i].run == push->parts[index].run && push->parts[i].poisoned);
    }
    return wants;
}

/* Whether it may be refused though nothing is wrong with it: it came too late, or too early. */
static bool may_refuse(const struct push *push, const struct part *part, enum canyon_status status) {
    const struct oracle *oracle = push->worker->stage->oracle;
    if (!oracle_is_paced(oracle)) {
        return part->cell->gone && status == CANYON_NOT_FOUND;
    }
    const bool restarted = push->line->host->restarts > 0; /* who its members are it has forgotten then */
    const struct consistency *mode = pace_mode(&oracle->shards[part->cell->shard], push->clock);
    if (status == CANYON_LATE) {
        /* Or it was, and the mode is forgotten that it was then. */
        return mode->mode == CONSISTENCY_SYNC || restarted || push->clock < oracle->shards[part->cell->shard].now_from;
    }
    /* Too early is who did not wait, or whose lease had ended: the witness knows. */
    return status == CANYON_BUSY;
}

/* Whether its shard may have refused so much since that it does not know any more what became of this: refusals of
 * what was dropped are not bounded as others are. */
static bool forgets(const struct push *push, const struct part *part) {
    const struct oracle *oracle = push->worker->stage->oracle;
    bool any = false;
    for (unsigned i = 0; i < oracle->count; i++) {
        any = any || (oracle->cells[i].gone && oracle->cells[i].shard == part->cell->shard);
    }
    return any;
}

static void tell(struct push *push, unsigned index, enum canyon_status status, unsigned era) {
    struct part *part = &push->parts[index];
    const bool wants = wants_refusal(push, index);
    if (part->n == UINT_MAX) {
        return;
    }
    if (!wants && status != CANYON_OK && may_refuse(push, part, status)) {
        /* The answer to a duplicate of what was applied to a tensor that is gone since looks the same. */
        oracle_told(push->worker->stage->oracle, part->cell, part->n, part->cell->gone ? OUTCOME_DIED : OUTCOME_REFUSED,
                    era);
        return;
    }
    if (!wants && status == CANYON_OUTCOME_UNKNOWN && forgets(push, part)) {
        oracle_told(push->worker->stage->oracle, part->cell, part->n, OUTCOME_DIED, era);
        return;
    }
    if ((status == CANYON_OK) == wants) {
        schedule_fail(schedule_of(push), "%s: push %u of cell %u is %s and was told %s", push->worker->name, part->n,
                      part->cell->number, wants ? "to be refused" : "good", status_name(status));
    }
    oracle_told(push->worker->stage->oracle, part->cell, part->n, status == CANYON_OK ? OUTCOME_OK : OUTCOME_REFUSED,
                era);
}

static void see(const struct push *push, unsigned index, const float *weights, uint64_t version, unsigned era) {
    if (oracle_is_paced(push->worker->stage->oracle)) {
        if (era == push->line->host->era) {
            pace_seen(push->worker->stage->oracle, push->parts[index].cell, weights, version, era, push->made,
                      push->parts[index].n);
        }
        return;
    }
    oracle_seen(push->worker->stage->oracle, push->parts[index].cell, weights, version, era, push->made,
                push->parts[index].n);
}

static bool takes_weights(const struct push *push) {
    return push->type == FRAME_PULL || push->type == FRAME_PUSH_PULL || rows_pull(push->type);
}

static void take_pieces(struct push *push, const struct frame *reply, unsigned era) {
    struct message_piece_results results;
    struct error error = {.status = CANYON_OK};
    const float *weights = (const float *)(const void *)reply->payload;
    size_t floats = reply->header.payload_bytes / sizeof(float);
    if (message_unpack_piece_results(reply->message, reply->header.message_bytes, &results, &error) != CANYON_OK ||
        results.count != push->count) {
        schedule_fail(schedule_of(push), "%s cannot read an answer: %s", push->worker->name, error.text);
        return;
    }
    pacer_catch_up(&push->worker->pacer, results.clock);
    for (unsigned i = 0; i < push->count; i++) {
        const struct message_piece_result *result = &results.results[i];
        const uint32_t elements = push->parts[i].cell->elements;
        tell(push, i, result->status, era);
        if (result->status == CANYON_OK && takes_weights(push) && elements <= floats) {
            see(push, i, weights, result->version, era);
            weights += elements;
            floats -= elements;
        }
    }
    if (floats > 0) {
        schedule_fail(schedule_of(push), "%s is shown %zu weights too many", push->worker->name, floats);
    }
}

static void take_runs(struct push *push, const struct frame *reply, unsigned era) {
    struct message_rows_done done;
    struct error error = {.status = CANYON_OK};
    const uint32_t dim = push->parts[0].cell->elements;
    if (message_unpack_rows_done(reply->message, reply->header.message_bytes, &done, &error) != CANYON_OK ||
        done.runs != push->runs) {
        schedule_fail(schedule_of(push), "%s cannot read an answer: %s", push->worker->name, error.text);
        return;
    }
    const size_t row_bytes = takes_weights(push) ? dim * sizeof(float) : 0;
    const struct rows_layout layout = rows_reply_layout(done.runs, done.rows, row_bytes);
    if (layout.bytes != reply->header.payload_bytes) {
        schedule_fail(schedule_of(push), "%s: an answer has %u bytes, not %zu", push->worker->name,
                      reply->header.payload_bytes, layout.bytes);
        return;
    }
    pacer_catch_up(&push->worker->pacer, done.clock);
    const float *weights = (const float *)(const void *)(reply->payload + layout.values);
    uint32_t rows = 0;
    for (unsigned i = 0; i < push->count; i++) {
        struct rows_result result;
        memcpy(&result, reply->payload + push->parts[i].run * sizeof result, sizeof result);
        tell(push, i, (enum canyon_status)result.code, era);
        if (result.code == CANYON_OK && takes_weights(push) && rows < done.rows) {
            see(push, i, weights + (size_t)rows * dim, UINT64_MAX, era);
            rows++;
        }
    }
}

/* Whether the session may have given it up before its deadline: its line waits no longer, or the server seems to have
 * lost what it knew of a shard of it. */
static bool may_give_up(const struct push *push) {
    bool may = push->line->failing || push->line->silent || (push->creates && push->line->host->restarts > 0);
    for (unsigned i = 0; i < push->count; i++) {
        may = may || (push->parts[i].n != UINT_MAX &&
                      oracle_excuses(push->parts[i].cell, push->parts[i].n, host_age(push->line->host)));
    }
    return may;
}

/* Nothing was answered: what that says of its parts. */
static void take_failure(struct push *push, enum canyon_status status, const char *text, unsigned era) {
    struct oracle *oracle = push->worker->stage->oracle;
    const bool unknown = status == CANYON_OUTCOME_UNKNOWN, early = schedule_of(push)->now < push->request.deadline;
    const bool refused = (push->malformed || (push->denied && status == CANYON_DENIED)) && !unknown;
    const bool waited = push->wait_ms > 0 && schedule_of(push)->now - push->made >= push->wait_ms * MILLISECOND;
    const bool away = status == CANYON_UNAVAILABLE || status == CANYON_BUSY || status == CANYON_GAP;
    const bool never = (status == CANYON_TIMEOUT && !early) || (away && (!early || push->line->failing));
    push->worker->pull_failed = push->worker->pull_failed || push->wait_ms > 0;
    if (!never && !refused && !(status == CANYON_TIMEOUT && waited) && !(unknown && (!early || may_give_up(push)))) {
        schedule_fail(schedule_of(push), "%s is told %s: %s", push->worker->name, status_name(status), text);
    }
    for (unsigned i = 0; i < push->count; i++) {
        if (push->parts[i].n != UINT_MAX) {
            /* What the server refuses is not there, whether or not that is known. */
            const bool open = unknown && !wants_refusal(push, i);
            oracle_told(oracle, push->parts[i].cell, push->parts[i].n,
                        !open                                                 ? OUTCOME_REFUSED
                        : early || push->line->starving || push->line->silent ? OUTCOME_DIED
                                                                              : OUTCOME_UNKNOWN,
                        era);
        }
    }
}

void push_ended(struct push *push, enum canyon_status status, const char *text, const struct frame *reply) {
    struct worker *worker = push->worker;
    struct line *line = push->line;
    if (status == CANYON_CLOSED) {
        return; /* it dies */
    }
    const unsigned era = line_age(line).era;
    schedule_trace(schedule_of(push), "%s: %s to server %u, thread %u ends: %s %s", worker->name,
                   frame_type_name(push->type), line->host->index, line->thread, status_name(status), text);
    if (reply != NULL && push->made > line->proved) {
        line->proved = push->made;
    }
    if (status != CANYON_OK) {
        take_failure(push, status, text, era);
    } else if (push->runs > 0) {
        take_runs(push, reply, era);
    } else {
        take_pieces(push, reply, era);
    }
    /* One whose outcome is unknown may still be refused. */
    line->poisoned -= status == CANYON_OUTCOME_UNKNOWN ? 0 : push->refusals;
    worker->outstanding--;
    if (worker->blocked) {
        worker->blocked = false;
        worker_work(worker, 0);
    }
    /* It is its owner's again, who does with it as he likes: who still sends it sends rubbish. But for the runs, whose
     * shards the session's own arrays are indexed by. */
    const size_t runs = push->runs * sizeof(struct rows_run);
    memset(push->payload + runs, 0x41, push->request.payload_bytes - runs);
    memset(push->message, 0x41, sizeof push->message);
}
