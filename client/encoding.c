#include "client/encoding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/tensor.h"

enum canyon_status encoding_init(struct encoding *encoding, struct error *error) {
    memset(encoding, 0, sizeof *encoding);
    const int failure = pthread_rwlock_init(&encoding->lock, NULL);
    return failure == 0 ? CANYON_OK
                        : error_set(error, CANYON_NO_MEMORY, "no lock for a handle's codecs: %s", strerror(failure));
}

void encoding_finish(struct encoding *encoding) {
    pthread_rwlock_destroy(&encoding->lock);
    free(encoding->residual);
}

enum canyon_status encoding_choose(struct encoding *encoding, const struct codec_choice *gradient,
                                   const struct codec_choice *weights, uint64_t elements, struct error *error) {
    enum canyon_status status = CANYON_OK;
    pthread_rwlock_wrlock(&encoding->lock);
    if (gradient->feedback && encoding->residual == NULL) {
        encoding->residual = calloc((size_t)elements + 1, sizeof *encoding->residual);
        if (encoding->residual == NULL)
            status = error_set(error, CANYON_NO_MEMORY, "no memory for what codec %s leaves of %llu elements",
                               codec_name(gradient->codec), (unsigned long long)elements);
    }
    if (status == CANYON_OK) {
        if (!gradient->feedback) {
            free(encoding->residual);
            encoding->residual = NULL;
        }
        encoding->gradient = *gradient;
        encoding->weights = *weights;
    }
    pthread_rwlock_unlock(&encoding->lock);
    return status;
}

void encoding_look(struct encoding *encoding, struct codec_choice *gradient, struct codec_choice *weights) {
    pthread_rwlock_rdlock(&encoding->lock);
    *gradient = encoding->gradient;
    *weights = encoding->weights;
    pthread_rwlock_unlock(&encoding->lock);
}

static float *residual_of(const struct encoding *encoding, const struct encoding_block *block) {
    return block->feedback && encoding->residual != NULL ? encoding->residual + block->offset : NULL;
}

void encoding_write(struct encoding *encoding, const struct encoding_block *block, uint8_t *bytes) {
    pthread_rwlock_rdlock(&encoding->lock);
    float *residual = residual_of(encoding, block);
    uint64_t seed = codec_seed(block->seed, 0, atomic_fetch_add_explicit(&encoding->turn, 1, memory_order_relaxed));
    codec_encode_feedback(block->codec, block->values, residual, block->elements, block->kept, seed, bytes);
    pthread_rwlock_unlock(&encoding->lock);
}

void encoding_undo(struct encoding *encoding, const struct encoding_block *block, const uint8_t *bytes,
                   float *decoded) {
    pthread_rwlock_rdlock(&encoding->lock);
    float *residual = residual_of(encoding, block);
    const size_t count = codec_bytes(block->codec, block->elements, block->kept);
    if (residual != NULL &&
        codec_decode(block->codec, bytes, count, block->elements, block->kept, decoded, NULL) == CANYON_OK) {
        for (uint32_t i = 0; i < block->elements; i++) {
            const float before = residual[i] + decoded[i] - block->values[i];
            residual[i] = isfinite(before) ? before : residual[i];
        }
    }
    pthread_rwlock_unlock(&encoding->lock);
}

enum canyon_status encoding_parse(const char *gradient, const char *weights, struct codec_choice *of_gradient,
                                  struct codec_choice *of_weights, struct error *error) {
    enum canyon_status status = codec_parse(gradient == NULL ? "f32" : gradient, true, of_gradient, error);
    return status == CANYON_OK ? codec_parse(weights == NULL ? "f32" : weights, false, of_weights, error) : status;
}

enum canyon_status canyon_tensor_set_codec(canyon_tensor *tensor, const char *gradient, const char *weights) {
    struct error error = {.status = CANYON_OK};
    struct codec_choice of_gradient, of_weights;
    if (tensor == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_tensor_set_codec: the tensor is NULL");
    if (encoding_parse(gradient, weights, &of_gradient, &of_weights, &error) == CANYON_OK)
        encoding_choose(&tensor->encoding, &of_gradient, &of_weights, tensor->elements, &error);
    if (error.status != CANYON_OK)
        error_prefix(&error, "tensor \"%s\"", tensor->info.spec.name);
    return last_error_set(&error);
}

enum canyon_status canyon_codec_check(const char *gradient, const char *weights) {
    struct error error = {.status = CANYON_OK};
    struct codec_choice of_gradient, of_weights;
    encoding_parse(gradient, weights, &of_gradient, &of_weights, &error);
    return last_error_set(&error);
}
