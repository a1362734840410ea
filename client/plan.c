#include "client/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/frame.h"
#include "common/tensor.h"

/* The shared frame that is still open for one lane and one kind of request. */
enum { PLAN_KINDS = 4 };

static size_t plan_lane_of_shard(const struct plan_layout *layout, uint32_t shard) {
    uint32_t server = job_server_of(layout->job, shard);
    return layout->first_lanes[server] + job_thread_of(layout->job, shard, layout->threads[server]);
}

size_t plan_lane_of(const struct plan_layout *layout, uint64_t home, uint64_t block) {
    return plan_lane_of_shard(layout, job_shard_of(layout->job, home, block));
}

static size_t plan_kind(uint16_t type) {
    switch (type) {
    case FRAME_ASSIGN:
        return 0;
    case FRAME_PUSH:
        return 1;
    case FRAME_PULL:
        return 2;
    default:
        assert(type == FRAME_PUSH_PULL);
        return 3;
    }
}

static int compare_ids(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

static enum canyon_status plan_check_unique(const struct plan_item *items, size_t count, struct error *error) {
    if (count < 2)
        return CANYON_OK;
    uint64_t *ids = malloc(count * sizeof *ids);
    if (ids == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory to plan a step of %zu tensors", count);
    for (size_t i = 0; i < count; i++)
        ids[i] = items[i].tensor;
    qsort(ids, count, sizeof *ids, compare_ids);
    enum canyon_status status = CANYON_OK;
    for (size_t i = 1; i < count && status == CANYON_OK; i++)
        if (ids[i] == ids[i - 1])
            status = error_set(error, CANYON_INVALID_ARGUMENT,
                               "the same tensor is in the step twice: give each tensor one item");
    free(ids);
    return status;
}

static struct plan_frame *plan_new_frame(struct plan *plan, size_t lane, uint16_t type) {
    struct plan_frame *frame = &plan->frames[plan->frame_count++];
    *frame = (struct plan_frame){.lane = lane, .type = type, .first = PLAN_NONE, .last = PLAN_NONE};
    return frame;
}

static void plan_add_piece(struct plan *plan, struct plan_frame *frame, const struct plan_piece *piece) {
    size_t index = plan->piece_count++;
    plan->pieces[index] = *piece;
    if (frame->first == PLAN_NONE)
        frame->first = index;
    else
        plan->pieces[frame->last].next = index;
    frame->last = index;
    frame->count++;
    frame->out += piece->out;
    frame->in += piece->in;
    frame->single += CODEC_SINGLE((uint64_t)piece->elements);
}

/* `open` holds, per lane and kind, the index of the shared frame that may still take pieces. */
static void plan_place(struct plan *plan, size_t *open, size_t lane, uint16_t type, const struct plan_piece *piece) {
    if (piece->out >= PLAN_ALONE_BYTES || piece->in >= PLAN_ALONE_BYTES) {
        plan_add_piece(plan, plan_new_frame(plan, lane, type), piece);
        return;
    }
    size_t *slot = &open[lane * PLAN_KINDS + plan_kind(type)];
    if (*slot != PLAN_NONE) {
        const struct plan_frame *frame = &plan->frames[*slot];
        if (frame->count == LIMIT_PIECES || frame->out + piece->out > PLAN_FRAME_BYTES ||
            frame->in + piece->in > PLAN_FRAME_BYTES ||
            frame->single + CODEC_SINGLE((uint64_t)piece->elements) > PLAN_SINGLE_BYTES)
            *slot = PLAN_NONE;
    }
    if (*slot == PLAN_NONE) {
        *slot = plan->frame_count;
        plan_new_frame(plan, lane, type);
    }
    plan_add_piece(plan, &plan->frames[*slot], piece);
}

/* How many values of a block topk keeps: no more than fit a frame, where blocks are long. */
static uint32_t plan_kept(const struct job *job, const struct plan_item *item, uint32_t elements) {
    size_t kept = codec_kept(item->fraction, elements), most = job_payload_limit(job) / codec_bytes(CODEC_TOPK, 1, 1);
    return (uint32_t)(kept < most ? kept : most);
}

/* How much of a piece travels, each way. */
static void plan_measure(const struct job *job, const struct plan_item *item, struct plan_piece *piece) {
    bool pushes = item->type == FRAME_PUSH || item->type == FRAME_PUSH_PULL;
    piece->kept = pushes && item->codec == CODEC_TOPK ? plan_kept(job, item, piece->elements) : 0;
    if (item->type != FRAME_PULL)
        piece->out = (uint32_t)codec_bytes(item->codec, piece->elements, piece->kept);
    if (item->type == FRAME_PULL || item->type == FRAME_PUSH_PULL)
        piece->in = (uint32_t)codec_bytes(item->reply, piece->elements, 0);
}

/* Lanes with an open shared frame each, of every kind, in place: more than that is rare. */
enum { PLAN_FEW_OPEN = 16 * PLAN_KINDS };

static enum canyon_status plan_allocate(struct plan *plan, size_t **open, const struct plan_layout *layout,
                                        const struct plan_item *items, size_t count, struct error *error) {
    uint64_t blocks = 0;
    for (size_t i = 0; i < count; i++)
        blocks += job_block_count(layout->job, items[i].elements);
    size_t slots = layout->lane_count * PLAN_KINDS;
    bool few = blocks <= PLAN_FEW;
    plan->frames = few ? plan->few_frames : calloc((size_t)blocks, sizeof *plan->frames);
    plan->pieces = few ? plan->few_pieces : calloc((size_t)blocks, sizeof *plan->pieces);
    *open = slots <= PLAN_FEW_OPEN ? *open : malloc(slots * sizeof **open);
    if (plan->frames == NULL || plan->pieces == NULL || *open == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory to plan a step of %llu blocks",
                         (unsigned long long)blocks);
    for (size_t i = 0; i < slots; i++)
        (*open)[i] = PLAN_NONE;
    return CANYON_OK;
}

enum canyon_status plan_make(struct plan *plan, const struct plan_layout *layout, const struct plan_item *items,
                             size_t count, struct error *error) {
    size_t few_open[PLAN_FEW_OPEN], *open = few_open;
    plan->frames = NULL;
    plan->pieces = NULL;
    plan->frame_count = plan->piece_count = 0;
    enum canyon_status status = plan_check_unique(items, count, error);
    if (status != CANYON_OK)
        goto out;
    status = plan_allocate(plan, &open, layout, items, count, error);
    if (status != CANYON_OK)
        goto out;

    for (size_t i = 0; i < count; i++) {
        uint64_t blocks = job_block_count(layout->job, items[i].elements);
        for (uint64_t block = 0; block < blocks; block++) {
            struct plan_piece piece = {.item = i,
                                       .offset = block * layout->job->block,
                                       .block = (uint32_t)block,
                                       .shard = job_shard_of(layout->job, items[i].home, block),
                                       .elements = job_block_elements(layout->job, items[i].elements, block),
                                       .next = PLAN_NONE};
            if (items[i].per_block) {
                piece.offset = block * SLOT_NUMBER_WORDS;
                piece.elements = SLOT_NUMBER_WORDS;
            }
            plan_measure(layout->job, &items[i], &piece);
            plan_place(plan, open, plan_lane_of_shard(layout, piece.shard), items[i].type, &piece);
        }
    }
out:
    if (open != few_open)
        free(open);
    return status;
}

void plan_finish(struct plan *plan) {
    if (plan == NULL)
        return;
    if (plan->frames != plan->few_frames)
        free(plan->frames);
    if (plan->pieces != plan->few_pieces)
        free(plan->pieces);
    plan->frames = NULL;
    plan->pieces = NULL;
    plan->frame_count = plan->piece_count = 0;
}
