#include "tests/faults/subject.h"

#include <stdio.h>

#include "tests/integration/harness.h"

const char *subject_name(enum subject_kind kind) {
    static const char *const names[SUBJECT_KINDS] = {"a tensor", "a step of several tensors", "rows of a table"};
    return names[kind];
}

static canyon_table *open_table(canyon_client *client) {
    struct canyon_table_spec spec;
    canyon_table *table = NULL;
    canyon_table_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "rows");
    spec.dim = SUBJECT_DIM;
    check_ok(canyon_table_spec_optimizer(&spec, "sgd:lr=1"));
    check_ok(canyon_table_create(client, &spec, PATIENCE_MS, &table));
    return table;
}

void subject_open(struct subject *subject, canyon_client *client, enum subject_kind kind, uint32_t size) {
    *subject = (struct subject){.kind = kind, .client = client};
    subject->units = kind == SUBJECT_ROWS ? size : kind == SUBJECT_STEP ? SUBJECT_TENSORS : 1;
    subject->unit = kind == SUBJECT_ROWS ? SUBJECT_DIM : size;
    check(subject->units * subject->unit <= SUBJECT_MOST);
    if (kind == SUBJECT_ROWS) {
        subject->table = open_table(client);
        for (uint32_t i = 0; i < size; i++)
            subject->ids[i] = (uint64_t)i * 1000003u;
        return;
    }
    for (uint32_t i = 0; i < subject->units; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s%u", kind == SUBJECT_STEP ? "step" : "vector", i);
        subject->tensors[i] = client_vector(client, name, size, "sgd:lr=1");
    }
}

void subject_close(struct subject *subject) {
    for (uint32_t i = 0; i < SUBJECT_TENSORS; i++)
        canyon_tensor_close(subject->tensors[i]);
    canyon_table_close(subject->table);
}

static enum canyon_status transfer(struct subject *subject, bool pushes, bool pulls, uint32_t timeout_ms) {
    struct canyon_item items[SUBJECT_TENSORS];
    if (subject->kind == SUBJECT_ROWS) {
        struct canyon_batch batch;
        canyon_batch_init(&batch);
        batch.ids = subject->ids;
        batch.count = subject->units;
        batch.gradients = pushes ? subject->gradient : NULL;
        batch.weights = pulls ? subject->weights : NULL;
        return canyon_table_step(subject->table, &batch, timeout_ms);
    }
    for (uint32_t i = 0; i < subject->units; i++)
        items[i] = (struct canyon_item){.tensor = subject->tensors[i],
                                        .gradient = pushes ? subject->gradient + i * subject->unit : NULL,
                                        .weights = pulls ? subject->weights + i * subject->unit : NULL};
    return canyon_step(subject->client, items, subject->units, timeout_ms);
}

enum canyon_status subject_push(struct subject *subject, float value, bool pulls, uint32_t timeout_ms) {
    for (uint32_t i = 0; i < subject->units * subject->unit; i++)
        subject->gradient[i] = value;
    return transfer(subject, true, pulls, timeout_ms);
}

enum canyon_status subject_try_pull(struct subject *subject, uint32_t timeout_ms) {
    return transfer(subject, false, true, timeout_ms);
}

void subject_pull(struct subject *subject) {
    check_ok(subject_try_pull(subject, PATIENCE_MS));
}

void subject_expect(const struct subject *subject, double sum, const char *what) {
    for (uint32_t i = 0; i < subject->units * subject->unit; i++)
        if ((double)subject->weights[i] != -sum)
            check_fail("%s, %s: element %u of unit %u says %g, not %g", subject_name(subject->kind), what,
                       i % subject->unit, i / subject->unit, -(double)subject->weights[i], sum);
}
