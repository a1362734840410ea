#include "server/dense.h"

#include <assert.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "server/command.h"
#include "server/initializer.h"

#define TAME_CHUNK 1024 /* elements of a gradient that are looked at and copied at a time */
#define LINE       (MEMORY_ALIGNMENT / sizeof(float)) /* elements to which an array's length is rounded up */

static uint64_t padded(uint64_t elements) {
    return (elements + LINE - 1) / LINE * LINE;
}

/* The lowest block number that placement puts into the shard. */
static uint32_t first_block(const struct job *job, uint32_t shard, const char *name) {
    uint32_t home = job_shard_of(job, job_home(name), 0);
    return (shard + job->shards - home) % job->shards;
}

void dense_measure(const struct job *job, uint32_t shard, const struct tensor_spec *spec, struct dense_size *size) {
    const struct optimizer *optimizer = optimizer_find(spec->optimizer.name);
    uint64_t elements = 0, first = first_block(job, shard, spec->name);
    enum canyon_status status = shape_elements(&spec->shape, &elements, NULL);
    assert(status == CANYON_OK && optimizer != NULL);
    uint64_t blocks = job_block_count(job, elements);
    memset(size, 0, sizeof *size);
    if (first < blocks) {
        size->blocks = (blocks - first - 1) / job->shards + 1;
        uint64_t last = first + (size->blocks - 1) * job->shards;
        uint64_t length = job_block_elements(job, elements, last);
        size->elements = (size->blocks - 1) * job->block + length;
        uint64_t room = (size->blocks - 1) * padded(job->block) + padded(length);
        size->bytes = room * (1 + optimizer->slot_count) * sizeof(float);
    }
}

static void fill_block(struct dense *dense, size_t place) {
    const struct optimizer *optimizer = dense->optimizer;
    size_t elements = dense_elements(dense, place);
    uint64_t before = (uint64_t)dense_number(dense, place) * dense->block_elements;
    struct dense_block *block = &dense->blocks[place];
    initializer_fill(&dense->spec, before, elements, dense_weights(dense, place));
    for (size_t slot = 0; slot < optimizer->slot_count; slot++) {
        float initial = optimizer->slot_initial == NULL ? 0.0f : optimizer->slot_initial(dense->hyper, slot);
        float *values = dense_slot(dense, place, slot);
        for (size_t i = 0; i < elements; i++) {
            values[i] = initial;
        }
    }
    for (size_t i = 0; i < optimizer->scalar_count; i++) {
        block->scalars[i] = optimizer->scalar_initial[i];
    }
}

void dense_adjust(struct dense *dense, const struct optimizer_spec *settings, uint64_t epoch) {
    dense->settings = *settings;
    dense->epoch = epoch;
    for (size_t i = 0; i < dense->optimizer->hyperparameter_count; i++) {
        dense->hyper[i] = settings->settings[i].value;
    }
    dense->rate = optimizer_hyperparameter_index(dense->optimizer, "lr");
    schedule_read(settings, &dense->schedule);
    dense->staleness = rule_staleness(settings);
    dense->nonfinite = NONFINITE_REFUSE;
    for (uint32_t i = 0; i < settings->count; i++) {
        if (strcmp(settings->settings[i].name, "nonfinite") == 0) {
            dense->nonfinite = (enum nonfinite_policy)settings->settings[i].value;
        }
    }
}

struct dense *dense_create(const struct job *job, uint32_t shard, uint64_t id, const struct tensor_spec *spec,
                           const struct memory *source) {
    struct dense_size size;
    struct dense *dense = calloc(1, sizeof *dense);
    dense_measure(job, shard, spec, &size);
    assert(size.blocks > 0);
    if (dense == NULL || size.bytes > SIZE_MAX / 2) {
        goto failed;
    }
    dense->source = source;
    dense->size = size;
    dense->memory = memory_take(source, (size_t)size.bytes);
    if (dense->memory == NULL) {
        goto failed;
    }
    dense->blocks = calloc((size_t)size.blocks, sizeof *dense->blocks);
    if (dense->blocks == NULL) {
        goto failed;
    }
    dense->spec = *spec;
    dense->key.id = id;
    dense->key.name = dense->spec.name;
    dense->optimizer = optimizer_find(spec->optimizer.name);
    dense_adjust(dense, &spec->optimizer, 0);
    (void)shape_elements(&spec->shape, &dense->elements, NULL); /* measured above */
    dense->block_elements = job->block;
    dense->first = first_block(job, shard, spec->name);
    dense->stride = job->shards;
    dense->count = (size_t)size.blocks;
    for (size_t place = 0; place < dense->count; place++) {
        fill_block(dense, place);
    }
    return dense;
failed:
    dense_destroy(dense);
    return NULL;
}

void dense_destroy(struct dense *dense) {
    if (dense != NULL) {
        free(dense->blocks);
        contributions_destroy(dense->contributions);
        memory_give(dense->source, dense->memory, (size_t)dense->size.bytes);
        free(dense);
    }
}

size_t dense_place(const struct dense *dense, uint32_t block) {
    if (block < dense->first || (block - dense->first) % dense->stride != 0) {
        return dense->count;
    }
    size_t place = (block - dense->first) / dense->stride;
    return place < dense->count ? place : dense->count;
}

uint32_t dense_number(const struct dense *dense, size_t place) {
    return dense->first + (uint32_t)place * dense->stride;
}

