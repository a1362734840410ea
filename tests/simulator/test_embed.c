/* canyon-sim embed: what it learns from a text whose words have topics, what it prints, and what it refuses. */
#include "answers.h"
#include "program.h"

#include <jansson.h>
#include <math.h>
#include <sys/stat.h>

#include "canyon.h"
#include "client/simulator/counter.h"
#include "servers.h"

#define TOPICS      10
#define TOPIC_WORDS 8
#define PASSAGES    1500
#define WORDS_EACH  16

static char directory[64]; /* text.txt, and a WordNet of TOPICS synsets */
static char text_path[128], saved_path[128];

static void word_of(unsigned topic, unsigned word, char name[8]) {
    snprintf(name, 8, "t%cw%c", (char)('a' + topic), (char)('a' + word));
}

static FILE *open_file(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    return file;
}

/* Passages of words of one topic, with some that all topics have. */
static void write_text(void) {
    static const char *const common[] = {"the", "of", "and", "in"};
    char name[8];
    FILE *file = open_file("text.txt");
    for (uint64_t p = 0; p < PASSAGES; p++) {
        unsigned topic = counter_below(1, p, 0, TOPICS);
        for (uint64_t i = 1; i <= WORDS_EACH; i++) {
            word_of(topic, counter_below(1, p, 2 * i, TOPIC_WORDS), name);
            fprintf(file, "%s %s ", common[counter_below(1, p, 2 * i + 1, 4)], name);
        }
        fprintf(file, "\n\n");
    }
    fclose(file);
}

/* All words of a topic are said to mean the same. */
static void write_wordnet(void) {
    static const char *const empty[] = {"data.verb", "data.adj", "data.adv"};
    char name[8];
    FILE *file = open_file("data.noun");
    fprintf(file, "  1 no licence  \n");
    for (unsigned topic = 0; topic < TOPICS; topic++) {
        fprintf(file, "%08u 03 n %02x ", topic, TOPIC_WORDS);
        for (unsigned word = 0; word < TOPIC_WORDS; word++) {
            word_of(topic, word, name);
            fprintf(file, "%s 0 ", name);
        }
        fprintf(file, "000 | words of a topic  \n");
    }
    fclose(file);
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        fclose(open_file(empty[i]));
    }
}

static struct local *local; /* servers that some of the tests share */

static int make_directory(void **state) {
    (void)state;
    if (servers_start(2, &local) != 0) {
        return -1;
    }
    snprintf(directory, sizeof directory, "/tmp/canyon-embed-XXXXXX");
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    snprintf(text_path, sizeof text_path, "%s/text.txt", directory);
    snprintf(saved_path, sizeof saved_path, "%s/saved.txt", directory);
    write_text();
    write_wordnet();
    return 0;
}

static int remove_directory(void **state) {
    static const char *const names[] = {"text.txt",  "other.txt", "saved.txt", "data.noun",
                                        "data.verb", "data.adj",  "data.adv"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        remove(path);
    }
    int removed = rmdir(directory);
    return local_stop(local) ? removed : -1;
}

static json_t *object_of(const struct program *program) {
    json_error_t error;
    json_t *object = json_loads(program->said, 0, &error);
    if (object == NULL) {
        fail_msg("%s in:\n%s", error.text, program->said);
    }
    return object;
}

/* The neighbours shown of "taw?" are words of topic a: at least five of the six shown. */
static void expect_neighbours(const json_t *object, const char *word) {
    const char *key = NULL;
    json_t *value = NULL;
    size_t own = 0;
    json_t *found = json_object_get(json_object_get(object, "neighbours"), word);
    assert_int_equal(json_object_size(found), 6);
    json_object_foreach(found, key, value) {
        own += strncmp(key, word, 2) == 0;
        assert_true(json_number_value(value) >= -1.0 && json_number_value(value) <= 1.0);
    }
    assert_true(own >= 5);
}

static void expect_learnt(const json_t *object) {
    assert_true(number_of(object, "auc") > 0.95);
    assert_true(number_of(object, "auc_error") >= 0.0 && number_of(object, "auc_error") < 0.05);
    assert_true(number_of(object, "auc_own") > 0.95);
    assert_true(number_of(object, "synonym_pairs") == TOPICS * TOPIC_WORDS * (TOPIC_WORDS - 1) / 2);
    assert_true(number_of(object, "vocabulary") == TOPICS * TOPIC_WORDS + 4);
    assert_true(number_of(object, "words") == 2 * PASSAGES * WORDS_EACH);
    expect_neighbours(object, "tawa");
    expect_neighbours(object, "tdwc");
}

