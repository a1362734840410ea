#include "client/simulator/skipgram.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/counter.h"

#define NOISE_POWER 0.75
#define REDRAWS     8 /* of a negative that is the centre itself */

/* Streams of random numbers: of the order of passages, and of a passage's own draws. Initial weights have others. */
#define ORDER_STREAM   (1ull << 63)
#define PASSAGE_STREAM (1ull << 62)

bool skipgram_model_make(struct skipgram_model *model, const struct corpus *corpus,
                         const struct skipgram_settings *settings) {
    const struct vocabulary *vocabulary = corpus->vocabulary;
    uint32_t size = vocabulary_size(vocabulary);
    double total = (double)vocabulary_total(vocabulary);
    double *weights = malloc(size * sizeof *weights);
    *model =
        (struct skipgram_model){.corpus = corpus, .settings = *settings, .keep = malloc(size * sizeof *model->keep)};
    bool good = weights != NULL && model->keep != NULL;
    for (uint32_t i = 0; i < size && good; i++) {
        double seen = (double)vocabulary_seen(vocabulary, i), ratio = settings->subsample * total / seen;
        weights[i] = pow(seen, NOISE_POWER);
        model->keep[i] = settings->subsample > 0.0 ? (float)(sqrt(ratio) + ratio) : 1.0f;
    }
    good = good && alias_make(&model->noise, weights, size);
    free(weights);
    return good;
}

void skipgram_model_finish(struct skipgram_model *model) {
    alias_finish(&model->noise);
    free(model->keep);
    memset(model, 0, sizeof *model);
}

/* ---- batches ---- */

/* Centres of a batch: its last passage may begin one word before it is full. */
static size_t centres_high(const struct skipgram_model *model) {
    return (size_t)model->settings.batch + CORPUS_PASSAGE_HIGH;
}

size_t skipgram_rows_high(const struct skipgram_model *model) {
    size_t words = vocabulary_size(model->corpus->vocabulary);
    size_t targets = centres_high(model) * (1 + model->settings.negatives);
    return words < targets ? words : targets;
}

bool skipgram_batch_make(struct skipgram_batch *batch, const struct skipgram_model *model) {
    size_t centres = centres_high(model), rows = skipgram_rows_high(model);
    *batch = (struct skipgram_batch){
        .inputs.ids = malloc(rows * sizeof *batch->inputs.ids),
        .outputs.ids = malloc(rows * sizeof *batch->outputs.ids),
        .centres = malloc(centres * sizeof *batch->centres),
        .targets = malloc(centres * (1 + model->settings.negatives) * sizeof *batch->targets),
        .neighbours = malloc(centres * 2 * model->settings.window * sizeof *batch->neighbours),
    };
    return batch->inputs.ids != NULL && batch->outputs.ids != NULL && batch->centres != NULL &&
           batch->targets != NULL && batch->neighbours != NULL;
}

void skipgram_batch_finish(struct skipgram_batch *batch) {
    free(batch->inputs.ids);
    free(batch->outputs.ids);
    free(batch->centres);
    free(batch->targets);
    free(batch->neighbours);
    memset(batch, 0, sizeof *batch);
}

/* ---- the way through the text ---- */

/* Where a word stands in the batch that is being made: in `place` when `made` is that batch. */
struct mark {
    uint32_t made, place;
};

struct skipgram_way {
    const struct skipgram_model *model;
    uint32_t worker, workers;
    uint64_t epoch; /* how many have been begun */
    uint32_t *order;
    size_t share, at;
    uint32_t made; /* batches */
    struct mark *inputs, *outputs;
    uint64_t stream, drawn; /* random numbers of the passage */
    uint32_t kept[CORPUS_PASSAGE_HIGH];
};

