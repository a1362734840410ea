/* Skip-gram with negative sampling: word vectors that tell a word's neighbours from other words.
 *
 * Mikolov et al., "Distributed representations of words and phrases and their compositionality", 2013, eq. 4. Every
 * word has two vectors: one in `inputs`, which is what is wanted in the end, and one in `outputs`. For each word of a
 * passage, the centre, a reach r is drawn from 1 to `window`; the words at most r away are its neighbours. A
 * neighbour's input vector v is to tell the centre's output vector u from those of `negatives` other words u', drawn by
 * how often they are seen to the power of 3/4:
 *
 *     loss = sum over neighbours of: -log s(v . u) - sum over u' of log s(-v . u'),     s(x) = 1 / (1 + exp(-x))
 *
 * As in Ji et al., "Parallelizing word2vec in shared and distributed memory", 2016, all neighbours of a centre have the
 * same negatives, which changes no expectation and touches fewer rows. Frequent words are passed over at random, as in
 * word2vec: with the share f of the text a word is kept with probability sqrt(t / f) + t / f, t being `subsample`.
 *
 * A batch is a number of passages; the gradient of its loss is a sum over all its pairs, with one row for every
 * distinct word of either table. All draws depend on (seed, worker, epoch, passage of the epoch) alone. */
#ifndef CANYON_SIMULATOR_SKIPGRAM_H
#define CANYON_SIMULATOR_SKIPGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/simulator/alias.h"
#include "client/simulator/corpus.h"

#define SKIPGRAM_WINDOW_HIGH    100u
#define SKIPGRAM_NEGATIVES_HIGH 100u
#define SKIPGRAM_BATCH_HIGH     100000u

struct skipgram_settings {
    uint32_t window, negatives;
    uint32_t batch;   /* words of the text, before any is passed over: a batch ends with the passage that reaches it */
    double subsample; /* 0: no word is passed over */
    uint64_t epochs, seed;
};

/* What all workers draw from; made once, before they are forked. */
struct skipgram_model {
    const struct corpus *corpus;
    struct skipgram_settings settings;
    struct alias noise;
    float *keep; /* of each word: the probability that it is not passed over */
};

/* The corpus must outlive it. False when there is no memory; skipgram_model_finish in any case. */
bool skipgram_model_make(struct skipgram_model *model, const struct corpus *corpus,
                         const struct skipgram_settings *settings);
void skipgram_model_finish(struct skipgram_model *model);

/* One table's rows in a batch. */
struct skipgram_side {
    uint64_t *ids; /* words, each once, in the order in which they came up */
    size_t count;
};

struct skipgram_centre {
    size_t first; /* of its neighbours */
    uint32_t count;
};

struct skipgram_batch {
    struct skipgram_side inputs, outputs;
    struct skipgram_centre *centres;
    uint32_t *targets;    /* of each centre: itself, then its negatives: places in outputs */
    uint32_t *neighbours; /* places in inputs */
    size_t centre_count, neighbour_count;
    uint64_t words; /* of the text that it is made from */
};

/* Memory for any batch of the model. skipgram_batch_finish in any case. */
bool skipgram_batch_make(struct skipgram_batch *batch, const struct skipgram_model *model);
void skipgram_batch_finish(struct skipgram_batch *batch);

/* Most rows that a batch has of either table. */
size_t skipgram_rows_high(const struct skipgram_model *model);

/* One worker's way through the text: in every epoch once through passages w, w + W, w + 2W, ..., in an order drawn from
 * (seed, worker, epoch). */
struct skipgram_way;

/* NULL when there is no memory. The model must outlive it. */
struct skipgram_way *skipgram_way_create(const struct skipgram_model *model, uint32_t worker, uint32_t workers);
void skipgram_way_destroy(struct skipgram_way *way);

/* Fills the batch with what comes next; false when all epochs are through. A batch may have no pairs. */
bool skipgram_way_next(struct skipgram_way *way, struct skipgram_batch *batch);

/* The batch's loss, summed over all its pairs, and its gradient: inputs and outputs are the weights of its rows, dim
 * floats each; the gradients, of the same sizes, are overwritten. */
double skipgram_gradient(const struct skipgram_batch *batch, uint32_t negatives, uint32_t dim, const float *inputs,
                         const float *outputs, float *input_gradient, float *output_gradient);

#endif
