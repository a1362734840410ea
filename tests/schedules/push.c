#include "tests/schedules/push.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/rows.h"

/* ---- choosing ---- */

static bool fits(const struct push *push, const struct cell *cell) {
    const struct job *job = push->worker->stage->job;
    const struct line *line = push->line;
    if (cell->host != line->host->index || job_thread_of(job, cell->shard, line->host->threads) != line->thread) {
        return false;
    }
    switch (push->type) {
    case FRAME_ASSIGN:
        return cell->kind == CELL_ASSIGNED && cell->owner == push->worker->index;
    case FRAME_PUSH:
    case FRAME_PULL:
    case FRAME_PUSH_PULL:
        return cell->kind == CELL_BLOCK || cell->kind == CELL_DROPPED;
    default:
        return push->erasing ? cell->kind == CELL_ERASED && cell->owner == push->worker->index : cell->kind == CELL_ROW;
    }
}

static bool is_row(const struct cell *cell) {
    return cell->kind == CELL_ROW || cell->kind == CELL_ERASED;
}

/* Takes cells from a random one on; rows of one table only. */
static void choose(struct push *push, unsigned most) {
    struct oracle *oracle = push->worker->stage->oracle;
    struct schedule *schedule = oracle->schedule;
    const unsigned first = (unsigned)schedule_below(schedule, oracle->count);
    for (unsigned i = 0; i < oracle->count && push->count < most; i++) {
        struct cell *cell = &oracle->cells[(first + i) % oracle->count];
        const bool same = push->count == 0 || !is_row(cell) || cell->tensor == push->parts[0].cell->tensor;
        if (fits(push, cell) && same && schedule_chance(schedule, 700)) {
            push->parts[push->count++] = (struct part){.cell = cell, .n = UINT_MAX};
        }
    }
}

/* The same row twice in one push: the server adds up what it is given of it. */
static void choose_twice(struct push *push) {
    struct schedule *schedule = push->worker->stage->schedule;
    if (push->count > 0 && push->count < PUSH_PARTS && is_row(push->parts[0].cell) && push_brings(push) &&
        schedule_chance(schedule, 150)) {
        push->parts[push->count] = push->parts[schedule_below(schedule, push->count)];
        push->count++;
    }
}

bool push_brings(const struct push *push) {
    return push->type != FRAME_PULL && push->type != FRAME_TABLE_PULL && push->type != FRAME_TABLE_ERASE;
}

bool push_numbers(const struct push *push) {
    return push_brings(push) || push->type == FRAME_TABLE_ERASE || push->creates;
}

/* Their places in the cells; what has no place is left out. */
static void take_places(struct push *push) {
    struct stage *stage = push->worker->stage;
    unsigned kept = 0;
    for (unsigned i = 0; i < push->count; i++) {
        struct part part = push->parts[i];
        part.n = oracle_push(stage->oracle, part.cell, push->worker->life, line_age(push->line));
        if (part.n != UINT_MAX) {
            part.cell->entries[part.n].clock = push->clock;
            part.cell->entries[part.n].erases = push->type == FRAME_TABLE_ERASE;
            push->parts[kept++] = part;
        }
    }
    push->count = kept;
    /* A frame is sent and given up as a whole. */
    bool known = true;
    for (unsigned i = 0; i < kept; i++) {
        known = known && push->parts[i].cell->entries[push->parts[i].n].known;
    }
    for (unsigned i = 0; i < kept; i++) {
        push->parts[i].cell->entries[push->parts[i].n].known = known;
    }
}

/* ---- requests ---- */

static void put_values(const struct push *push, const struct part *part, float *at) {
    oracle_values(push->worker->stage->oracle, part->cell, part->n, at);
    if (part->poisoned) {
        at[part->cell->elements - 1] = NAN;
    }
}

static void poison(struct push *push) {
    struct stage *stage = push->worker->stage;
    push->denied = push->worker->reads && push_numbers(push);
    if (push->denied) {
        return; /* all alike */
    }
    const unsigned bound = stage->paced ? 1 : LINE_POISONED; /* there are other refusals, of what comes late */
    if (push_brings(push) && schedule_chance(stage->schedule, stage->poisoned) && push->line->poisoned < bound) {
        push->parts[schedule_below(stage->schedule, push->count)].poisoned = true;
        push->refusals = 1;
    }
    push->malformed = push_numbers(push) && schedule_chance(stage->schedule, stage->malformed) &&
                      push->line->poisoned + push->count <= bound;
    push->refusals = push->malformed ? push->count : push->refusals;
    push->line->poisoned += push->refusals;
}

