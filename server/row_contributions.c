#include "server/row_contributions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"

#define NONE UINT32_MAX

/* Of a row: who contributed, in order of ranks. By rank each has values of its own; else the row has all. */
struct row {
    uint64_t id, key;
    uint32_t first, count; /* givers */
    uint32_t values;       /* NONE by rank */
    uint32_t unused;
};

struct giver {
    uint32_t rank, next;
    uint32_t values; /* NONE as they arrive */
    uint32_t unused;
};

/* What an add will use. */
struct need {
    size_t rows, givers, values;
};

_Static_assert(sizeof(struct row) == 32 && sizeof(struct giver) == 16, "elements of a row array");

/* Bytes of one gradient, as a row array has its elements. */
static size_t element(size_t dim) {
    size_t bytes = dim * sizeof(float), small = sizeof(float);
    while (small < bytes && small < 64) {
        small *= 2;
    }
    return bytes <= 64 ? small : (bytes + 63) / 64 * 64;
}

void row_contributions_init(struct row_contributions *contributions, struct pool *pool, size_t dim) {
    memset(contributions, 0, sizeof *contributions);
    contributions->dim = dim;
    row_array_init(&contributions->rows, pool, sizeof(struct row));
    row_array_init(&contributions->givers, pool, sizeof(struct giver));
    row_array_init(&contributions->values, pool, element(dim));
}

void row_contributions_finish(struct row_contributions *contributions) {
    row_array_finish(&contributions->rows);
    row_array_finish(&contributions->givers);
    row_array_finish(&contributions->values);
    free(contributions->slots);
    free(contributions->piece);
    memset(contributions, 0, sizeof *contributions);
}

static struct row *row_at(const struct row_contributions *contributions, uint32_t number) {
    return row_array_at(&contributions->rows, number);
}

static struct giver *giver_at(const struct row_contributions *contributions, uint32_t number) {
    return row_array_at(&contributions->givers, number);
}

static float *values_at(const struct row_contributions *contributions, uint32_t number) {
    return row_array_at(&contributions->values, number);
}

/* ---- finding ---- */

/* The slot of a key, or the empty one where it would stand. Keys are as good as random, so their lowest bits do. */
static size_t slot_of(const struct row_contributions *contributions, uint64_t key) {
    size_t slot = (size_t)key & (contributions->slot_count - 1);
    while (contributions->slots[slot] != NONE && row_at(contributions, contributions->slots[slot])->key != key) {
        slot = (slot + 1) & (contributions->slot_count - 1);
    }
    return slot;
}

static struct row *find(const struct row_contributions *contributions, uint64_t key) {
    const uint32_t number = contributions->slot_count > 0 ? contributions->slots[slot_of(contributions, key)] : NONE;
    return number != NONE ? row_at(contributions, number) : NULL;
}

/* Where a rank stands among the givers, or would: the number that leads there. */
static uint32_t *place_of(const struct row_contributions *contributions, struct row *row, uint32_t rank) {
    uint32_t *place = &row->first;
    while (*place != NONE && giver_at(contributions, *place)->rank < rank) {
        place = &giver_at(contributions, *place)->next;
    }
    return place;
}

static bool stands_at(const struct row_contributions *contributions, const uint32_t *place, uint32_t rank) {
    return *place != NONE && giver_at(contributions, *place)->rank == rank;
}

/* ---- room ---- */

static bool orders(const struct row_contributions *contributions, enum consistency_order order) {
    return contributions->row_count > 0 ? contributions->by_rank : order == CONSISTENCY_RANK;
}

static struct need need_of(const struct row_contributions *contributions, const uint64_t *keys, size_t count,
                           uint32_t rank, enum consistency_order order) {
    struct need need = {.rows = 0};
    const bool by_rank = orders(contributions, order);
    if (keys == NULL) {
        return (struct need){count, count, count};
    }
    for (size_t i = 0; i < count; i++) {
        struct row *row = find(contributions, keys[i]);
        const bool there = row != NULL && stands_at(contributions, place_of(contributions, row, rank), rank);
        need.rows += row == NULL;
        need.givers += !there;
        need.values += row == NULL || (by_rank && !there);
    }
    return need;
}

