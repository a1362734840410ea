#include "client/simulator/load_codec.h"

#include <stdio.h>
#include <string.h>

static const char *const names[] = {"f32", "bf16", "f16", "int8", "topk"};
#define NAMES (sizeof names / sizeof *names)

/* True when the text begins with this name and goes on with an option, if at all. */
static bool is_called(const char *text, const char *name) {
    size_t length = strlen(name);
    return strncmp(text, name, length) == 0 && (text[length] == '\0' || text[length] == ':');
}

static bool is_known(const char *text) {
    bool known = false;
    for (size_t i = 0; i < NAMES; i++) {
        known = known || is_called(text, names[i]);
    }
    return known;
}

/* What weights travel as when only the gradients' codec was named. */
static void follow_gradients(struct load_codec *codec) {
    if (is_called(codec->gradients, "topk")) {
        snprintf(codec->weights, sizeof codec->weights, "f32");
        return;
    }
    memcpy(codec->weights, codec->gradients, sizeof codec->weights);
    char *feedback = strstr(codec->weights, "feedback");
    if (feedback != NULL) {
        feedback[-1] = '\0'; /* after ':' or ',': no name begins so */
    }
}

bool load_codec_parse(const char *text, struct load_codec *codec, char *why, size_t bytes) {
    const char *slash = strchr(text, '/');
    size_t length = slash == NULL ? strlen(text) : (size_t)(slash - text);
    snprintf(why, bytes,
             "it must be GRADIENTS or GRADIENTS/WEIGHTS, of f32, bf16, f16, int8, int8:stochastic, for gradients also "
             "topk:FRACTION, as topk:0.01/bf16");
    if (length >= LOAD_CODEC_BYTES || (slash != NULL && strlen(slash + 1) >= LOAD_CODEC_BYTES)) {
        return false;
    }
    memset(codec, 0, sizeof *codec);
    memcpy(codec->gradients, text, length);
    if (!is_known(codec->gradients)) {
        return false;
    }
    if (slash == NULL) {
        follow_gradients(codec);
    } else {
        snprintf(codec->weights, sizeof codec->weights, "%s", slash + 1);
    }
    return is_known(codec->weights) && !is_called(codec->weights, "topk");
}

bool load_codec_exact(const struct load_codec *codec) {
    const char *const ways[] = {codec->gradients, codec->weights};
    bool exact = true;
    for (size_t i = 0; i < 2; i++) {
        exact = exact && (strcmp(ways[i], "f32") == 0 || strcmp(ways[i], "bf16") == 0 || strcmp(ways[i], "f16") == 0);
    }
    return exact;
}

enum canyon_status load_codec_apply(const struct load_codec *codec, canyon_tensor *tensor) {
    return canyon_tensor_set_codec(tensor, codec->gradients, codec->weights);
}
