#include "client/tools/table.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_HIGH 32

struct column {
    char *title;
    enum table_align align;
};

struct table {
    struct column columns[COLUMNS_HIGH];
    size_t column_count;
    char **cells; /* row-major */
    size_t cell_count, cell_room;
    bool broken; /* memory was missing, or a column too many */
};

struct table *table_create(void) {
    return calloc(1, sizeof(struct table));
}

void table_destroy(struct table *table) {
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->column_count; i++) {
        free(table->columns[i].title);
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    free(table);
}

void table_column(struct table *table, const char *title, enum table_align align) {
    if (table == NULL || table->broken) {
        return;
    }
    char *copy = table->column_count < COLUMNS_HIGH && table->cell_count == 0 ? strdup(title) : NULL;
    if (copy == NULL) {
        table->broken = true;
        return;
    }
    table->columns[table->column_count].title = copy;
    table->columns[table->column_count].align = align;
    table->column_count++;
}

static bool make_room(struct table *table) {
    if (table->cell_count < table->cell_room) {
        return true;
    }
    size_t room = table->cell_room == 0 ? 64 : table->cell_room * 2;
    char **cells = room > SIZE_MAX / sizeof *cells ? NULL : realloc(table->cells, room * sizeof *cells);
    if (cells == NULL) {
        return false;
    }
    table->cells = cells;
    table->cell_room = room;
    return true;
}

static char *format_text(const char *format, va_list values) __attribute__((format(printf, 1, 0)));

static char *format_text(const char *format, va_list values) {
    va_list again;
    va_copy(again, values);
    int length = vsnprintf(NULL, 0, format, values);
    char *text = length < 0 ? NULL : malloc((size_t)length + 1);
    if (text != NULL) {
        vsnprintf(text, (size_t)length + 1, format, again);
    }
    va_end(again);
    return text;
}

void table_cell(struct table *table, const char *format, ...) {
    if (table == NULL || table->broken) {
        return;
    }
    va_list values;
    va_start(values, format);
    char *text = table->column_count > 0 && make_room(table) ? format_text(format, values) : NULL;
    va_end(values);
    if (text == NULL) {
        table->broken = true;
        return;
    }
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    table->cells[table->cell_count++] = text;
}

size_t table_rows(const struct table *table) {
    return table == NULL || table->column_count == 0 ? 0 : table->cell_count / table->column_count;
}

/* Bytes of the UTF-8 character at `text`; 1 for a byte that begins none. */
static size_t character_bytes(const unsigned char *text) {
    size_t bytes = 1;
    if (text[0] >= 0xc2 && text[0] <= 0xdf) {
        bytes = 2;
    } else if ((text[0] & 0xf0) == 0xe0) {
        bytes = 3;
    } else if (text[0] >= 0xf0 && text[0] <= 0xf4) {
        bytes = 4;
    }
    for (size_t i = 1; i < bytes; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 1;
        }
    }
    return bytes;
}

size_t table_width(const char *text) {
    size_t width = 0;
    while (*text != '\0') {
        text += character_bytes((const unsigned char *)text);
        width++;
    }
    return width;
}

static const char *cell_at(const struct table *table, size_t row, size_t column) {
    size_t place = row * table->column_count + column;
    return place < table->cell_count ? table->cells[place] : "";
}

static void print_cell(FILE *out, const char *text, size_t width, enum table_align align, bool last) {
    size_t taken = table_width(text);
    int padding = (int)(width > taken ? width - taken : 0);
    if (align == TABLE_RIGHT) {
        fprintf(out, "%*s%s", padding, "", text);
    } else {
        fprintf(out, "%s%*s", text, last ? 0 : padding, "");
    }
    fputs(last ? "\n" : "  ", out);
}

static void print_rule(FILE *out, const size_t *widths, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < widths[i]; k++) {
            fputc('-', out);
        }
        fputs(i + 1 == count ? "\n" : "  ", out);
    }
}

bool table_print(const struct table *table, FILE *out) {
    if (table == NULL || table->broken || table->column_count == 0) {
        return false;
    }
    size_t widths[COLUMNS_HIGH];
    size_t count = table->column_count;
    size_t rows = (table->cell_count + count - 1) / count;
    for (size_t i = 0; i < count; i++) {
        widths[i] = table_width(table->columns[i].title);
        for (size_t row = 0; row < rows; row++) {
            size_t width = table_width(cell_at(table, row, i));
            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    for (size_t i = 0; i < count; i++) {
        print_cell(out, table->columns[i].title, widths[i], table->columns[i].align, i + 1 == count);
    }
    print_rule(out, widths, count);
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < count; i++) {
            print_cell(out, cell_at(table, row, i), widths[i], table->columns[i].align, i + 1 == count);
        }
    }
    return ferror(out) == 0;
}
