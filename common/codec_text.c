/* Codecs as people write them: "int8:stochastic", "topk:0.01". */
#include <stdio.h>
#include <string.h>

#include "common/codec.h"
#include "common/number.h"

#define FORMS_OF_WEIGHTS   "f32, bf16, f16, int8 or int8:stochastic"
#define FORMS_OF_GRADIENTS "f32, bf16, f16, int8, int8:stochastic (each but f32 also with ,feedback) or topk:FRACTION"

static enum canyon_status refuse(const char *text, bool gradient, struct error *error) {
    return error_set(error, CANYON_INVALID_ARGUMENT, "'%.40s' is no codec of %s: it is one of %s", text,
                     gradient ? "gradients" : "weights", gradient ? FORMS_OF_GRADIENTS : FORMS_OF_WEIGHTS);
}

/* What follows the name and ':'. */
static bool take_option(const char *option, size_t length, bool gradient, struct codec_choice *choice) {
    char word[CODEC_TEXT_BYTES];
    if (length == 0 || length >= sizeof word) {
        return false;
    }
    memcpy(word, option, length);
    word[length] = '\0';
    if (choice->codec == CODEC_TOPK) {
        return choice->fraction == 0.0 && number_parse(word, &choice->fraction) && choice->fraction > 0.0 &&
               choice->fraction <= 1.0;
    }
    if (strcmp(word, "stochastic") == 0 && choice->codec == CODEC_INT8) {
        choice->codec = CODEC_INT8_STOCHASTIC;
        return true;
    }
    bool feedback = strcmp(word, "feedback") == 0 && gradient && choice->codec != CODEC_F32 && !choice->feedback;
    choice->feedback = choice->feedback || feedback;
    return feedback;
}

enum canyon_status codec_parse(const char *text, bool gradient, struct codec_choice *choice, struct error *error) {
    static const enum codec codecs[] = {CODEC_F32, CODEC_BF16, CODEC_F16, CODEC_INT8, CODEC_TOPK};
    size_t length = strcspn(text, ":,"), found = 0, count = sizeof codecs / sizeof codecs[0];
    while (found < count &&
           (strlen(codec_name(codecs[found])) != length || strncmp(text, codec_name(codecs[found]), length) != 0)) {
        found++;
    }
    if (found == count || (codecs[found] == CODEC_TOPK && !gradient)) {
        return refuse(text, gradient, error);
    }
    *choice = (struct codec_choice){.codec = codecs[found]};
    for (const char *at = text + length; *at != '\0'; at += 1 + length) {
        length = strcspn(at + 1, ",");
        if (!take_option(at + 1, length, gradient, choice)) {
            return refuse(text, gradient, error);
        }
    }
    if (choice->codec == CODEC_TOPK && choice->fraction == 0.0) {
        return refuse(text, gradient, error);
    }
    choice->feedback = choice->feedback || choice->codec == CODEC_TOPK;
    return CANYON_OK;
}

char *codec_text(const struct codec_choice *choice, char text[CODEC_TEXT_BYTES]) {
    const char *name = codec_name(choice->codec), *feedback = "";
    char fraction[NUMBER_TEXT_BYTES];
    if (choice->codec == CODEC_TOPK) {
        snprintf(text, CODEC_TEXT_BYTES, "%s:%s", name, number_text(choice->fraction, fraction, sizeof fraction));
        return text;
    }
    if (choice->feedback) {
        feedback = choice->codec == CODEC_INT8_STOCHASTIC ? ",feedback" : ":feedback";
    }
    snprintf(text, CODEC_TEXT_BYTES, "%s%s", name, feedback);
    return text;
}
