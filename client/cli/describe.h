/* A tensor's description as text for tables and as JSON, the same in every command. */
#ifndef CANYON_CLI_DESCRIBE_H
#define CANYON_CLI_DESCRIBE_H

#include <stddef.h>

#include <jansson.h>

#include "canyon.h"

/* "(64, 32)" or "()"; of a table "rows of 16". Returns `text`. */
char *describe_shape(const struct canyon_tensor_info *info, char *text, size_t bytes);

/* "zeros", "constant (0.5)", "kaiming (gain 1.4, seed 7)". Returns `text`. */
char *describe_initializer(const struct canyon_tensor_info *info, char *text, size_t bytes);

/* name, kind, row_cap, capacity, shape, elements, blocks, complete, optimizer {name, settings {...}}, initializer
 * {kind, seed, a, b}. Owned by the caller; NULL when there is no memory. */
json_t *describe_json(const struct canyon_tensor_info *info);

#endif
