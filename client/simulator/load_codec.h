/* How a load's numbers travel: the text of --codec, "GRADIENTS[/WEIGHTS]", and where it is told to a tensor.
 *
 * Both are canyon_tensor_set_codec's. With one alone weights travel as gradients do, without feedback, which they
 * cannot have; beside topk, which is for gradients only, as f32. */
#ifndef CANYON_SIMULATOR_LOAD_CODEC_H
#define CANYON_SIMULATOR_LOAD_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include "canyon.h"

#define LOAD_CODEC_BYTES 64

struct load_codec {
    char gradients[LOAD_CODEC_BYTES], weights[LOAD_CODEC_BYTES];
};

/* False when it is not of that form or names what is no codec; `why` says what there is. What follows a name (a
 * fraction, feedback) is the library's to judge, when it is applied. */
bool load_codec_parse(const char *text, struct load_codec *codec, char *why, size_t bytes);

/* True when whole numbers up to 3 arrive as they are, and weights that were equal as equal whole numbers: what
 * verifying needs. */
bool load_codec_exact(const struct load_codec *codec);

/* Makes gradients and weights of this handle travel so. */
enum canyon_status load_codec_apply(const struct load_codec *codec, canyon_tensor *tensor);

#endif