static void take_message(struct push *push, const uint8_t *packed, size_t bytes) {
    assert(bytes <= sizeof push->message);
    memcpy(push->message, packed, bytes);
    push->request.message_bytes = bytes;
}

/* So that the session numbers it. */
static void take_numbers(struct push *push, uint32_t count, const uint32_t *shards) {
    push->request.piece_count = push_numbers(push) ? count : 0;
    push->request.shards = shards;
}

static void *take_payload(struct push *push, size_t bytes) {
    push->payload = schedule_memory(aligned_alloc(64, (bytes + 64) / 64 * 64));
    memset(push->payload, 0, bytes);
    push->slice = (struct iovec){.iov_base = push->payload, .iov_len = bytes};
    push->request.payload = &push->slice;
    push->request.payload_count = bytes > 0 ? 1 : 0;
    push->request.payload_bytes = (uint32_t)bytes;
    return push->payload;
}

/* Pieces. A malformed request names slot 1, which plain SGD does not have, or which gradients are not for. */
static void fill_pieces(struct push *push) {
    struct stage *stage = push->worker->stage;
    struct message_pieces message = {.count = push->count, .clock = push->clock, .wait_ms = push->wait_ms};
    uint8_t packed[LIMIT_MESSAGE_BYTES];
    size_t floats = 0;
    for (unsigned i = 0; i < push->count; i++) {
        const struct cell *cell = push->parts[i].cell;
        message.pieces[i] = (struct message_piece){.tensor = stage->tensors[cell->tensor].id,
                                                   .block = (uint32_t)cell->place,
                                                   .elements = cell->elements,
                                                   .slot = push->malformed ? 1 : 0,
                                                   .number = push_numbers(push) ? 1 : 0};
        push->shards[i] = cell->shard;
        floats += cell->elements;
    }
    take_message(push, packed, message_pack_pieces(&message, packed));
    take_numbers(push, push->count, push->shards);
    float *at = take_payload(push, push_brings(push) ? floats * sizeof(float) : 0);
    for (unsigned i = 0; i < push->count && push_brings(push); i++) {
        put_values(push, &push->parts[i], at);
        at += push->parts[i].cell->elements;
    }
    push->request.reply_bytes =
        push->type == FRAME_PULL || push->type == FRAME_PUSH_PULL ? (uint32_t)(floats * sizeof(float)) : 0;
}

static int by_shard(const void *one, const void *other) {
    const struct part *a = one, *b = other;
    return a->cell->shard != b->cell->shard ? (a->cell->shard < b->cell->shard ? -1 : 1)
                                            : (a->cell->number > b->cell->number) - (a->cell->number < b->cell->number);
}

/* Runs of rows, each of one shard. A malformed request names a tensor, which has no rows. */
static void fill_runs(struct push *push) {
    struct stage *stage = push->worker->stage;
    const uint32_t dim = push->parts[0].cell->elements;
    struct rows_run runs[PUSH_PARTS];
    uint8_t packed[LIMIT_MESSAGE_BYTES];
    qsort(push->parts, push->count, sizeof push->parts[0], by_shard);
    for (unsigned i = 0; i < push->count; i++) {
        if (i == 0 || push->parts[i].cell->shard != push->parts[i - 1].cell->shard) {
            runs[push->runs++] =
                (struct rows_run){.shard = push->parts[i].cell->shard, .number = push_numbers(push) ? 1 : 0};
        }
        runs[push->runs - 1].rows++;
        push->parts[i].run = push->runs - 1;
    }
    const size_t row_bytes = push_brings(push) ? dim * sizeof(float) : 0;
    const struct rows_layout layout = rows_request_layout(push->runs, push->count, row_bytes);
    const struct message_rows message = {
        .clock = push->clock,
        .wait_ms = push->creates || !rows_pull(push->type) || push_brings(push) ? 0 : push->wait_ms,
        .create = push->creates,
        .table = stage->tensors[push->malformed ? 0 : push->parts[0].cell->tensor].id,
        .dim = dim,
        .runs = push->runs,
        .rows = push->count};
    take_message(push, packed, message_pack_rows(&message, packed));
    take_numbers(push, push->runs, NULL);
    uint8_t *at = take_payload(push, layout.bytes);
    memcpy(at, runs, push->runs * sizeof runs[0]);
    for (unsigned i = 0; i < push->count; i++) {
        memcpy(at + layout.ids + i * sizeof(uint64_t), &push->parts[i].cell->place, sizeof(uint64_t));
        if (push_brings(push)) {
            put_values(push, &push->parts[i], (float *)(void *)(at + layout.values + i * row_bytes));
        }
    }
    push->request.reply_bytes =
        (uint32_t)rows_reply_layout(push->runs, push->count, rows_pull(push->type) ? dim * sizeof(float) : 0).bytes;
}

