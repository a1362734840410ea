#include "client/tools/arguments.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/tools/number.h"

#define WORD_HIGH  64 /* longer words are nobody's typing error */
#define NAMES_HIGH 64

/* What one parse carries around. */
struct parse {
    const struct command_line *line;
    int argc;
    char **argv;
    int at; /* the next entry to read */
    size_t positionals;
    bool options_ended;
    bool stopped; /* at a positional, with stop_at_positional */
    FILE *out, *err;
};

bool arguments_unsigned(const char *text, uint64_t *value) {
    uint64_t sum = 0;
    if (*text == '\0') {
        return false;
    }
    for (const char *c = text; *c != '\0'; c++) {
        unsigned digit = (unsigned)(*c - '0');
        if (*c < '0' || *c > '9' || sum > (UINT64_MAX - digit) / 10) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

bool arguments_double(const char *text, double *value) {
    char *end = NULL;
    if (*text == '\0' || isspace((unsigned char)*text)) {
        return false;
    }
    double number = strtod(text, &end);
    if (*end != '\0' || !isfinite(number)) {
        return false;
    }
    *value = number;
    return true;
}

/* Letters to change, add or drop to make one word of the other. */
static size_t word_distance(const char *one, const char *other) {
    size_t row[WORD_HIGH + 1];
    size_t length = strlen(other);
    if (strlen(one) > WORD_HIGH || length > WORD_HIGH) {
        return SIZE_MAX;
    }
    for (size_t k = 0; k <= length; k++) {
        row[k] = k;
    }
    for (size_t i = 0; one[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t k = 0; k < length; k++) {
            size_t changed = diagonal + (one[i] != other[k]);
            size_t shorter = (row[k] < row[k + 1] ? row[k] : row[k + 1]) + 1;
            diagonal = row[k + 1];
            row[k + 1] = changed < shorter ? changed : shorter;
        }
    }
    return row[length];
}

const char *arguments_nearest(const char *word, const char *const *names, size_t count) {
    const char *best = NULL;
    size_t length = strlen(word), best_distance = length < 3 ? 1 : 1 + length / 3;
    for (size_t i = 0; i < count; i++) {
        bool begins = length >= 2 && strncmp(word, names[i], length) == 0;
        size_t distance = begins ? 0 : word_distance(word, names[i]);
        if (distance < best_distance || (distance == best_distance && best == NULL && distance < length)) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}

static enum arguments_verdict complain(const struct parse *parse, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum arguments_verdict complain(const struct parse *parse, const char *format, ...) {
    va_list values;
    va_start(values, format);
    fprintf(parse->err, "%s: ", parse->line->program);
    vfprintf(parse->err, format, values);
    fprintf(parse->err, "\n%s --help shows what there is\n", parse->line->program);
    va_end(values);
    return ARGUMENTS_WRONG;
}

enum arguments_verdict arguments_wrong(const struct command_line *line, const char *format, ...) {
    va_list values;
    va_start(values, format);
    fprintf(stderr, "%s: ", line->program);
    vfprintf(stderr, format, values);
    fprintf(stderr, "\n%s --help shows what there is\n", line->program);
    va_end(values);
    return ARGUMENTS_WRONG;
}

static enum arguments_verdict set_unsigned(const struct parse *parse, const struct argument *option, const char *text) {
    uint64_t value = 0, high = option->high == 0 ? UINT64_MAX : option->high;
    if (!arguments_unsigned(text, &value) || value < option->low || value > high) {
        if (option->high == 0) {
            return complain(parse, "--%s is '%s'; it must be a whole number, %" PRIu64 " or more", option->name, text,
                            option->low);
        }
        return complain(parse, "--%s is '%s'; it must be a whole number from %" PRIu64 " to %" PRIu64, option->name,
                        text, option->low, high);
    }
    *(uint64_t *)option->target = value;
    return ARGUMENTS_RUN;
}

static enum arguments_verdict set_double(const struct parse *parse, const struct argument *option, const char *text) {
    char least[NUMBER_BYTES], most[NUMBER_BYTES];
    bool bounded = option->least != 0.0 || option->most != 0.0;
    double value = 0.0;
    if (!arguments_double(text, &value)) {
        return complain(parse, "--%s is '%s'; it must be a finite number", option->name, text);
    }
    if (bounded && (value < option->least || value > option->most)) {
        return complain(parse, "--%s is '%s'; it must be a number from %s to %s", option->name, text,
                        number_shortest(option->least, least, sizeof least),
                        number_shortest(option->most, most, sizeof most));
    }
    *(double *)option->target = value;
    return ARGUMENTS_RUN;
}

static enum arguments_verdict set_text(const struct parse *parse, const struct argument *option, const char *text) {
    char allowed[512] = "";
    size_t length = 0;
    bool found = option->choices == NULL;
    for (size_t i = 0; !found && option->choices[i] != NULL; i++) {
        found = strcmp(option->choices[i], text) == 0;
        int more = snprintf(allowed + length, sizeof allowed - length, "%s%s", i == 0 ? "" : ", ", option->choices[i]);
        length += more > 0 ? (size_t)more : 0;
        length = length < sizeof allowed ? length : sizeof allowed - 1;
    }
    if (!found) {
        return complain(parse, "--%s is '%s'; it must be one of %s", option->name, text, allowed);
    }
    *(const char **)option->target = text;
    return ARGUMENTS_RUN;
}

static enum arguments_verdict add_text(const struct parse *parse, const struct argument *option, const char *text) {
    struct argument_texts *texts = option->target;
    if (texts->count == ARGUMENT_TEXTS_HIGH) {
        return complain(parse, "--%s is given more than %d times", option->name, ARGUMENT_TEXTS_HIGH);
    }
    texts->items[texts->count++] = text;
    return ARGUMENTS_RUN;
}

static enum arguments_verdict set_value(const struct parse *parse, const struct argument *option, const char *text) {
    enum arguments_verdict verdict = ARGUMENTS_WRONG;
    switch (option->kind) {
    case ARGUMENT_UNSIGNED:
        verdict = set_unsigned(parse, option, text);
        break;
    case ARGUMENT_DOUBLE:
        verdict = set_double(parse, option, text);
        break;
    case ARGUMENT_TEXT:
        verdict = set_text(parse, option, text);
        break;
    case ARGUMENT_TEXTS:
        verdict = add_text(parse, option, text);
        break;
    case ARGUMENT_FLAG:
        assert(0 && "a flag has no value to set");
        break;
    }
    return verdict;
}

/* Sets an option from `attached` (the text after '=' or the letter; NULL for none) or else the next argument. */
static enum arguments_verdict take_option(struct parse *parse, const struct argument *option, const char *attached) {
    if (option->kind == ARGUMENT_FLAG) {
        if (attached != NULL) {
            return complain(parse, "--%s takes no value, but '%s' was given", option->name, attached);
        }
        *(bool *)option->target = true;
        return ARGUMENTS_RUN;
    }
    if (attached == NULL) {
        if (parse->at >= parse->argc || strncmp(parse->argv[parse->at], "--", 2) == 0) {
            return complain(parse, "--%s needs a value: --%s %s", option->name, option->name, option->value);
        }
        attached = parse->argv[parse->at++];
    }
    return set_value(parse, option, attached);
}

static enum arguments_verdict unknown_option(const struct parse *parse, const char *name, size_t length) {
    const char *names[NAMES_HIGH];
    char word[WORD_HIGH + 1];
    size_t count = 0;
    for (size_t i = 0; i < parse->line->option_count && count + 1 < NAMES_HIGH; i++) {
        names[count++] = parse->line->options[i].name;
    }
    names[count++] = "help";
    snprintf(word, sizeof word, "%.*s", (int)(length < WORD_HIGH ? length : WORD_HIGH), name);
    const char *nearest = arguments_nearest(word, names, count);
    if (nearest != NULL) {
        return complain(parse, "there is no option --%s; did you mean --%s?", word, nearest);
    }
    return complain(parse, "there is no option --%s", word);
}

static enum arguments_verdict show_help(const struct parse *parse) {
    arguments_help(parse->line, parse->out);
    return ARGUMENTS_HELP;
}

static enum arguments_verdict take_long(struct parse *parse, const char *name) {
    const char *equals = strchr(name, '=');
    size_t length = equals == NULL ? strlen(name) : (size_t)(equals - name);
    for (size_t i = 0; i < parse->line->option_count; i++) {
        const struct argument *option = &parse->line->options[i];
        if (strlen(option->name) == length && strncmp(option->name, name, length) == 0) {
            return take_option(parse, option, equals == NULL ? NULL : equals + 1);
        }
    }
    if (length == 4 && strncmp(name, "help", 4) == 0) {
        return show_help(parse);
    }
    return unknown_option(parse, name, length);
}

/* "-j", "-jw4", "-w4", "-w 4": flags may be followed by more letters, a letter with a value takes the rest. */
static enum arguments_verdict take_letters(struct parse *parse, const char *letters) {
    enum arguments_verdict verdict = ARGUMENTS_RUN;
    while (verdict == ARGUMENTS_RUN && *letters != '\0') {
        const struct argument *option = NULL;
        for (size_t i = 0; i < parse->line->option_count && option == NULL; i++) {
            option = parse->line->options[i].letter == *letters ? &parse->line->options[i] : NULL;
        }
        if (option == NULL) {
            return *letters == 'h' ? show_help(parse) : complain(parse, "there is no option -%c", *letters);
        }
        letters++;
        bool takes_rest = option->kind != ARGUMENT_FLAG;
        verdict = take_option(parse, option, takes_rest && *letters != '\0' ? letters : NULL);
        if (takes_rest) {
            break;
        }
    }
    return verdict;
}

static enum arguments_verdict take_positional(struct parse *parse, const char *text) {
    struct argument_texts *rest = parse->line->rest;
    if (parse->positionals < parse->line->positional_count) {
        *parse->line->positionals[parse->positionals++].target = text;
    } else if (rest == NULL) {
        return complain(parse, "'%s' is one argument too many", text);
    } else if (rest->count == ARGUMENT_TEXTS_HIGH) {
        return complain(parse, "%s is given more than %d times", parse->line->rest_name, ARGUMENT_TEXTS_HIGH);
    } else {
        rest->items[rest->count++] = text;
    }
    return ARGUMENTS_RUN;
}

static enum arguments_verdict take_one(struct parse *parse) {
    const char *text = parse->argv[parse->at];
    bool option = !parse->options_ended && text[0] == '-' && text[1] != '\0';
    if (!option && parse->line->stop_at_positional) {
        parse->stopped = true;
        return ARGUMENTS_RUN;
    }
    parse->at++;
    if (!option) {
        return take_positional(parse, text);
    }
    if (strcmp(text, "--") == 0) {
        parse->options_ended = true;
        return ARGUMENTS_RUN;
    }
    return text[1] == '-' ? take_long(parse, text + 2) : take_letters(parse, text + 1);
}

enum arguments_verdict arguments_parse_to(const struct command_line *line, int argc, char **argv, int *used, FILE *out,
                                          FILE *err) {
    struct parse parse = {.line = line, .argc = argc, .argv = argv, .at = 1, .out = out, .err = err};
    enum arguments_verdict verdict = ARGUMENTS_RUN;
    while (verdict == ARGUMENTS_RUN && parse.at < argc && !parse.stopped) {
        verdict = take_one(&parse);
    }
    if (verdict == ARGUMENTS_RUN && parse.positionals < line->positional_count &&
        !line->positionals[parse.positionals].optional) {
        const struct positional *missing = &line->positionals[parse.positionals];
        verdict = complain(&parse, "%s is missing: %s", missing->name, missing->help);
    } else if (verdict == ARGUMENTS_RUN && line->rest != NULL && line->rest->count == 0) {
        verdict = complain(&parse, "%s is missing: %s", line->rest_name, line->rest_help);
    }
    if (used != NULL) {
        *used = parse.at < argc ? parse.at : argc;
    }
    return verdict;
}

enum arguments_verdict arguments_parse(const struct command_line *line, int argc, char **argv, int *used) {
    return arguments_parse_to(line, argc, argv, used, stdout, stderr);
}
