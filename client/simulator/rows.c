#include "client/simulator/rows.h"

void rows_pull(struct rows *rows, const uint64_t *ids, size_t count, float *weights, struct rows_call *call) {
    *call = (struct rows_call){.status = CANYON_OK};
    if (count > 0) {
        rows->kind->pull(rows, ids, count, weights, call);
    }
}

void rows_push(struct rows *rows, const uint64_t *ids, size_t count, const float *gradient, struct rows_call *call) {
    *call = (struct rows_call){.status = CANYON_OK};
    if (count > 0) {
        rows->kind->push(rows, ids, count, gradient, call);
    }
}

enum canyon_status rows_wait(struct rows *rows, struct rows_call *call, char *text, size_t bytes) {
    enum canyon_status status = CANYON_OK;
    if (call->future != NULL || call->status != CANYON_OK) {
        status = rows->kind->wait(rows, call, text, bytes);
    }
    *call = (struct rows_call){.status = CANYON_OK};
    return status;
}

enum canyon_status rows_read(struct rows *rows, const uint64_t *ids, size_t count, float *weights, char *text,
                             size_t bytes) {
    struct rows_call call;
    rows_pull(rows, ids, count, weights, &call);
    return rows_wait(rows, &call, text, bytes);
}

enum canyon_status rows_count(struct rows *rows, uint64_t *count, char *text, size_t bytes) {
    return rows->kind->count(rows, count, text, bytes);
}

void rows_close(struct rows *rows) {
    if (rows != NULL) {
        rows->kind->close(rows);
    }
}
