/* What canyon-sim embed is to do, what it works on, and what came of it. */
#ifndef CANYON_SIMULATOR_EMBED_PLAN_H
#define CANYON_SIMULATOR_EMBED_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/corpus.h"
#include "client/simulator/place.h"
#include "client/simulator/skipgram.h"
#include "client/simulator/synonyms.h"
#include "client/simulator/team.h"

#define EMBED_PROGRAM   "canyon-sim embed"
#define EMBED_DIM_HIGH  1024u
#define EMBED_SHOWN     6  /* nearest words of each word asked for */
#define EMBED_WORDS     32 /* that may be asked for */
#define EMBED_TEXT_HIGH (4ull << 30)

/* What the command line says. */
struct embed_options {
    struct place_options where;
    const char *text;    /* a file; NULL for WordNet's glosses */
    const char *wordnet; /* a directory */
    bool wordnet_given;
    const char *optimizer, *neighbours, *save; /* neighbours: "WORD,..."; NULL for some that are usual */
    uint64_t workers, dim, window, negatives, batch, epochs, seed, least, ahead, draws;
    double subsample;
    bool single, json;
};

/* What it works on; made by the parent before any process is forked. */
struct embed_data {
    struct wordnet wordnet; /* empty when there is none */
    struct corpus corpus;
    struct synonyms synonyms;
    struct skipgram_model model;
    uint32_t words[EMBED_WORDS]; /* whose neighbours are shown */
    size_t word_count;
    char unjudged[WORDNET_TEXT_BYTES]; /* why there are no synonyms; "" when there are */
};

/* What came of it. */
struct embed_result {
    struct team_result team;
    const float *vectors; /* dim floats for each word of the vocabulary */
    bool judged;
    struct auc all, own; /* against random pairs of the vocabulary, and of the synonyms' own words */
};

#endif
