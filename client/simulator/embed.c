#include "client/simulator/embed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/embed_data.h"
#include "client/simulator/embed_options.h"
#include "client/simulator/embed_report.h"
#include "client/simulator/embed_worker.h"
#include "client/simulator/interrupt.h"

#define SERVERS   2   /* local ones, unless told otherwise */
#define DRAW_SEED 17u /* the same random pairs for every training of a vocabulary */

static enum outcome say(const char *text) {
    fprintf(stderr, "%s: %s\n", EMBED_PROGRAM, text);
    return OUTCOME_FAILED;
}

/* What a team is to do with these tables. The vectors of new words are small and random, as in word2vec; those they are
 * told apart by begin at zero. */
static struct team_plan plan_of(const struct embed_options *options, const struct embed_data *data,
                                const struct place *place, struct embed_context *context) {
    uint64_t size = vocabulary_size(data->corpus.vocabulary);
    struct rows_spec table = {.dim = (uint32_t)options->dim, .optimizer = options->optimizer, .expected = size};
    struct team_plan plan = {.program = EMBED_PROGRAM,
                             .label = options->single ? "one process" : options->optimizer,
                             .unit = "words",
                             .place = place,
                             .workers = (uint32_t)options->workers,
                             .table_count = EMBED_TABLES,
                             .work = data->corpus.word_count * options->epochs,
                             .context = context,
                             .train = embed_train,
                             .finish = embed_fetch};
    plan.tables[EMBED_OUTPUTS] = table;
    plan.tables[EMBED_OUTPUTS].name = "outputs";
    plan.tables[EMBED_INPUTS] = table;
    plan.tables[EMBED_INPUTS].name = "inputs";
    plan.tables[EMBED_INPUTS].spread = 0.5f / (float)options->dim;
    plan.tables[EMBED_INPUTS].seed = options->seed;
    return plan;
}

static bool judge(const struct embed_options *options, const struct embed_data *data, struct embed_result *result) {
    uint32_t dim = (uint32_t)options->dim, size = vocabulary_size(data->corpus.vocabulary);
    result->judged = data->synonyms.count > 0;
    return !result->judged ||
           (synonyms_area(&data->synonyms, result->vectors, dim, size, false, options->draws, DRAW_SEED,
                          &result->all) &&
            synonyms_area(&data->synonyms, result->vectors, dim, size, true, options->draws, DRAW_SEED, &result->own));
}

static enum outcome tell(const struct embed_options *options, const struct embed_data *data,
                         struct embed_result *result) {
    char text[TEAM_TEXT_BYTES];
    if (!judge(options, data, result)) {
        return say("no memory to compare pairs of words");
    }
    bool printed = options->json ? embed_report_json(stdout, options, data, result)
                                 : embed_report_table(stdout, options, data, result);
    if (!printed) {
        return say("cannot write to standard output");
    }
    if (options->save != NULL && !embed_report_save(options, data, result, text, sizeof text)) {
        return say(text);
    }
    return OUTCOME_DONE;
}

static enum outcome train(const struct embed_options *options, const struct embed_data *data,
                          const struct place *place) {
    size_t bytes = (size_t)vocabulary_size(data->corpus.vocabulary) * options->dim * sizeof(float);
    float *vectors = team_share(bytes);
    struct embed_context context = {.model = &data->model,
                                    .dim = (uint32_t)options->dim,
                                    .workers = (uint32_t)options->workers,
                                    .ahead = (size_t)options->ahead,
                                    .vectors = vectors};
    struct embed_result result = {.vectors = vectors};
    if (vectors == NULL) {
        return say("no memory for the vectors");
    }
    const struct team_plan plan = plan_of(options, data, place, &context);
    enum outcome outcome = team_run(&plan, &result.team);
    if (outcome == OUTCOME_DONE) {
        outcome = tell(options, data, &result);
    }
    team_unshare(vectors, bytes);
    return outcome;
}

static enum outcome run(const struct embed_options *options, const struct embed_data *data) {
    struct place place;
    if (options->single) {
        return train(options, data, NULL);
    }
    enum outcome outcome = place_open(&place, &options->where, SERVERS, EMBED_PROGRAM);
    if (outcome == OUTCOME_DONE) {
        outcome = train(options, data, &place);
        if (!place_close(&place, EMBED_PROGRAM) && outcome == OUTCOME_DONE) {
            outcome = OUTCOME_FAILED;
        }
    }
    return outcome;
}

int embed_main(int argc, char **argv) {
    struct embed_options options;
    char text[TEAM_TEXT_BYTES + WORDNET_TEXT_BYTES];
    enum outcome outcome = OUTCOME_FAILED;
    enum arguments_verdict verdict = embed_options_parse(&options, argc, argv);
    if (verdict != ARGUMENTS_RUN) {
        return verdict == ARGUMENTS_HELP ? OUTCOME_DONE : OUTCOME_USAGE;
    }
    struct embed_data *data = calloc(1, sizeof *data);
    if (data == NULL) {
        return (int)say("no memory");
    }
    if (embed_data_make(data, &options, text, sizeof text)) {
        outcome = run(&options, data);
    } else {
        say(text);
    }
    embed_data_finish(data);
    free(data);
    return interrupt_signal() != 0 ? interrupt_exit_code() : (int)outcome;
}
