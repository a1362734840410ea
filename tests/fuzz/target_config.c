/* A server's configuration file and command line: what is accepted can be written and read back the same.
 *
 * Input: the file, then, behind a NUL, the words of the command line, one a line. */
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>

#include "server/config.h"
#include "server/config_file.h"

#define WORDS 32

static char *written(const struct config *config, size_t *count) {
    char *text = NULL;
    FILE *file = open_memstream(&text, count);
    REQUIRE(file != NULL);
    config_write(config, file);
    REQUIRE(fclose(file) == 0);
    return text;
}

/* Lines of a file have a limit that words of the command line do not have. */
static bool has_long_line(const char *text) {
    size_t length = strcspn(text, "\n");
    while (text[length] != '\0' && length < 190) {
        text += length + 1;
        length = strcspn(text, "\n");
    }
    return length >= 190;
}

static void check_written(const struct config *config) {
    size_t count, again_count;
    struct config back;
    struct error error = {.text = ""};
    char *text = written(config, &count);
    config_init(&back);
    if (!has_long_line(text)) {
        const char *path = input_path((const uint8_t *)text, count);
        bool good = config_file_read(&back, path, &error) == CANYON_OK;
        if (!good) {
            fprintf(stderr, "%s\n%s", error.text, text);
        }
        REQUIRE(good);
        char *again = written(&back, &again_count);
        REQUIRE(strcmp(text, again) == 0);
        free(again);
    }
    config_finish(&back);
    free(text);
}

/* Splits at line ends. Words that name another file are left out. */
static int split_words(char *text, char *words[WORDS]) {
    int count = 0;
    for (char *word = strtok(text, "\n"); word != NULL && count < WORDS; word = strtok(NULL, "\n")) {
        if (strncmp(word, "--config", 8) != 0) {
            words[count++] = word;
        }
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
    size_t file_bytes = nul == NULL ? size : (size_t)(nul - data);
    size_t rest = nul == NULL ? 0 : size - file_bytes - 1;
    char program[] = "canyon-server", name[] = "--config", path[64];
    char *words[WORDS + 3] = {program, name, path};
    char *line = text_copy(nul == NULL ? data : nul + 1, rest);
    struct config config;
    enum config_action action;
    struct error error = {.text = ""};
    snprintf(path, sizeof path, "%s", input_path(data, file_bytes));
    int count = 3 + split_words(line, words + 3);
    config_init(&config);
    if (config_arguments(&config, count, words, &action, &error) != CANYON_OK) {
        REQUIRE(error.text[0] != '\0');
    } else if (action == CONFIG_RUN || action == CONFIG_CHECK) {
        check_written(&config);
        if (config_place(&config, &config.listen_address, &error) == CANYON_OK && config.job.server_count > 0) {
            REQUIRE(config.server < config.job.server_count);
            check_written(&config);
        }
    }
    config_finish(&config);
    free(line);
    return 0;
}