struct skipgram_way *skipgram_way_create(const struct skipgram_model *model, uint32_t worker, uint32_t workers) {
    size_t passages = model->corpus->passage_count, size = vocabulary_size(model->corpus->vocabulary);
    struct skipgram_way *way = calloc(1, sizeof *way);
    assert(worker < workers);
    if (way == NULL) {
        return NULL;
    }
    way->model = model;
    way->worker = worker;
    way->workers = workers;
    way->share = worker < passages ? (passages - worker + workers - 1) / workers : 0;
    way->at = way->share;
    way->order = malloc((way->share + 1) * sizeof *way->order);
    way->inputs = calloc(size, sizeof *way->inputs);
    way->outputs = calloc(size, sizeof *way->outputs);
    if (way->order == NULL || way->inputs == NULL || way->outputs == NULL) {
        skipgram_way_destroy(way);
        return NULL;
    }
    return way;
}

void skipgram_way_destroy(struct skipgram_way *way) {
    if (way != NULL) {
        free(way->order);
        free(way->inputs);
        free(way->outputs);
        free(way);
    }
}

static uint64_t way_draw(struct skipgram_way *way) {
    return counter_bits(way->model->settings.seed, way->stream, way->drawn++);
}

static uint32_t way_below(struct skipgram_way *way, uint32_t n) {
    return (uint32_t)(((way_draw(way) >> 32) * n) >> 32);
}

/* The place of a word in one side of the batch, which it gets when it has none. */
static uint32_t side_place(struct skipgram_side *side, struct mark *marks, uint32_t made, uint32_t word) {
    if (marks[word].made != made) {
        marks[word] = (struct mark){.made = made, .place = (uint32_t)side->count};
        side->ids[side->count++] = word;
    }
    return marks[word].place;
}

/* A word by the noise distribution that is not the centre, unless chance will have it so. */
static uint32_t way_negative(struct skipgram_way *way, uint32_t centre) {
    uint32_t word = centre;
    for (int i = 0; i < REDRAWS && word == centre; i++) {
        word = alias_draw(&way->model->noise, way_draw(way));
    }
    return word != centre ? word : (centre + 1) % way->model->noise.count;
}

/* Those of the passage's words that are not passed over; returns how many. */
static size_t way_keep(struct skipgram_way *way, const uint32_t *words, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        float chance = (float)(way_draw(way) >> 40) / 16777216.0f;
        if (chance < way->model->keep[words[i]]) {
            way->kept[kept++] = words[i];
        }
    }
    return kept;
}

static void way_centre(struct skipgram_way *way, struct skipgram_batch *batch, size_t at, size_t kept) {
    const struct skipgram_settings *settings = &way->model->settings;
    size_t reach = 1 + way_below(way, settings->window);
    size_t from = at > reach ? at - reach : 0, to = kept - at - 1 > reach ? at + reach : kept - 1;
    struct skipgram_centre *centre = &batch->centres[batch->centre_count];
    uint32_t *targets = batch->targets + batch->centre_count * (1 + settings->negatives);
    *centre = (struct skipgram_centre){.first = batch->neighbour_count};
    for (size_t i = from; i <= to; i++) {
        if (i != at) {
            batch->neighbours[batch->neighbour_count++] =
                side_place(&batch->inputs, way->inputs, way->made, way->kept[i]);
            centre->count++;
        }
    }
    targets[0] = side_place(&batch->outputs, way->outputs, way->made, way->kept[at]);
    for (uint32_t n = 1; n <= settings->negatives; n++) {
        targets[n] = side_place(&batch->outputs, way->outputs, way->made, way_negative(way, way->kept[at]));
    }
    batch->centre_count++;
}

static void way_passage(struct skipgram_way *way, struct skipgram_batch *batch) {
    size_t count = 0;
    const uint32_t *words = corpus_passage(way->model->corpus, way->order[way->at], &count);
    way->stream = PASSAGE_STREAM | (way->epoch << 32) | way->order[way->at];
    way->drawn = 0;
    size_t kept = way_keep(way, words, count);
    for (size_t i = 0; i < kept && kept > 1; i++) {
        way_centre(way, batch, i, kept);
    }
    batch->words += count;
    way->at++;
}