static void on_done(struct session_request *request, enum canyon_status status, const char *text,
                    const struct frame *reply) {
    struct push *push = (struct push *)(void *)request;
    push_ended(push, status, text, reply);
}

/* Numbers and oracle's places, message and payload; false when there is no cell for it. */
static bool fill(struct push *push) {
    struct stage *stage = push->worker->stage;
    choose(push, (unsigned)schedule_between(stage->schedule, 1, PUSH_PARTS));
    choose_twice(push);
    if (push_brings(push) || push->type == FRAME_TABLE_ERASE) {
        take_places(push);
    }
    if (push->count == 0) {
        return false;
    }
    poison(push);
    push->request = (struct session_request){
        .type = (uint16_t)push->type,
        .message = push->message,
        .deadline = schedule_chance(stage->schedule, stage->impatient)
                        ? stage->schedule->now + schedule_between(stage->schedule, 1, 200 * MILLISECOND)
                        : UINT64_MAX,
        .changes_state = push_numbers(push),
        .may_wait = push->wait_ms > 0 && !push_numbers(push),
        .done = on_done,
        .user = push};
    if (is_row(push->parts[0].cell)) {
        fill_runs(push);
    } else {
        fill_pieces(push);
    }
    return true;
}

bool push_send(struct worker *worker, const struct push_order *order) {
    struct stage *stage = worker->stage;
    struct push *push = schedule_memory(calloc(1, sizeof *push));
    push->worker = worker;
    push->line = order->line;
    push->type = order->type;
    push->clock = order->clock;
    push->wait_ms = order->wait_ms;
    push->creates = order->creates;
    push->erasing = order->erasing;
    push->made = stage->schedule->now;
    if (!fill(push)) {
        free(push);
        return false;
    }
    push->next = worker->pushes;
    worker->pushes = push;
    worker->outstanding++;
    stage->submitted += push_numbers(push);
    schedule_trace(stage->schedule, "%s submits %s of %u parts to server %u, thread %u, at clock %llu%s", worker->name,
                   frame_type_name(push->type), push->count, push->line->host->index, push->line->thread,
                   (unsigned long long)push->clock, push->malformed ? ", malformed" : "");
    session_submit(push->line->session, &push->request);
    line_pump(push->line);
    return true;
}

bool push_make(struct worker *worker) {
    static const uint16_t types[] = {
        FRAME_PUSH,   FRAME_PUSH,       FRAME_PUSH_PULL,  FRAME_PUSH_PULL,       FRAME_PULL,       FRAME_ASSIGN,
        FRAME_ASSIGN, FRAME_TABLE_PUSH, FRAME_TABLE_PUSH, FRAME_TABLE_PUSH_PULL, FRAME_TABLE_PULL, FRAME_TABLE_ERASE};
    struct schedule *schedule = worker->stage->schedule;
    struct push_order order = {.line = &worker->lines[schedule_below(schedule, worker->line_count)]};
    order.type = types[schedule_below(schedule, sizeof types / sizeof types[0])];
    order.erasing = order.type == FRAME_TABLE_ERASE || schedule_chance(schedule, 300);
    order.creates = order.type == FRAME_TABLE_PULL && schedule_chance(schedule, 500);
    return push_send(worker, &order);
}

static void push_destroy(struct push *push) {
    free(push->payload);
    free(push);
}

void push_free_all(struct worker *worker) {
    while (worker->pushes != NULL) {
        struct push *push = worker->pushes;
        worker->pushes = push->next;
        push_destroy(push);
    }
}
