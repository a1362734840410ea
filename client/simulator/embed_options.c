#include "client/simulator/embed_options.h"

#include <string.h>

#include "client/simulator/team_options.h"

static const char details[] = "The text is the glosses of WordNet (Debian's package wordnet-base: definitions\n"
                              "and examples of use, 1.4 million words) unless --text names a file. Words are\n"
                              "runs of ASCII letters, with apostrophes and hyphens within, in lower case,\n"
                              "without an ending 's; a run with digits or other letters is no word. Those seen\n"
                              "less often than --min-count are left out. A passage is a gloss, or ends at an\n"
                              "empty line; no window reaches across it.\n"
                              "\n"
                              "Vectors are learnt by skip-gram with negative sampling (Mikolov et al., 2013):\n"
                              "two tables, one row for every word in each. Worker w of W has every W-th\n"
                              "passage, in an order of its own in every epoch. For a batch of passages it\n"
                              "fetches the rows of their words and of the negatives, and pushes one gradient\n"
                              "for each row; --ahead further batches are under way meanwhile.\n"
                              "\n"
                              "What is learnt is judged by WordNet's synsets: pairs of words that mean the same\n"
                              "against pairs drawn at random from the vocabulary. --single trains in one\n"
                              "process, without servers, for comparison; it knows the optimizers sgd, adagrad,\n"
                              "adam and ftrl.\n"
                              "\n"
                              "Keys of --json, beside the options' own names:\n"
                              "  workers, servers    processes, 0 servers for --single\n"
                              "  text_words, words   words of the text; those of them in the vocabulary\n"
                              "  vocabulary          different words seen at least min_count times\n"
                              "  passages            with two words of the vocabulary or more\n"
                              "  trained_words       words gone through, of all epochs and workers\n"
                              "  words_s, seconds    the same per second; from when all workers may begin until\n"
                              "                      the last is done\n"
                              "  rows                rows pulled, and as many pushed\n"
                              "  bytes_sent, bytes_received\n"
                              "                      of gradients and weights, as they travelled\n"
                              "  loss                of a pair and its negatives, in nats, in the last twentieth\n"
                              "                      or so of the training\n"
                              "  synonym_pairs, random_pairs\n"
                              "                      pairs that are compared\n"
                              "  auc, auc_error      probability that the cosine of a pair of synonyms is above\n"
                              "                      that of a random pair (ties count half), its standard error;\n"
                              "                      null without WordNet\n"
                              "  auc_own, auc_own_error\n"
                              "                      the same with random pairs of the synonyms' words alone\n"
                              "  neighbours          of each word the nearest ones, with their cosines";

enum arguments_verdict embed_options_parse(struct embed_options *options, int argc, char **argv) {
    struct team_options team = TEAM_OPTIONS;
    const char *wordnet = NULL;
    *options = (struct embed_options){.wordnet = WORDNET_DIRECTORY,
                                      .optimizer = "adagrad:lr=0.2",
                                      .dim = 64,
                                      .window = 5,
                                      .negatives = 5,
                                      .batch = 2000,
                                      .epochs = 5,
                                      .seed = 1,
                                      .least = 5,
                                      .draws = 100000,
                                      .subsample = 1e-4};
    const struct argument arguments[] = {
        PLACE_ARGUMENTS(options->where),
        TEAM_ARGUMENTS(team),
        {.name = "text",
         .letter = 't',
         .value = "FILE",
         .help = "learn from this text (default: the glosses of WordNet)",
         .kind = ARGUMENT_TEXT,
         .target = &options->text},
        {.name = "wordnet",
         .value = "DIRECTORY",
         .help = "where data.noun, data.verb, data.adj and data.adv are (default " WORDNET_DIRECTORY ")",
         .kind = ARGUMENT_TEXT,
         .target = &wordnet},
        {.name = "dim",
         .letter = 'd',
         .value = "D",
         .help = "numbers of a vector (default 64)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &options->dim,
         .low = 1,
         .high = EMBED_DIM_HIGH},
        {.name = "window",
         .value = "N",
         .help = "a word's neighbours are at most so many words away (default 5)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &options->window,
         .low = 1,
         .high = SKIPGRAM_WINDOW_HIGH},
        {.name = "negatives",
         .value = "K",
         .help = "words drawn for every word, to be told from it (default 5)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &options->negatives,
         .low = 1,
         .high = SKIPGRAM_NEGATIVES_HIGH},
        {.name = "min-count",
         .value = "N",
         .help = "leave out words seen less often (default 5)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &options->least,
         .low = 1},
        {.name = "subsample",
         .value = "T",
         .help = "pass over a word at random when its share of the text is above T; 0: never (default 0.0001)",
         .kind = ARGUMENT_DOUBLE,
         .target = &options->subsample,
         .least = 0.0,
         .most = 1.0},
        {.name = "optimizer",
         .letter = 'o',
         .value = "NAME[:key=value,...]",
         .help = "the servers' optimizer of both tables and its hyperparameters (default adagrad:lr=0.2)",
         .kind = ARGUMENT_TEXT,
         .target = &options->optimizer},
        {.name = "batch",
         .letter = 'b',
         .value = "N",
         .help = "words of the text that a gradient is computed from, and the rest of the last passage (default 2000)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &options->batch,
         .low = 1,
         .high = SKIPGRAM_BATCH_HIGH},
        {.name = "epochs",
         .letter = 'e',
         .value = "E",
         .help = "times that every worker goes through its share (default 5)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &options->epochs,
         .low = 1,
         .high = 1000000},
        {.name = "seed",
         .value = "S",
         .help = "of first vectors, orders and draws (default 1)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &options->seed},
        {.name = "pairs",
         .value = "N",
         .help = "random pairs that synonyms are compared with (default 100000)",
         .kind = ARGUMENT_UNSIGNED,
         .target = &options->draws,
         .low = 1,
         .high = 100000000},
        {.name = "neighbours",
         .letter = 'n',
         .value = "WORD,...",
         .help = "show the nearest words of these (default: of some usual ones)",
         .kind = ARGUMENT_TEXT,
         .target = &options->neighbours},
        {.name = "save",
         .value = "FILE",
         .help = "write all vectors to this file, in word2vec's text form: a line with the numbers of words and of "
                 "dimensions, then a line for each word",
         .kind = ARGUMENT_TEXT,
         .target = &options->save},
        {.name = "json",
         .help = "print one JSON object instead of a table",
         .kind = ARGUMENT_FLAG,
         .target = &options->json},
    };
    const struct command_line line = {
        .program = EMBED_PROGRAM,
        .summary = "Learns word vectors from English text in tables of real servers, and judges them by WordNet.",
        .options = arguments,
        .option_count = sizeof arguments / sizeof *arguments,
        .usage = "[--servers LIST | --local N | --single] [OPTION...]",
        .details = details,
        .examples = "  canyon-sim embed\n"
                    "  canyon-sim embed --local 2 --workers 8 --neighbours river,green,physics\n"
                    "  canyon-sim embed --text book.txt --min-count 3 --save vectors.txt\n"
                    "  canyon-sim embed --single --json",
    };
    enum arguments_verdict verdict = arguments_parse(&line, argc, argv, NULL);
    options->wordnet_given = wordnet != NULL;
    options->wordnet = wordnet != NULL ? wordnet : options->wordnet;
    if (verdict == ARGUMENTS_RUN) {
        verdict = team_options_check(&team, &line, &options->where, options->optimizer);
    }
    options->workers = team.workers;
    options->ahead = team.ahead;
    options->single = team.single;
    return verdict;
}
