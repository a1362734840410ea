#include "client/simulator/embed_report.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include "client/simulator/neighbours.h"
#include "client/simulator/team_report.h"
#include "client/tools/number.h"
#include "client/tools/record.h"
#include "client/tools/table.h"

static void print_text(FILE *out, const struct embed_options *options, const struct embed_data *data) {
    const struct vocabulary *vocabulary = data->corpus.vocabulary;
    char words[NUMBER_BYTES], kept[NUMBER_BYTES], different[NUMBER_BYTES];
    fprintf(out, "text        %s words; %s of them are among the %s seen at least %" PRIu64 " times\n",
            number_grouped(data->corpus.read, words, sizeof words),
            number_grouped(vocabulary_total(vocabulary), kept, sizeof kept),
            number_grouped(vocabulary_size(vocabulary), different, sizeof different), options->least);
}

static void print_training(FILE *out, const struct embed_options *options, const struct embed_result *result) {
    const struct team_result *team = &result->team;
    char sent[NUMBER_BYTES], received[NUMBER_BYTES];
    const struct team_told told = {.single = options->single,
                                   .workers = options->workers,
                                   .epochs = options->epochs,
                                   .optimizer = options->optimizer,
                                   .work = "words"};
    team_print(out, &told, team);
    if (team->sent > 0) {
        fprintf(out, "            %s of gradients sent, %s of weights received\n",
                number_bytes((double)team->sent, sent, sizeof sent),
                number_bytes((double)team->received, received, sizeof received));
    }
}

static void print_judgement(FILE *out, const struct embed_options *options, const struct embed_data *data,
                            const struct embed_result *result) {
    char pairs[NUMBER_BYTES], draws[NUMBER_BYTES];
    if (!result->judged) {
        fprintf(out, "AUC         not known: %s\n", data->unjudged);
        return;
    }
    fprintf(out, "AUC         %.4f +- %.4f: %s pairs of synonyms against %s random pairs of the vocabulary\n",
            result->all.area, result->all.error, number_grouped(data->synonyms.count, pairs, sizeof pairs),
            number_grouped(options->draws, draws, sizeof draws));
    fprintf(out, "            %.4f +- %.4f: against as many random pairs of the synonyms' %s words\n", result->own.area,
            result->own.error, number_grouped(data->synonyms.word_count, draws, sizeof draws));
}

static size_t nearest(const struct embed_options *options, const struct embed_data *data,
                      const struct embed_result *result, uint32_t word, struct neighbour found[EMBED_SHOWN]) {
    return neighbours_of(result->vectors, (uint32_t)options->dim, vocabulary_size(data->corpus.vocabulary), word, found,
                         EMBED_SHOWN);
}

static bool print_neighbours(FILE *out, const struct embed_options *options, const struct embed_data *data,
                             const struct embed_result *result) {
    const struct vocabulary *vocabulary = data->corpus.vocabulary;
    struct table *table = table_create();
    table_column(table, "word", TABLE_LEFT);
    table_column(table, "seen", TABLE_RIGHT);
    table_column(table, "nearest words, with their cosines", TABLE_LEFT);
    for (size_t i = 0; i < data->word_count; i++) {
        struct neighbour found[EMBED_SHOWN];
        char line[1024] = "", seen[NUMBER_BYTES];
        size_t count = nearest(options, data, result, data->words[i], found), at = 0;
        for (size_t n = 0; n < count && at < sizeof line; n++) {
            int wrote = snprintf(line + at, sizeof line - at, "%s%s %.2f", n == 0 ? "" : ", ",
                                 vocabulary_word(vocabulary, found[n].word), (double)found[n].cosine);
            at += wrote > 0 ? (size_t)wrote : 0;
        }
        table_cell(table, "%s", vocabulary_word(vocabulary, data->words[i]));
        table_cell(table, "%s", number_grouped(vocabulary_seen(vocabulary, data->words[i]), seen, sizeof seen));
        table_cell(table, "%s", line);
    }
    bool printed = table_print(table, out);
    table_destroy(table);
    return printed;
}

bool embed_report_table(FILE *out, const struct embed_options *options, const struct embed_data *data,
                        const struct embed_result *result) {
    bool printed = true;
    print_text(out, options, data);
    print_training(out, options, result);
    print_judgement(out, options, data, result);
    if (data->word_count > 0) {
        fprintf(out, "\n");
        printed = print_neighbours(out, options, data, result);
    }
    return fflush(out) == 0 && !ferror(out) && printed;
}

