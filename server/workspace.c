#include "server/workspace.h"

#include <stdlib.h>

struct workspace *workspace_create(const struct memory *memory, const uint8_t *secret) {
    struct workspace *workspace = calloc(1, sizeof *workspace);
    if (workspace != NULL) {
        rowkey_init(&workspace->rowkey, secret);
        workspace->pool = pool_create(memory);
        if (workspace->pool == NULL) {
            workspace_destroy(workspace);
            workspace = NULL;
        }
    }
    return workspace;
}

static void free_rows(struct workspace_scratch *scratch) {
    free(scratch->keys);
    free(scratch->at);
    free(scratch->which);
    free(scratch->made);
    free(scratch->table);
    free(scratch->ids);
}

void workspace_destroy(struct workspace *workspace) {
    if (workspace != NULL) {
        for (size_t i = 0; i < WORKSPACE_PREPARED; i++) {
            free(workspace->prepared[i]);
        }
        free_rows(&workspace->scratch);
        free(workspace->scratch.values);
        free(workspace->row);
        pool_destroy(workspace->pool);
        free(workspace);
    }
}

bool workspace_rows(struct workspace *workspace, size_t rows) {
    struct workspace_scratch *scratch = &workspace->scratch;
    if (rows <= scratch->rows) {
        return true;
    }
    struct workspace_scratch larger = {.rows = 256, .slots = 512};
    while (larger.rows < rows) {
        larger.rows *= 2;
        larger.slots *= 2;
    }
    larger.keys = malloc(larger.rows * sizeof *larger.keys);
    larger.at = malloc(larger.rows * sizeof *larger.at);
    larger.which = malloc(larger.rows * sizeof *larger.which);
    larger.made = malloc(larger.rows * sizeof *larger.made);
    larger.table = malloc(larger.slots * sizeof *larger.table);
    larger.ids = malloc(larger.rows * sizeof *larger.ids);
    if (larger.keys == NULL || larger.at == NULL || larger.which == NULL || larger.made == NULL ||
        larger.table == NULL || larger.ids == NULL) {
        free_rows(&larger);
        return false;
    }
    free_rows(scratch);
    larger.values = scratch->values;
    larger.floats = scratch->floats;
    *scratch = larger;
    return true;
}

bool workspace_floats(struct workspace *workspace, size_t floats) {
    struct workspace_scratch *scratch = &workspace->scratch;
    if (floats > scratch->floats) {
        float *values = malloc(floats * sizeof *values);
        if (values == NULL) {
            return false;
        }
        free(scratch->values);
        scratch->values = values;
        scratch->floats = floats;
    }
    return true;
}

float *workspace_row(struct workspace *workspace, size_t dim) {
    if (dim > workspace->row_floats) {
        float *row = malloc(dim * sizeof *row);
        if (row == NULL) {
            return NULL;
        }
        free(workspace->row);
        workspace->row = row;
        workspace->row_floats = dim;
    }
    return workspace->row;
}

struct prepared *workspace_prepared(struct workspace *workspace, const struct optimizer *optimizer,
                                    const double *hyper) {
    size_t oldest = 0;
    workspace->uses++;
    for (size_t i = 0; i < WORKSPACE_PREPARED; i++) {
        struct prepared *prepared = workspace->prepared[i];
        if (prepared == NULL) {
            oldest = i;
            break;
        }
        if (prepared->optimizer == optimizer && memcmp(prepared->hyper, hyper, sizeof prepared->hyper) == 0) {
            prepared->used = workspace->uses;
            return prepared;
        }
        oldest = prepared->used < workspace->prepared[oldest]->used ? i : oldest;
    }
    struct prepared **place = &workspace->prepared[oldest];
    if (*place == NULL) {
        *place = aligned_alloc(MEMORY_ALIGNMENT, sizeof **place);
    }
    if (*place != NULL) {
        prepared_init(*place, optimizer, hyper);
        (*place)->used = workspace->uses;
    }
    return *place;
}

struct prepared *workspace_displace(struct workspace *workspace, const struct optimizer *optimizer,
                                    const double *hyper) {
    struct prepared *oldest = workspace->prepared[0];
    for (size_t i = 1; i < WORKSPACE_PREPARED && workspace->prepared[i] != NULL; i++) {
        oldest = workspace->prepared[i]->used < oldest->used ? workspace->prepared[i] : oldest;
    }
    if (oldest != NULL) {
        prepared_init(oldest, optimizer, hyper);
        oldest->used = ++workspace->uses;
    }
    return oldest;
}