uint32_t dense_elements(const struct dense *dense, size_t place) {
    uint64_t before = (uint64_t)dense_number(dense, place) * dense->block_elements;
    uint64_t left = dense->elements - before;
    return left < dense->block_elements ? (uint32_t)left : dense->block_elements;
}

float *dense_weights(const struct dense *dense, size_t place) {
    /* Only the tensor's last block is short, and it is the last of its part: every block before has the full room. */
    return dense->memory + place * (size_t)padded(dense->block_elements) * (1 + dense->optimizer->slot_count);
}

float *dense_slot(const struct dense *dense, size_t place, size_t slot) {
    return dense_weights(dense, place) + (1 + slot) * (size_t)padded(dense_elements(dense, place));
}

/* All ones in the exponent: infinity or NaN. */
static uint32_t not_finite(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7f800000u) == 0x7f800000u;
}

void dense_assign(struct dense *dense, size_t place, const float *values) {
    memcpy(dense_weights(dense, place), values, dense_elements(dense, place) * sizeof(float));
    dense->blocks[place].version++;
}

/* A piece of a gradient as the update loop gets it under the policies that do not refuse: infinity is cut to the
 * largest number where it is to be clipped; what is to be skipped stays as it is, because the loop leaves every element
 * alone whose gradient is not finite. Returns how many elements that will be. */
static uint64_t tame(struct dense *dense, const float *gradient, size_t count, float *tamed) {
    uint64_t skipped = 0;
    for (size_t i = 0; i < count; i++) {
        float g = gradient[i];
        tamed[i] = g;
        if (not_finite(g) && dense->nonfinite == NONFINITE_CLIP && g == g) {
            tamed[i] = g > 0.0f ? FLT_MAX : -FLT_MAX;
            dense->clipped++;
        } else if (not_finite(g)) {
            skipped++;
        }
    }
    return skipped;
}

/* The constants of this update, with the rate that the schedule has for it. */
static void prepare(const struct dense *dense, struct dense_block *block, uint64_t staleness, float *prepared) {
    const struct optimizer *optimizer = dense->optimizer;
    double hyper[OPTIMIZER_HYPERPARAMETERS];
    memcpy(hyper, dense->hyper, sizeof hyper);
    if (dense->rate < optimizer->hyperparameter_count) {
        double least = optimizer->hyperparameters[dense->rate].low;
        double rate = schedule_rate(&dense->schedule, hyper[dense->rate], block->step - 1);
        rate = rule_rate(&dense->staleness, rate, staleness);
        hyper[dense->rate] = rate < least ? least : rate;
    }
    optimizer->prepare(hyper, block->step, block->scalars, prepared);
}

/* Elements at `from` to `from + count` of a block. */
static void push_chunk(struct dense *dense, size_t place, const float *prepared, size_t from, size_t count,
                       const float *gradient) {
    const struct optimizer *optimizer = dense->optimizer;
    float *slots[OPTIMIZER_SLOTS] = {NULL};
    for (size_t slot = 0; slot < optimizer->slot_count; slot++) {
        slots[slot] = dense_slot(dense, place, slot) + from;
    }
    dense->kept += optimizer_apply(optimizer, prepared, count, gradient, dense_weights(dense, place) + from, slots);
}

void dense_push(struct dense *dense, size_t place, const float *gradient, uint64_t staleness) {
    struct dense_block *block = &dense->blocks[place];
    size_t elements = dense_elements(dense, place);
    float prepared[OPTIMIZER_PREPARED] = {0}, tamed[TAME_CHUNK];
    block->step++;
    prepare(dense, block, staleness, prepared);
    if (dense->nonfinite == NONFINITE_REFUSE || optimizer_first_not_finite(gradient, elements) == elements) {
        push_chunk(dense, place, prepared, 0, elements, gradient);
    } else {
        for (size_t at = 0; at < elements; at += TAME_CHUNK) {
            size_t count = elements - at < TAME_CHUNK ? elements - at : TAME_CHUNK;
            uint64_t skipped = tame(dense, gradient + at, count, tamed);
            push_chunk(dense, place, prepared, at, count, tamed);
            dense->skipped += skipped;
            dense->kept -= skipped; /* the loop counted them with those that overflowed */
        }
    }
    block->version++;
}

static uint32_t length_of(const void *user, size_t place) {
    return dense_elements(user, place);
}

void dense_digest(const struct dense *dense, struct hash *hash) {
    uint8_t spec[COMMAND_SPEC_LIMIT];
    struct tensor_spec now = dense->spec;
    now.optimizer = dense->settings;
    hash_update(hash, spec, command_spec_encode(&dense->spec, spec));
    hash_update(hash, spec, command_spec_encode(&now, spec));
    hash_u64(hash, dense->epoch);
    hash_u64(hash, dense->kept);
    hash_u64(hash, dense->skipped);
    hash_u64(hash, dense->clipped);
    hash_u64(hash, dense->count);
    for (size_t place = 0; place < dense->count; place++) {
        const struct dense_block *block = &dense->blocks[place];
        size_t bytes = dense_elements(dense, place) * sizeof(float);
        hash_u32(hash, dense_number(dense, place));
        hash_u64(hash, block->version);
        hash_u64(hash, block->step);
        for (size_t i = 0; i < dense->optimizer->scalar_count; i++) {
            hash_f64(hash, block->scalars[i]);
        }
        hash_update(hash, dense_weights(dense, place), bytes);
        for (size_t slot = 0; slot < dense->optimizer->slot_count; slot++) {
            hash_update(hash, dense_slot(dense, place, slot), bytes);
        }
    }
    contributions_digest(dense->contributions, hash, length_of, dense);
}