static size_t slots_for(const struct row_contributions *contributions, size_t rows) {
    size_t slots = contributions->slot_count > 0 ? contributions->slot_count : 64;
    while (slots / 2 < contributions->row_count + rows) {
        slots *= 2;
    }
    return slots;
}

static uint64_t array_room(const struct row_array *array, uint32_t used, size_t more) {
    return used + more > array->elements ? row_array_room(array, used + more - array->elements) : 0;
}

static size_t piece_bytes(const struct row_contributions *contributions) {
    return ROW_CONTRIBUTIONS_PIECE * contributions->dim * sizeof(float);
}

uint64_t row_contributions_bytes(const struct row_contributions *contributions) {
    return contributions->rows.bytes + contributions->givers.bytes + contributions->values.bytes +
           contributions->slot_count * sizeof *contributions->slots +
           (contributions->piece != NULL ? piece_bytes(contributions) : 0);
}

uint64_t row_contributions_room(const struct row_contributions *contributions, const uint64_t *keys, size_t count,
                                uint32_t rank, enum consistency_order order) {
    const struct need need = need_of(contributions, keys, count, rank, order);
    return array_room(&contributions->rows, contributions->row_count, need.rows) +
           array_room(&contributions->givers, contributions->giver_count, need.givers) +
           array_room(&contributions->values, contributions->value_count, need.values) +
           (slots_for(contributions, need.rows) - contributions->slot_count) * sizeof *contributions->slots +
           (contributions->piece == NULL ? piece_bytes(contributions) : 0);
}

static bool grow(struct row_array *array, uint32_t used, size_t more) {
    if (more > NONE - used) {
        return false;
    }
    while (array->elements < used + (uint64_t)more) {
        if (!row_array_grow(array)) {
            return false;
        }
    }
    return true;
}

