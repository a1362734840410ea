/* How a tensor's values travel, as its handle was told, and what the encodings of its gradients have lost so far. */
#ifndef CANYON_CLIENT_ENCODING_H
#define CANYON_CLIENT_ENCODING_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common/codec.h"

/* A tensor handle's. Thread-safe between init and finish, but for this: one block at a time is encoded by one thread
 * (its connection's). */
struct encoding {
    pthread_rwlock_t lock; /* who encodes reads, who chooses writes */
    struct codec_choice gradient, weights;
    float *residual;       /* of the tensor's elements, where the gradient's codec has feedback; else NULL */
    _Atomic uint64_t turn; /* encodings so far: no two draw alike */
};

/* NO_MEMORY: there is nothing to finish. */
enum canyon_status encoding_init(struct encoding *encoding, struct error *error);
void encoding_finish(struct encoding *encoding);

/* The codecs from now on. The residual stays where both old and new codec have feedback. NO_MEMORY: nothing changed. */
enum canyon_status encoding_choose(struct encoding *encoding, const struct codec_choice *gradient,
                                   const struct codec_choice *weights, uint64_t elements, struct error *error);

/* Reads what people write; NULL for "f32". INVALID_ARGUMENT. */
enum canyon_status encoding_parse(const char *gradient, const char *weights, struct codec_choice *of_gradient,
                                  struct codec_choice *of_weights, struct error *error);

/* What is chosen now. */
void encoding_look(struct encoding *encoding, struct codec_choice *gradient, struct codec_choice *weights);

/* One block of a gradient, to be encoded as it was planned. */
struct encoding_block {
    enum codec codec;
    const float *values;
    uint64_t offset; /* of its first element in the tensor */
    uint32_t elements, kept;
    bool feedback; /* as its call was begun: with the residual, if there still is one */
    uint64_t seed; /* of its tensor, block and worker */
};

/* Writes codec_bytes bytes. The residual, if there is one, is updated: once for each call. */
void encoding_write(struct encoding *encoding, const struct encoding_block *block, uint8_t *bytes);

/* Takes an encoding back that was written last for this block, and not sent: what it had taken from the residual is
 * there again, but for rounding. `decoded` is room for the block's elements. */
void encoding_undo(struct encoding *encoding, const struct encoding_block *block, const uint8_t *bytes, float *decoded);

#endif
