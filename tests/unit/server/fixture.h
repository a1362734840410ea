/* What tests of the shard and the handler share: small jobs, specs, digests as values. */
#ifndef CANYON_TESTS_UNIT_SERVER_FIXTURE_H
#define CANYON_TESTS_UNIT_SERVER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/job.h"
#include "common/random.h"
#include "server/optimizers/optimizer.h"
#include "server/shard.h"
#include "tests/unit/common/seed.h"

/* So that an allocation of terabytes answers NULL under the sanitizers as it does without. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}
const char *__tsan_default_options(void) {
    return "allocator_may_return_null=1";
}

struct digest {
    uint8_t bytes[HASH_BYTES];
};

/* A job of `servers` servers at 127.0.0.1:7001, ...; finish it with job_finish. */
static inline struct job fixture_job(uint32_t servers, uint32_t shards, uint32_t block) {
    struct job job;
    char list[1024] = "";
    job_init(&job);
    for (uint32_t i = 0; i < servers; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s127.0.0.1:%u", i == 0 ? "" : ",", 7001 + i);
    }
    snprintf(job.name, sizeof job.name, "test");
    job.shards = shards;
    job.block = block;
    assert_int_equal(job_set_servers(&job, list, strlen(list), ',', NULL), CANYON_OK);
    assert_int_equal(job_check(&job, NULL), CANYON_OK);
    return job;
}

/* A one-dimensional tensor of `elements`, uniform in [-1, 1), with an optimizer in its text form ("adam:lr=0.01"). Not
 * canonical yet. */
static inline struct tensor_spec fixture_raw_spec(const char *name, uint64_t elements, const char *optimizer) {
    struct tensor_spec spec;
    memset(&spec, 0, sizeof spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.shape.rank = 1;
    spec.shape.dims[0] = elements;
    spec.initializer = (struct initializer){.kind = INITIALIZER_UNIFORM, .seed = 7, .a = -1, .b = 1};
    assert_int_equal(optimizer_spec_parse(optimizer, &spec.optimizer, NULL), CANYON_OK);
    return spec;
}

static inline struct tensor_spec fixture_spec(const char *name, uint64_t elements, const char *optimizer) {
    struct tensor_spec spec = fixture_raw_spec(name, elements, optimizer);
    assert_int_equal(shard_canonical_spec(&spec, NULL), CANYON_OK);
    return spec;
}

static inline struct digest fixture_digest(const struct shard *shard) {
    struct digest digest;
    shard_digest(shard, digest.bytes);
    return digest;
}

static inline bool fixture_same(struct digest one, struct digest other) {
    return memcmp(one.bytes, other.bytes, HASH_BYTES) == 0;
}

/* In [-1, 1). */
static inline float fixture_float(uint64_t *seed) {
    return (float)seed_below(seed, 1 << 24) / (float)(1 << 23) - 1.0f;
}

static inline void fixture_fill(uint64_t *seed, float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        values[i] = fixture_float(seed);
    }
}

static inline void fixture_session(uint8_t session[SESSION_BYTES], unsigned number) {
    memset(session, 0, SESSION_BYTES);
    session[0] = (uint8_t)number;
    session[1] = (uint8_t)(number >> 8);
    session[15] = 0xa5;
}

/* The block number with the lowest place in a shard. */
static inline uint32_t fixture_first_block(const struct job *job, uint32_t shard, const char *name) {
    uint32_t block = 0;
    while (job_shard_of(job, job_home(name), block) != shard) {
        block++;
    }
    return block;
}

/* Where every allocation succeeds, one of terabytes would be used: tests of NO_MEMORY are skipped there. */
static inline bool fixture_overcommits(void) {
    FILE *file = fopen("/proc/sys/vm/overcommit_memory", "r");
    int mode = file == NULL ? '1' : fgetc(file);
    if (file != NULL) {
        fclose(file);
    }
    return mode == '1';
}

#endif
