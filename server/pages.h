/* Pages are memory for parameters in huge pages, where the system has them.
 *
 * An update walks through weights and slots once and touches little else, so that most of its misses are of the table
 * of pages, unless those are large. Pieces are cut from regions of address space that are told to the system as wanting
 * 2 MiB pages; several small pieces share one. Pieces that were given back are joined with their neighbours, whole 2
 * MiB pages among them go back to the system, and the rest serves the next piece. One thread at a time. */
#ifndef CANYON_SERVER_PAGES_H
#define CANYON_SERVER_PAGES_H

#include <stddef.h>

#include "server/memory.h"

struct pages;

/* From malloc; NULL without memory. */
struct pages *pages_create(void);

/* Every piece must have been given back. Safe on NULL. */
void pages_destroy(struct pages *pages);

/* What shards take their memory from, borrowed for the life of `pages`. */
const struct memory *pages_memory(const struct pages *pages);

/* Bytes of address space in regions, and of them in pieces. */
size_t pages_reserved(const struct pages *pages);
size_t pages_used(const struct pages *pages);

#endif