#define ON_TOPICS                                                                                                      \
    "--text", text_path, "--wordnet", directory, "--dim", "16", "--subsample", "0.01", "--batch", "500", "--pairs",    \
        "2000", "--neighbours", "tawa,tdwc"

static void one_process_learns_and_says_so(void **state) {
    static const char *const keys[] = {"workers",    "servers",        "optimizer",  "dim",           "window",
                                       "negatives",  "min_count",      "subsample",  "batch",         "ahead",
                                       "epochs",     "seed",           "text_words", "words",         "vocabulary",
                                       "passages",   "trained_words",  "words_s",    "seconds",       "rows",
                                       "bytes_sent", "bytes_received", "loss",       "synonym_pairs", "random_pairs",
                                       "auc",        "auc_error",      "auc_own",    "auc_own_error", "neighbours"};
    struct program program;
    (void)state;
    program_run(&program, NULL, 0, WORDS("embed", "--single", ON_TOPICS, "--json"));
    json_t *object = object_of(&program);
    assert_int_equal(json_object_size(object), sizeof keys / sizeof *keys);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        assert_non_null(json_object_get(object, keys[i]));
    }
    expect_learnt(object);
    assert_true(number_of(object, "workers") == 1 && number_of(object, "servers") == 0);
    assert_true(number_of(object, "trained_words") == 5 * number_of(object, "words"));
    assert_true(number_of(object, "passages") == PASSAGES && number_of(object, "random_pairs") == 2000);
    json_decref(object);
    program_finish(&program);
}

/* Two runs with one seed differ in nothing but time; another seed in what was learnt. */
static void one_process_is_deterministic(void **state) {
    json_t *objects[3];
    static const char *const seeds[] = {"7", "7", "8"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct program program;
        program_run(&program, NULL, 0,
                    WORDS("embed", "--single", ON_TOPICS, "--epochs", "1", "--json", "--seed", seeds[i]));
        objects[i] = object_of(&program);
        json_object_del(objects[i], "seconds");
        json_object_del(objects[i], "words_s");
        json_object_del(objects[i], "loss"); /* of when somebody looked */
        json_object_del(objects[i], "seed");
        program_finish(&program);
    }
    assert_true(json_equal(objects[0], objects[1]));
    assert_false(json_equal(objects[0], objects[2]));
    for (size_t i = 0; i < 3; i++) {
        json_decref(objects[i]);
    }
}

/* The file has a line for each word, the most frequent first, and the numbers that the neighbours come from. */
static void vectors_are_saved(void **state) {
    struct program program;
    char line[1024], word[64];
    unsigned words = 0, dim = 0, count = 0;
    float first[16], second[16];
    double product = 0.0, squares[2] = {0.0, 0.0};
    (void)state;
    program_run(&program, NULL, 0,
                WORDS("embed", "--single", ON_TOPICS, "--json", "--epochs", "1", "--save", saved_path));
    FILE *file = fopen(saved_path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%u %u\n", &words, &dim), 2);
    assert_true(words == TOPICS * TOPIC_WORDS + 4 && dim == 16);
    json_t *object = object_of(&program);
    json_t *found = json_object_get(json_object_get(object, "neighbours"), "tawa");
    const char *nearest = json_object_iter_key(json_object_iter(found));
    for (; fgets(line, sizeof line, file) != NULL; count++) {
        float vector[16];
        char *at = line;
        assert_int_equal(sscanf(line, "%63s", word), 1);
        at += strlen(word);
        for (unsigned i = 0; i < dim; i++) {
            vector[i] = strtof(at, &at);
        }
        assert_string_equal(at, "\n");
        assert_true(count >= 4 || strlen(word) < 4);
        memcpy(strcmp(word, "tawa") == 0 ? first : vector, vector, sizeof vector);
        if (strcmp(word, nearest) == 0) {
            memcpy(second, vector, sizeof second);
        }
    }
    fclose(file);
    assert_int_equal(count, words);
    for (unsigned i = 0; i < dim; i++) {
        product += (double)first[i] * (double)second[i];
        squares[0] += (double)first[i] * (double)first[i];
        squares[1] += (double)second[i] * (double)second[i];
    }
    double said = json_number_value(json_object_get(found, nearest));
    assert_true(fabs(product / sqrt(squares[0] * squares[1]) - said) < 1e-6);
    json_decref(object);
    program_finish(&program);
}

static void people_are_told_in_words(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 0, WORDS("embed", "--single", ON_TOPICS, "--epochs", "1"));
    expect_part(program.said, "seen at least 5 times");
    expect_part(program.said, "one process, without servers");
    expect_part(program.said, "280 pairs of synonyms against 2,000 random pairs");
    expect_part(program.said, "nearest words");
    expect_part(program.said, "tawa");
    expect_part(program.told, "100%"); /* no terminal: plain lines */
    assert_null(strchr(program.told, '\r'));
    program_finish(&program);
}

