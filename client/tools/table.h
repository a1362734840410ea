/* Tables for people: a header, aligned columns, numbers to the right.
 *
 * Fill it row by row, left to right; a row is complete when every column has its cell. Widths count characters of
 * UTF-8, not bytes. Memory that cannot be had is remembered: table_print then prints nothing and returns false, so no
 * call in between needs a check. Not thread-safe. */
#ifndef CANYON_TOOLS_TABLE_H
#define CANYON_TOOLS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum table_align { TABLE_LEFT, TABLE_RIGHT };

struct table;

/* NULL when there is no memory; every other function is safe on NULL. */
struct table *table_create(void);
void table_destroy(struct table *table);

/* Adds a column; all of them before the first cell. The title is copied. */
void table_column(struct table *table, const char *title, enum table_align align);

/* The next cell, copied. Control characters are shown as '?', so that no text can disturb a terminal. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Complete rows so far. */
size_t table_rows(const struct table *table);

/* Header, a rule, rows, each a line with two blanks between columns and none at the end. An incomplete last row is
 * filled with empty cells. False when memory was missing or `out` could not be written. */
bool table_print(const struct table *table, FILE *out);

/* Columns that a UTF-8 text takes on a terminal, with every character counted as one; a byte that is not UTF-8 too. */
size_t table_width(const char *text);

#endif
