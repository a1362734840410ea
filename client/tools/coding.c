#include "client/tools/coding.h"

#include <stdio.h>
#include <string.h>

#define PLAIN "f32"

bool coding_read(const char *text, struct coding *coding, char *why, size_t bytes) {
    const size_t length = strcspn(text, "/");
    const char *weights = text[length] == '/' ? text + length + 1 : PLAIN;
    if (length >= sizeof coding->gradient || strlen(weights) >= sizeof coding->weights) {
        snprintf(why, bytes, "it is too long to be one");
        return false;
    }
    memcpy(coding->gradient, text, length);
    coding->gradient[length] = '\0';
    memcpy(coding->weights, weights, strlen(weights) + 1);
    if (canyon_codec_check(coding->gradient, coding->weights) != CANYON_OK) {
        snprintf(why, bytes, "%s", canyon_error_text());
        return false;
    }
    return true;
}

bool coding_is_plain(const struct coding *coding) {
    return strcmp(coding->gradient, PLAIN) == 0 && strcmp(coding->weights, PLAIN) == 0;
}

enum canyon_status coding_apply(const struct coding *coding, canyon_tensor *tensor) {
    return canyon_tensor_set_codec(tensor, coding->gradient, coding->weights);
}