/* Without synonyms nothing is judged, and that is said; a WordNet that was asked for must be there. */
static void what_cannot_be_judged_is_not(void **state) {
    struct program program;
    char other[128], nowhere[128];
    FILE *file = open_file("other.txt");
    (void)state;
    for (int i = 0; i < 200; i++) {
        fprintf(file, "some words that no synset has\n\n");
    }
    fclose(file);
    snprintf(other, sizeof other, "%s/other.txt", directory);
    snprintf(nowhere, sizeof nowhere, "%s/nowhere", directory);
    program_run(&program, NULL, 0, WORDS("embed", "--single", "--text", other, "--wordnet", directory, "--json"));
    json_t *object = object_of(&program);
    assert_true(json_is_null(json_object_get(object, "auc")) && json_is_null(json_object_get(object, "auc_own_error")));
    assert_true(number_of(object, "synonym_pairs") == 0 && number_of(object, "random_pairs") == 0);
    json_decref(object);
    program_finish(&program);
    program_run(&program, NULL, 0, WORDS("embed", "--single", "--text", other, "--wordnet", directory));
    expect_part(program.said, "not known: no two words of the vocabulary");
    program_finish(&program);
    program_run(&program, NULL, 1, WORDS("embed", "--single", "--text", text_path, "--wordnet", nowhere));
    expect_part(program.told, "nowhere/data.noun");
    expect_part(program.told, "apt-get install wordnet-base");
    program_finish(&program);
}

static void what_cannot_be_is_refused(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 1, WORDS("embed", "--single", "--text", "/nowhere.txt", "--wordnet", directory));
    expect_part(program.told, "cannot open /nowhere.txt");
    program_finish(&program);
    program_run(&program, NULL, 1,
                WORDS("embed", "--single", "--text", text_path, "--wordnet", directory, "-n", "tawa,unheard"));
    expect_part(program.told, "'unheard' is not a word that was seen");
    program_finish(&program);
    program_run(&program, NULL, 1,
                WORDS("embed", "--single", "--text", text_path, "--wordnet", directory, "--min-count", "1000000"));
    expect_part(program.told, "nothing to learn");
    program_finish(&program);
    program_run(&program, NULL, 1,
                WORDS("embed", "--single", ON_TOPICS, "--epochs", "1", "--save", "/nowhere/vectors.txt"));
    expect_part(program.told, "cannot write /nowhere/vectors.txt");
    program_finish(&program);
}

static void wrong_options_are_named(void **state) {
    static const struct {
        const char *words[6];
        const char *said;
    } cases[] = {
        {{"--single", "--workers", "2"}, "--workers and --ahead are not for it"},
        {{"--single", "--ahead", "2"}, "--workers and --ahead are not for it"},
        {{"--single", "--local", "2"}, "--servers and --local are not for it"},
        {{"--single", "--optimizer", "lion"}, "sgd, adagrad, adam and ftrl"},
        {{"--optimizer", "adam:lr"}, "--optimizer"},
        {{"--dim", "0"}, "--dim"},
        {{"--window", "101"}, "--window"},
        {{"--subsample", "2"}, "--subsample"},
        {{"--colour"}, "--colour"},
        {{"stray"}, "stray"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct program program;
        const char *const *words = cases[i].words;
        program_run(&program, NULL, 2, WORDS("embed", words[0], words[1], words[2], words[3]));
        expect_part(program.told, cases[i].said);
        program_finish(&program);
    }
}

static void a_training_that_diverges_says_so(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 1, WORDS("embed", "--single", ON_TOPICS, "--optimizer", "sgd:lr=1000000"));
    expect_part(program.told, "use a smaller lr");
    program_finish(&program);
}

static void workers_learn_through_servers(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 0,
                WORDS("embed", "--local", "2", "--threads", "2", "--workers", "4", ON_TOPICS, "--json"));
    json_t *object = object_of(&program);
    expect_learnt(object);
    assert_true(number_of(object, "workers") == 4 && number_of(object, "servers") == 2);
    assert_true(number_of(object, "trained_words") == 5 * number_of(object, "words"));
    /* Every row that was pushed took its 16 numbers, and its weights came the other way. */
    assert_true(number_of(object, "bytes_sent") >= 64.0 * number_of(object, "rows"));
    assert_true(number_of(object, "bytes_received") >= 64.0 * number_of(object, "rows"));
    json_decref(object);
    program_finish(&program);
}

