#include "client/simulator/embed_data.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/content.h"
#include "client/simulator/words.h"

static const char usual[] = "dog,music,river,red,physics,doctor,money,church";

/* WordNet, when it is there or must be. */
static bool read_wordnet(struct embed_data *data, const struct embed_options *options, char *text, size_t bytes) {
    char why[WORDNET_TEXT_BYTES];
    if (wordnet_read(&data->wordnet, options->wordnet, why, sizeof why)) {
        return true;
    }
    if (options->text != NULL && !options->wordnet_given) {
        memcpy(data->unjudged, why, sizeof data->unjudged);
        return true;
    }
    snprintf(text, bytes, "%s; WordNet is Debian's package wordnet-base (apt-get install wordnet-base)%s", why,
             options->text == NULL ? ", or give a --text" : "");
    return false;
}

static bool make_corpus(struct embed_data *data, const struct embed_options *options, char *text, size_t bytes) {
    char *content = NULL;
    size_t length = 0;
    if (options->text == NULL) {
        return corpus_make(&data->corpus, data->wordnet.glosses, data->wordnet.gloss_bytes, options->least, text,
                           bytes);
    }
    bool good = content_read(options->text, EMBED_TEXT_HIGH, &content, &length, text, bytes) &&
                corpus_make(&data->corpus, content, length, options->least, text, bytes);
    free(content);
    return good;
}

/* The words whose neighbours are to be shown; of the usual ones those that there are. */
static bool find_words(struct embed_data *data, const struct embed_options *options, char *text, size_t bytes) {
    const char *at = options->neighbours == NULL ? usual : options->neighbours;
    bool more = true;
    while (more) {
        char word[WORDS_BYTES];
        size_t length = strcspn(at, ","), word_length = 0;
        uint32_t index = VOCABULARY_NONE;
        if (words_only(at, length, word, &word_length)) {
            index = vocabulary_find(data->corpus.vocabulary, word, word_length);
        }
        if (index == VOCABULARY_NONE && options->neighbours != NULL) {
            snprintf(text, bytes, "--neighbours: '%.*s' is not a word that was seen at least %" PRIu64 " times",
                     length > 40 ? 40 : (int)length, at, options->least);
            return false;
        }
        if (index != VOCABULARY_NONE && data->word_count == EMBED_WORDS) {
            snprintf(text, bytes, "--neighbours: there are more than %d words", EMBED_WORDS);
            return false;
        }
        if (index != VOCABULARY_NONE) {
            data->words[data->word_count++] = index;
        }
        more = at[length] == ',';
        at += length + 1;
    }
    return true;
}

static bool make_synonyms(struct embed_data *data, char *text, size_t bytes) {
    if (!synonyms_make(&data->synonyms, &data->wordnet, data->corpus.vocabulary)) {
        snprintf(text, bytes, "no memory for pairs of synonyms");
        return false;
    }
    if (data->synonyms.count == 0 && data->unjudged[0] == '\0') {
        snprintf(data->unjudged, sizeof data->unjudged, "no two words of the vocabulary are lemmas of one synset");
    }
    return true;
}

bool embed_data_make(struct embed_data *data, const struct embed_options *options, char *text, size_t bytes) {
    const struct skipgram_settings settings = {.window = (uint32_t)options->window,
                                               .negatives = (uint32_t)options->negatives,
                                               .batch = (uint32_t)options->batch,
                                               .subsample = options->subsample,
                                               .epochs = options->epochs,
                                               .seed = options->seed};
    memset(data, 0, sizeof *data);
    if (!read_wordnet(data, options, text, bytes) || !make_corpus(data, options, text, bytes) ||
        !find_words(data, options, text, bytes) || !make_synonyms(data, text, bytes)) {
        return false;
    }
    wordnet_finish(&data->wordnet);
    if (!skipgram_model_make(&data->model, &data->corpus, &settings)) {
        snprintf(text, bytes, "no memory for the vocabulary's frequencies");
        return false;
    }
    return true;
}

void embed_data_finish(struct embed_data *data) {
    skipgram_model_finish(&data->model);
    synonyms_finish(&data->synonyms);
    corpus_finish(&data->corpus);
    wordnet_finish(&data->wordnet);
}
