/* How a load's numbers travel: the text of --codec, and the one place where it is told to a tensor. */
#ifndef CANYON_SIMULATOR_LOAD_CODEC_H
#define CANYON_SIMULATOR_LOAD_CODEC_H

#include <stdbool.h>
#include <stddef.h>

#include "canyon.h"

/* True when there is such a codec; else `why` says what there is. */
bool load_codec_known(const char *text, char *why, size_t bytes);

/* True when whole numbers up to 3 travel exactly, which verifying needs. */
bool load_codec_exact(const char *text);

/* Makes gradients and weights of this handle travel so. */
enum canyon_status load_codec_apply(const char *text, canyon_tensor *tensor);

#endif