/* The old slots are not read: the rows are there. */
static bool widen(struct row_contributions *contributions, size_t rows) {
    const size_t wanted = slots_for(contributions, rows);
    if (wanted == contributions->slot_count) {
        return true;
    }
    uint32_t *slots = malloc(wanted * sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    free(contributions->slots);
    memset(slots, 0xff, wanted * sizeof *slots);
    contributions->slots = slots;
    contributions->slot_count = wanted;
    for (uint32_t i = 0; i < contributions->row_count; i++) {
        slots[slot_of(contributions, row_at(contributions, i)->key)] = i;
    }
    return true;
}

bool row_contributions_reserve(struct row_contributions *contributions, const uint64_t *keys, size_t count,
                               uint32_t rank, enum consistency_order order) {
    const struct need need = need_of(contributions, keys, count, rank, order);
    if (contributions->piece == NULL) {
        contributions->piece = malloc(piece_bytes(contributions));
    }
    return contributions->piece != NULL && grow(&contributions->rows, contributions->row_count, need.rows) &&
           grow(&contributions->givers, contributions->giver_count, need.givers) &&
           grow(&contributions->values, contributions->value_count, need.values) && widen(contributions, need.rows);
}

/* ---- adding up ---- */

static void add(float *restrict to, const float *restrict from, size_t dim) {
    for (size_t i = 0; i < dim; i++) {
        to[i] += from[i];
    }
}

static struct row *make_row(struct row_contributions *contributions, uint64_t id, uint64_t key) {
    const uint32_t number = contributions->row_count;
    const size_t slot = slot_of(contributions, key);
    struct row *row = row_at(contributions, number);
    *row = (struct row){.id = id, .key = key, .first = NONE, .values = NONE};
    row->values = contributions->by_rank ? NONE : contributions->value_count++;
    contributions->slots[slot] = number;
    contributions->row_count++;
    return row;
}

static void add_one(struct row_contributions *contributions, struct row *row, uint32_t rank, const float *gradient) {
    uint32_t *place = place_of(contributions, row, rank);
    const bool gives = !stands_at(contributions, place, rank) || MUTANT(row_twice_counts_twice);
    const bool first = row->count == 0;
    if (gives) {
        const uint32_t number = contributions->giver_count++;
        *giver_at(contributions, number) = (struct giver){
            .rank = rank, .next = *place, .values = contributions->by_rank ? contributions->value_count++ : NONE};
        *place = number;
        row->count++;
        contributions->contributed += first;
    }
    float *to =
        values_at(contributions, contributions->by_rank ? giver_at(contributions, *place)->values : row->values);
    if (contributions->by_rank ? gives : first) {
        memcpy(to, gradient, contributions->dim * sizeof *to);
    } else {
        add(to, gradient, contributions->dim);
    }
}

void row_contributions_add(struct row_contributions *contributions, const uint64_t *ids, const uint64_t *keys,
                           size_t count, uint32_t rank, enum consistency_order order, const float *gradients) {
    contributions->by_rank = orders(contributions, order);
    for (size_t i = 0; i < count; i++) {
        struct row *row = find(contributions, keys[i]);
        if (row == NULL) {
            row = make_row(contributions, ids[i], keys[i]);
        }
        add_one(contributions, row, rank, gradients + i * contributions->dim);
    }
    assert(contributions->row_count <= contributions->rows.elements &&
           contributions->giver_count <= contributions->givers.elements &&
           contributions->value_count <= contributions->values.elements);
}

void row_contributions_forget(struct row_contributions *contributions, uint64_t key) {
    struct row *row = find(contributions, key);
    if (row != NULL && row->count > 0) {
        row->first = NONE;
        row->count = 0;
        contributions->contributed--;
    }
}

/* ---- taking ---- */

static void combine_row(const struct row_contributions *contributions, const struct row *row,
                        enum consistency_combine combine, float *sum) {
    const size_t dim = contributions->dim;
    const struct giver *giver = giver_at(contributions, row->first);
    memcpy(sum, values_at(contributions, contributions->by_rank ? giver->values : row->values), dim * sizeof *sum);
    while (contributions->by_rank && giver->next != NONE) {
        giver = giver_at(contributions, giver->next);
        add(sum, values_at(contributions, giver->values), dim);
    }
    if (combine == CONSISTENCY_MEAN && row->count > 1) {
        for (size_t i = 0; i < dim; i++) {
            sum[i] /= (float)(MUTANT(rows_divided_by_all) ? contributions->giver_count : row->count);
        }
    }
}

size_t row_contributions_take(struct row_contributions *contributions, uint32_t *at, enum consistency_combine combine,
                              uint64_t *ids, uint64_t *keys) {
    size_t count = 0;
    for (; *at < contributions->row_count && count < ROW_CONTRIBUTIONS_PIECE; (*at)++) {
        const struct row *row = row_at(contributions, *at);
        if (row->count > 0) {
            combine_row(contributions, row, combine, contributions->piece + count * contributions->dim);
            ids[count] = row->id;
            keys[count++] = row->key;
        }
    }
    return count;
}

void row_contributions_clear(struct row_contributions *contributions) {
    if (contributions->slots != NULL) {
        memset(contributions->slots, 0xff, contributions->slot_count * sizeof *contributions->slots);
    }
    contributions->row_count = contributions->giver_count = contributions->value_count = 0;
    contributions->contributed = 0;
}

void row_contributions_digest(const struct row_contributions *contributions, struct hash *hash) {
    for (uint32_t i = 0; i < contributions->row_count; i++) {
        const struct row *row = row_at(contributions, i);
        if (row->count == 0) {
            continue;
        }
        hash_u64(hash, row->id);
        hash_u32(hash, row->count);
        if (!contributions->by_rank) {
            hash_update(hash, values_at(contributions, row->values), contributions->dim * sizeof(float));
        }
        for (uint32_t at = row->first; at != NONE; at = giver_at(contributions, at)->next) {
            const struct giver *giver = giver_at(contributions, at);
            hash_u32(hash, giver->rank);
            if (contributions->by_rank) {
                hash_update(hash, values_at(contributions, giver->values), contributions->dim * sizeof(float));
            }
        }
    }
}
