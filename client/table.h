/* A table handle: what a table is, where its rows are, and which version of each shard's this handle received last. */
#ifndef CANYON_CLIENT_TABLE_H
#define CANYON_CLIENT_TABLE_H

#include <stdatomic.h>
#include <stdint.h>

#include "client/row_split.h"
#include "client/tensor.h"

struct canyon_table {
    struct canyon_tensor *tensor; /* its entry in the catalogue, and its codecs; owned */
    struct row_hash hash;
    struct shard_order order;   /* owned */
    _Atomic uint64_t *versions; /* of each shard: of the rows received last */
    _Atomic uint64_t pushes;    /* batches pushed through this handle */
    uint32_t dim;
};

static inline const char *table_name(const struct canyon_table *table) {
    return table->tensor->info.spec.name;
}

#endif
