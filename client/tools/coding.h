/* --codec GRADIENT[/WEIGHTS]: how a tensor's values are to travel, each way. */
#ifndef CANYON_TOOLS_CODING_H
#define CANYON_TOOLS_CODING_H

#include <stdbool.h>
#include <stddef.h>

#include "canyon.h"

#define CODING_BYTES 64 /* of each codec's text */

struct coding {
    char gradient[CODING_BYTES], weights[CODING_BYTES]; /* as canyon_tensor_set_codec takes them */
};

/* Reads "int8" (weights as f32) or "int8/bf16". False when there is no such codec: `why` says what there is. */
bool coding_read(const char *text, struct coding *coding, char *why, size_t bytes);

/* Both as f32. */
bool coding_is_plain(const struct coding *coding);

/* canyon_tensor_set_codec. */
enum canyon_status coding_apply(const struct coding *coding, canyon_tensor *tensor);

#endif