/* {"dog": {"cat": 0.7, ...}, ...} */
static json_t *neighbours_json(const struct embed_options *options, const struct embed_data *data,
                               const struct embed_result *result) {
    const struct vocabulary *vocabulary = data->corpus.vocabulary;
    json_t *all = json_object();
    for (size_t i = 0; i < data->word_count && all != NULL; i++) {
        struct neighbour found[EMBED_SHOWN];
        size_t count = nearest(options, data, result, data->words[i], found);
        json_t *one = json_object();
        for (size_t n = 0; n < count && one != NULL; n++) {
            json_object_set_new(one, vocabulary_word(vocabulary, found[n].word),
                                record_number((double)found[n].cosine));
        }
        json_object_set_new(all, vocabulary_word(vocabulary, data->words[i]), one);
    }
    return all;
}

static json_t *judged_number(const struct embed_result *result, double number) {
    return result->judged ? record_number(number) : json_null();
}

bool embed_report_json(FILE *out, const struct embed_options *options, const struct embed_data *data,
                       const struct embed_result *result) {
    const struct corpus *corpus = &data->corpus;
    const struct team_result *team = &result->team;
    const struct record_field fields[] = {
        {"workers", record_unsigned(options->workers)},
        {"servers", record_unsigned(team->servers)},
        {"optimizer", json_string(options->optimizer)},
        {"dim", record_unsigned(options->dim)},
        {"window", record_unsigned(options->window)},
        {"negatives", record_unsigned(options->negatives)},
        {"min_count", record_unsigned(options->least)},
        {"subsample", record_number(options->subsample)},
        {"batch", record_unsigned(options->batch)},
        {"ahead", record_unsigned(options->ahead)},
        {"epochs", record_unsigned(options->epochs)},
        {"seed", record_unsigned(options->seed)},
        {"text_words", record_unsigned(corpus->read)},
        {"words", record_unsigned(vocabulary_total(corpus->vocabulary))},
        {"vocabulary", record_unsigned(vocabulary_size(corpus->vocabulary))},
        {"passages", record_unsigned(corpus->passage_count)},
        {"trained_words", record_unsigned(team->work)},
        {"words_s", record_number(team_rate(team))},
        {"seconds", record_number(team->seconds)},
        {"rows", record_unsigned(team->rows)},
        {"bytes_sent", record_unsigned(team->sent)},
        {"bytes_received", record_unsigned(team->received)},
        {"loss", record_number(team->loss)},
        {"synonym_pairs", record_unsigned(data->synonyms.count)},
        {"random_pairs", record_unsigned(result->judged ? options->draws : 0)},
        {"auc", judged_number(result, result->all.area)},
        {"auc_error", judged_number(result, result->all.error)},
        {"auc_own", judged_number(result, result->own.area)},
        {"auc_own_error", judged_number(result, result->own.error)},
        {"neighbours", neighbours_json(options, data, result)},
    };
    return record_print(out, record_object(fields, sizeof fields / sizeof *fields));
}

/* ---- saving ---- */

static void write_vectors(FILE *file, const struct embed_options *options, const struct embed_data *data,
                          const float *vectors) {
    const struct vocabulary *vocabulary = data->corpus.vocabulary;
    uint32_t size = vocabulary_size(vocabulary), dim = (uint32_t)options->dim;
    fprintf(file, "%" PRIu32 " %" PRIu32 "\n", size, dim);
    for (uint32_t word = 0; word < size && !ferror(file); word++) {
        fprintf(file, "%s", vocabulary_word(vocabulary, word));
        for (uint32_t i = 0; i < dim; i++) {
            fprintf(file, " %.9g", (double)vectors[(size_t)word * dim + i]);
        }
        fputc('\n', file);
    }
}

bool embed_report_save(const struct embed_options *options, const struct embed_data *data,
                       const struct embed_result *result, char *text, size_t bytes) {
    char temporary[4096];
    int length = snprintf(temporary, sizeof temporary, "%s.part", options->save);
    FILE *file = length > 0 && (size_t)length < sizeof temporary ? fopen(temporary, "w") : NULL;
    if (file == NULL) {
        snprintf(text, bytes, "cannot write %s: %s", options->save,
                 (size_t)length >= sizeof temporary ? "its name is too long" : strerror(errno));
        return false;
    }
    errno = 0;
    write_vectors(file, options, data, result->vectors);
    bool good = !ferror(file);
    good = fclose(file) == 0 && good && rename(temporary, options->save) == 0;
    if (!good) {
        snprintf(text, bytes, "cannot write %s: %s", options->save, strerror(errno));
        remove(temporary);
    }
    return good;
}
