/* Codecs: the forms in which float32 values travel. Gradients and weights are float32 at both ends; in between they may
 * take less room. PROTOCOL.md has every form byte by byte.
 *
 *   f32              as they are
 *   bf16, f16        rounded to the nearest number of 16 bits, ties to even. A finite value never becomes infinite:
 *                    beyond the largest number of the form it becomes that number (f16: 65504). Infinity stays
 *                    infinity, NaN stays NaN. Relative error at most 2^-8 (bf16) or 2^-11 (f16); f16 values below 2^-14
 *                    have an absolute error of at most 2^-25
 *   int8             groups of 64 values with a scale s each, the group's largest finite size divided by 127 (and at
 *                    least 2^-126, at most what times 127 is finite): q = x / s rounded, x' = q * s. Rounded to
 *                    nearest, the error is at most s / 2 and a rounding of float32; rounded stochastically, it is less
 *                    than s and zero in the mean. NaN and both infinities become NaN
 *   topk             of a gradient only the values of largest size, exact, with their indexes; the others are zero
 *
 * Whatever is not finite is so again after decoding, as far as topk keeps it: it is for the receiver to judge, as it is
 * with f32.
 *
 * Encodings are a multiple of 4 bytes, filled up with zeros, so that one behind another stays aligned. The same values
 * give the same bytes on every CPU: the loops are compiled for several instruction sets and differ in speed alone.
 * Pure; thread-safe after codec_start. Nothing allocates. */
#ifndef CANYON_COMMON_CODEC_H
#define CANYON_COMMON_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/status.h"

/* Stable numbers: they are on the wire. */
enum codec {
    CODEC_F32 = 0,
    CODEC_BF16 = 1,
    CODEC_F16 = 2,
    CODEC_INT8 = 3,
    CODEC_INT8_STOCHASTIC = 4, /* the same bytes as INT8; another rounding where they are made */
    CODEC_TOPK = 5,            /* gradients only */
    CODEC_LAST = CODEC_TOPK
};

#define CODEC_GROUP            64 /* values of int8 that share a scale */
#define CODEC_GROUP_BYTES      (4 + CODEC_GROUP)
#define CODEC_TOP_BYTES        8 /* of topk for each value kept: index and value */
#define CODEC_TEXT_BYTES       48
#define CODEC_SINGLE(elements) ((elements) * sizeof(float)) /* bytes as f32 */

/* Chooses the loops for this CPU; any number of times, from any thread, before anything is encoded or decoded. Without
 * it the slowest ones are used. */
void codec_start(void);

/* "bf16"; "unknown" for a number that is none. */
const char *codec_name(unsigned codec);

/* Exact bytes of `elements` values encoded; `kept` is the number of values of topk, and nothing to the others. No
 * overflow for elements up to LIMIT_BLOCK_HIGH. */
size_t codec_bytes(enum codec codec, size_t elements, size_t kept);

/* Values of topk that are kept of a block: the fraction, rounded up; at least 1 of a block that has any. 0 < fraction
 * <= 1. */
size_t codec_kept(double fraction, size_t elements);

/* A seed for one encoding of one block: `what` is a name's hash, `turn` another number every time. */
uint64_t codec_seed(uint64_t what, uint64_t block, uint64_t turn);

/* Writes codec_bytes bytes. Not for TOPK. `seed` decides how INT8_STOCHASTIC rounds, by value: the value at index i
 * goes up or down by a hash of (seed, i). `bytes` and `values` are at any 4-byte alignment and do not overlap. */
void codec_encode(enum codec codec, const float *values, size_t elements, uint64_t seed, uint8_t *bytes);

/* The `kept` values of largest size (of equal ones those of lower index; NaN counts as largest of all, infinity next),
 * indexes ascending. kept <= elements.
 * With a residual: takes residual + value instead of value (cut to the largest finite number), and leaves in the
 * residual what was not kept, so that it is part of the next encoding. Values that are not finite are the largest, and
 * leave their residual as it was, kept or not: a residual is always finite. NULL for none. */
void codec_encode_top(const float *values, float *residual, size_t elements, size_t kept, uint8_t *bytes);

/* The same error feedback for any codec: encodes residual + value, and leaves in the residual what the encoding lost of
 * it. codec_encode or codec_encode_top when the residual is NULL. */
void codec_encode_feedback(enum codec codec, const float *values, float *residual, size_t elements, size_t kept,
                           uint64_t seed, uint8_t *bytes);

/* Decodes `bytes`, of whatever origin, to exactly `elements` values; `count` is how many bytes there are. Every number
 * a sender can choose is checked. The values are as good as undefined after an error.
 *   UNSUPPORTED       no such codec
 *   INVALID_ARGUMENT  another length than codec_bytes; padding that is not zero; more values kept than there are;
 *                     indexes that do not ascend or are outside. The text says which */
enum canyon_status codec_decode(unsigned codec, const uint8_t *bytes, size_t count, size_t elements, size_t kept,
                                float *values, struct error *error);

/* ---- How people write them ---- */

struct codec_choice {
    enum codec codec;
    double fraction; /* of topk */
    bool feedback;   /* what an encoding loses is added to the next */
};

/* "f32", "bf16", "f16", "int8", "int8:stochastic", and for gradients "topk:FRACTION" (with feedback by nature) and
 * ",feedback" or ":feedback" after bf16, f16 and int8. INVALID_ARGUMENT says what there is. */
enum canyon_status codec_parse(const char *text, bool gradient, struct codec_choice *choice, struct error *error);

/* The text of a choice; returns `text`. */
char *codec_text(const struct codec_choice *choice, char text[CODEC_TEXT_BYTES]);

/* ---- For tests and benchmarks ---- */

enum codec_set { CODEC_BASELINE, CODEC_AVX2, CODEC_AVX512, CODEC_SETS };

bool codec_set_supported(enum codec_set set);
const char *codec_set_name(enum codec_set set);
enum codec_set codec_set_chosen(void);
/* The loops of this set from now on; it must be supported, and no other thread may be at work. */
void codec_set_choose(enum codec_set set);

#endif
