/* The help text of a command line, made of its tables. */
#include <assert.h>
#include <string.h>

#include "client/tools/arguments.h"

#define HELP_COLUMNS 80
#define LABEL_HIGH   28 /* a longer label has its help on the next line */
#define LABEL_BYTES  128

/* Prints `text` from column `indent` on (which is where the cursor stands), broken at blanks. */
static void print_wrapped(FILE *out, const char *text, size_t indent) {
    size_t column = indent;
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (column > indent && column + 1 + word > HELP_COLUMNS) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", (int)word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void print_entry(FILE *out, const char *label, size_t label_columns, const char *help) {
    fprintf(out, "  %-*s", (int)label_columns, label);
    if (strlen(label) > label_columns) {
        fprintf(out, "\n%*s", (int)label_columns + 2, "");
    }
    fputs("  ", out);
    print_wrapped(out, help, label_columns + 4);
}

/* "-w, --workers W" or "    --json". */
static void option_label(const struct argument *option, char *label, size_t bytes) {
    char letter[8] = "    ";
    if (option->letter != 0) {
        snprintf(letter, sizeof letter, "-%c, ", option->letter);
    }
    assert(option->kind == ARGUMENT_FLAG || option->value != NULL);
    snprintf(label, bytes, "%s--%s%s%s", letter, option->name, option->kind == ARGUMENT_FLAG ? "" : " ",
             option->kind == ARGUMENT_FLAG ? "" : option->value);
}

static size_t label_columns(const struct command_line *line) {
    size_t columns = strlen("-h, --help");
    char label[LABEL_BYTES];
    for (size_t i = 0; i < line->option_count; i++) {
        option_label(&line->options[i], label, sizeof label);
        size_t length = strlen(label);
        columns = length > columns && length <= LABEL_HIGH ? length : columns;
    }
    for (size_t i = 0; i < line->positional_count; i++) {
        size_t length = strlen(line->positionals[i].name);
        columns = length > columns && length <= LABEL_HIGH ? length : columns;
    }
    return columns;
}

static void print_usage(const struct command_line *line, FILE *out) {
    fprintf(out, "Usage: %s", line->program);
    if (line->usage != NULL) {
        fputc(' ', out);
        print_wrapped(out, line->usage, strlen("Usage: ") + strlen(line->program) + 1);
        return;
    }
    for (size_t i = 0; i < line->positional_count; i++) {
        bool optional = line->positionals[i].optional;
        fprintf(out, " %s%s%s", optional ? "[" : "", line->positionals[i].name, optional ? "]" : "");
    }
    if (line->rest != NULL) {
        fprintf(out, " %s...", line->rest_name);
    }
    fprintf(out, "%s\n", line->option_count > 0 ? " [OPTION...]" : "");
}

static void print_options(const struct command_line *line, FILE *out) {
    char label[LABEL_BYTES];
    size_t columns = label_columns(line);
    if (line->positional_count > 0) {
        fputs("\nArguments:\n", out);
    }
    for (size_t i = 0; i < line->positional_count; i++) {
        print_entry(out, line->positionals[i].name, columns, line->positionals[i].help);
    }
    if (line->rest != NULL) {
        print_entry(out, line->rest_name, columns, line->rest_help);
    }
    fputs("\nOptions:\n", out);
    for (size_t i = 0; i < line->option_count; i++) {
        option_label(&line->options[i], label, sizeof label);
        print_entry(out, label, columns, line->options[i].help);
    }
    print_entry(out, "-h, --help", columns, "show this help");
}

void arguments_help(const struct command_line *line, FILE *out) {
    print_usage(line, out);
    if (line->summary != NULL) {
        fputc('\n', out);
        print_wrapped(out, line->summary, 0);
    }
    print_options(line, out);
    if (line->details != NULL) {
        fprintf(out, "\n%s\n", line->details);
    }
    if (line->examples != NULL) {
        fprintf(out, "\nExamples:\n%s\n", line->examples);
    }
    fputs("\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 a server did not answer in time,\n"
          "4 keys: one is missing, not the expected one, not accepted, or may not do that.\n",
          out);
}
