/* topk: the indexes of the values that are kept, u32, then the values, float32. For codec*.c only. */
#ifndef CANYON_COMMON_CODEC_TOP_H
#define CANYON_COMMON_CODEC_TOP_H

#include "common/codec.h"

/* `bytes` are kept * CODEC_TOP_BYTES. Errors of codec_decode. */
enum canyon_status codec_decode_top(const uint8_t *bytes, size_t elements, size_t kept, float *values,
                                    struct error *error);

#endif
