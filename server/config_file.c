#include "server/config_file.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 32

/* What one reading keeps. inih calls back without a line number, so the lines are counted where they are read. */
struct reading {
    struct config *config;
    const char *path;
    FILE *file;
    unsigned line;
    bool continued; /* the current line is indented: it goes on with the value above */
    bool failed;    /* the first fault is in `error`, the rest is read over */
    bool seen[KEYS_MAX];
    char *servers; /* owned: the list, gathered over its lines */
    size_t servers_bytes;
    unsigned servers_line;
    struct error *error;
};

static void fail_at(struct reading *reading, unsigned line, const char *text) {
    if (!reading->failed) {
        reading->failed = true;
        if (text != NULL) {
            error_set(reading->error, CANYON_INVALID_ARGUMENT, "%s", text);
        }
        error_prefix(reading->error, "%.150s:%u", reading->path, line);
    }
}

/* fgets, counting, and refusing a line that inih would take for two. */
static char *read_line(char *text, int bytes, void *user) {
    struct reading *reading = user;
    if (reading->failed || fgets(text, bytes, reading->file) == NULL) {
        return NULL;
    }
    ++reading->line;
    reading->continued = text[0] == ' ' || text[0] == '\t';
    size_t length = strlen(text);
    if (length > 0 && text[length - 1] != '\n' && !feof(reading->file)) {
        fail_at(reading, reading->line,
                "the line is too long, or holds a NUL byte; a long list of servers goes on over indented lines");
        return NULL;
    }
    return text;
}

/* Appends a part of the list; the parts are joined by a comma when the user left it out at the end of a line. */
static bool gather_servers(struct reading *reading, const char *value) {
    size_t count = strlen(value);
    char *grown = realloc(reading->servers, reading->servers_bytes + count + 2);
    if (grown == NULL) {
        return false;
    }
    reading->servers = grown;
    if (reading->servers_bytes > 0 && grown[reading->servers_bytes - 1] != ',') {
        grown[reading->servers_bytes++] = ',';
    }
    memcpy(grown + reading->servers_bytes, value, count + 1);
    reading->servers_bytes += count;
    return true;
}

static size_t key_index(const char *name) {
    size_t i = 0;
    while (config_key(i) != NULL && strcmp(config_key(i), name) != 0) {
        ++i;
    }
    return config_key(i) != NULL ? i : KEYS_MAX;
}

/* inih's callback; zero tells it of an error, which ours has recorded already. */
static int take_setting(void *user, const char *section, const char *name, const char *value) {
    struct reading *reading = user;
    size_t index = key_index(name);
    bool servers = strcmp(name, "servers") == 0;
    if (reading->failed) {
        return 0;
    }
    if (section[0] != '\0') {
        fail_at(reading, reading->line, "there are no [sections] in this file, only lines of key = value");
    } else if (reading->continued && !servers) {
        fail_at(reading, reading->line, "an indented line goes on with the value above, which only servers may do");
    } else if (!reading->continued && index < KEYS_MAX && reading->seen[index]) {
        error_set(reading->error, CANYON_INVALID_ARGUMENT, "%s is set a second time; each key stands once", name);
        fail_at(reading, reading->line, NULL);
    } else if (servers) {
        reading->servers_line = reading->continued ? reading->servers_line : reading->line;
        reading->seen[index] = true;
        if (!gather_servers(reading, value)) {
            error_set(reading->error, CANYON_NO_MEMORY, "no memory for the list of servers");
            fail_at(reading, reading->line, NULL);
        }
    } else if (config_set(reading->config, name, value, reading->error) != CANYON_OK) {
        fail_at(reading, reading->line, NULL);
    } else {
        reading->seen[index] = true;
    }
    return reading->failed ? 0 : 1;
}

enum canyon_status config_file_read(struct config *config, const char *path, struct error *error) {
    struct error ignored;
    struct reading reading = {.config = config, .path = path, .error = error != NULL ? error : &ignored};
    enum canyon_status status = CANYON_OK;
    reading.file = fopen(path, "re");
    if (reading.file == NULL) {
        return error_set(error, CANYON_NOT_FOUND, "the configuration file %.150s cannot be read: %s", path,
                         strerror(errno));
    }
    int first_bad = ini_parse_stream(read_line, &reading, take_setting, &reading);
    if (first_bad > 0) {
        fail_at(&reading, (unsigned)first_bad, "is not a line of the form key = value");
    } else if (first_bad < 0) {
        error_set(reading.error, CANYON_NO_MEMORY, "no memory to read it");
        fail_at(&reading, reading.line, NULL);
    } else if (ferror(reading.file)) {
        fail_at(&reading, reading.line, "the file cannot be read on");
    }
    if (!reading.failed && reading.servers != NULL &&
        config_set(config, "servers", reading.servers, reading.error) != CANYON_OK) {
        fail_at(&reading, reading.servers_line, NULL);
    }
    if (reading.failed) {
        status = reading.error->status;
    }
    free(reading.servers);
    fclose(reading.file);
    return status;
}