/* One worker is answered in the order of what it asks, however many batches are under way. */
static void one_worker_is_deterministic(void **state) {
    json_t *objects[2];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct program program;
        program_run(&program, NULL, 0,
                    WORDS("embed", "--local", i == 0 ? "1" : "3", "--workers", "1", ON_TOPICS, "--epochs", "1",
                          "--ahead", "4", "--json"));
        objects[i] = object_of(&program);
        program_finish(&program);
    }
    assert_true(number_of(objects[0], "auc") == number_of(objects[1], "auc"));
    assert_true(json_equal(json_object_get(objects[0], "neighbours"), json_object_get(objects[1], "neighbours")));
    json_decref(objects[0]);
    json_decref(objects[1]);
}

static void nothing_is_left_on_servers_that_go_on(void **state) {
    struct program program;
    pid_t children[PROGRAM_PROCESSES];
    (void)state;
    program_run(&program, NULL, 0,
                WORDS("embed", "--servers", local_servers(local), "--workers", "2", ON_TOPICS, "--epochs", "1"));
    expect_part(program.said, "2 workers on 2 servers");
    program_finish(&program);
    servers_hold_nothing(local);
    /* A worker dies: the others are ended, and the tables go. */
    program_start(&program, NULL,
                  WORDS("embed", "--servers", local_servers(local), "--workers", "3", ON_TOPICS, "--epochs", "100000"));
    size_t count = program_wait_children(program.process, "canyon-sim", 3, children);
    kill(children[1], SIGKILL);
    program_wait(&program, 60);
    assert_int_equal(program.code, 1);
    expect_part(program.told, "ended before its work was done: signal 9");
    program_expect_gone(children, count);
    program_finish(&program);
    servers_hold_nothing(local);
    /* It is interrupted. */
    program_start(&program, NULL,
                  WORDS("embed", "--servers", local_servers(local), "--workers", "2", ON_TOPICS, "--epochs", "100000"));
    count = program_wait_children(program.process, "canyon-sim", 2, children);
    kill(program.process, SIGINT);
    program_wait(&program, 60);
    assert_int_equal(program.code, 128 + SIGINT);
    program_expect_gone(children, count);
    program_finish(&program);
    servers_hold_nothing(local);
}

static void what_servers_refuse_is_told(void **state) {
    struct program program;
    (void)state;
    program_run(&program, NULL, 1,
                WORDS("embed", "--servers", local_servers(local), "-w", "2", ON_TOPICS, "--optimizer", "nothing"));
    expect_part(program.told, "nothing");
    program_finish(&program);
    program_run(&program, NULL, 1,
                WORDS("embed", "--servers", local_servers(local), "-w", "2", ON_TOPICS, "-o", "sgd:lr=1000000"));
    expect_part(program.told, "use a smaller lr");
    program_finish(&program);
    servers_hold_nothing(local);
    program_run(&program, NULL, 3, WORDS("embed", "--servers", "127.0.0.1:1", ON_TOPICS, "--timeout", "500"));
    expect_part(program.told, "127.0.0.1:1");
    program_finish(&program);
}

static void a_signal_ends_it_and_its_worker(void **state) {
    struct program program;
    pid_t children[PROGRAM_PROCESSES];
    (void)state;
    program_start(&program, NULL, WORDS("embed", "--single", ON_TOPICS, "--epochs", "100000"));
    size_t count = program_wait_children(program.process, "canyon-sim", 1, children);
    kill(program.process, SIGTERM);
    program_wait(&program, 30);
    assert_int_equal(program.code, 128 + SIGTERM);
    program_expect_gone(children, count);
    program_finish(&program);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_process_learns_and_says_so),
        cmocka_unit_test(one_process_is_deterministic),
        cmocka_unit_test(vectors_are_saved),
        cmocka_unit_test(people_are_told_in_words),
        cmocka_unit_test(what_cannot_be_judged_is_not),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(a_training_that_diverges_says_so),
        cmocka_unit_test(a_signal_ends_it_and_its_worker),
        cmocka_unit_test(workers_learn_through_servers),
        cmocka_unit_test(one_worker_is_deterministic),
        cmocka_unit_test(nothing_is_left_on_servers_that_go_on),
        cmocka_unit_test(what_servers_refuse_is_told),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