bool skipgram_way_next(struct skipgram_way *way, struct skipgram_batch *batch) {
    const struct skipgram_settings *settings = &way->model->settings;
    batch->inputs.count = batch->outputs.count = 0;
    batch->centre_count = batch->neighbour_count = 0;
    batch->words = 0;
    way->made++;
    if (way->made == 0) { /* marks of 2^32 batches ago would be taken for new ones */
        size_t bytes = vocabulary_size(way->model->corpus->vocabulary) * sizeof *way->inputs;
        memset(way->inputs, 0, bytes);
        memset(way->outputs, 0, bytes);
        way->made = 1;
    }
    if (way->at == way->share) {
        if (way->epoch == settings->epochs || way->share == 0) {
            return false;
        }
        for (size_t i = 0; i < way->share; i++) {
            way->order[i] = (uint32_t)(way->worker + i * way->workers);
        }
        counter_shuffle(settings->seed, ORDER_STREAM | (uint64_t)way->worker << 40 | way->epoch, way->order,
                        way->share);
        way->epoch++;
        way->at = 0;
    }
    while (way->at < way->share && batch->words < settings->batch) {
        way_passage(way, batch);
    }
    return true;
}

/* ---- the gradient ---- */

#define LANES 16 /* sums that are kept apart, so that a vector unit has something to do */

static float dot(const float *restrict a, const float *restrict b, uint32_t dim) {
    float sums[LANES] = {0.0f}, sum = 0.0f;
    uint32_t i = 0;
    for (; i + LANES <= dim; i += LANES) {
        for (uint32_t l = 0; l < LANES; l++) {
            sums[l] += a[i + l] * b[i + l];
        }
    }
    for (; i < dim; i++) {
        sums[i % LANES] += a[i] * b[i];
    }
    for (uint32_t l = 0; l < LANES; l++) {
        sum += sums[l];
    }
    return sum;
}

/* y += a * x */
static void add(float *restrict y, float a, const float *restrict x, uint32_t dim) {
    uint32_t i = 0;
    for (; i + LANES <= dim; i += LANES) {
        for (uint32_t l = 0; l < LANES; l++) {
            y[i + l] += a * x[i + l];
        }
    }
    for (; i < dim; i++) {
        y[i] += a * x[i];
    }
}

/* -log s(x), and in *slope its derivative; no overflow for any x. */
static double log_loss(float x, float *slope) {
    float small = expf(-fabsf(x)), share = 1.0f / (1.0f + small);
    *slope = x >= 0.0f ? -small * share : -share;
    return (double)((x < 0.0f ? -x : 0.0f) + log1pf(small));
}

double skipgram_gradient(const struct skipgram_batch *batch, uint32_t negatives, uint32_t dim, const float *inputs,
                         const float *outputs, float *input_gradient, float *output_gradient) {
    double loss = 0.0;
    memset(input_gradient, 0, batch->inputs.count * dim * sizeof *input_gradient);
    memset(output_gradient, 0, batch->outputs.count * dim * sizeof *output_gradient);
    for (size_t c = 0; c < batch->centre_count; c++) {
        const struct skipgram_centre *centre = &batch->centres[c];
        const uint32_t *targets = batch->targets + c * (1 + negatives);
        for (uint32_t n = 0; n < centre->count; n++) {
            size_t in = (size_t)batch->neighbours[centre->first + n] * dim;
            for (uint32_t t = 0; t <= negatives; t++) {
                size_t out = (size_t)targets[t] * dim;
                float product = dot(inputs + in, outputs + out, dim), slope = 0.0f;
                loss += log_loss(t == 0 ? product : -product, &slope);
                slope = t == 0 ? slope : -slope;
                add(input_gradient + in, slope, outputs + out, dim);
                add(output_gradient + out, slope, inputs + in, dim);
            }
        }
    }
    return loss;
}
