#include "tests/bench/suite/parts.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned threads;
    bool encrypted;
} parts_table[PARTS] = {
    [PART_DENSE_1] = {"dense_1", 1, false},
    [PART_DENSE_2] = {"dense_2", 2, false},
    [PART_SECURE_1] = {"dense_secure_1", 1, true},
    [PART_SECURE_2] = {"dense_secure_2", 2, true},
    [PART_LATENCY] = {"latency", 1, false},
    [PART_MEMORY] = {"memory", 1, false},
    [PART_SPARSE_1] = {"sparse_1", 1, false},
    [PART_SPARSE_2] = {"sparse_2", 2, false},
    [PART_SPARSE_GROWTH] = {"sparse_growth", 1, false},
    [PART_IPERF] = {"iperf3", 1, false},
    [PART_PEERS] = {"peers", 1, false},
    [PART_REDIS] = {"redis", 1, false},
};

const char *parts_name(enum part part) {
    return parts_table[part].name;
}

unsigned parts_threads(enum part part) {
    return parts_table[part].threads;
}

bool parts_encrypted(enum part part) {
    return parts_table[part].encrypted;
}

bool parts_choose(const char *list, bool parts[PARTS], char *wrong, size_t bytes) {
    size_t found = 0;
    for (const char *at = list; *at != '\0'; at += *at == ',') {
        const size_t length = strcspn(at, ",");
        enum part part = 0;
        while (part < PARTS &&
               (strlen(parts_table[part].name) != length || strncmp(parts_table[part].name, at, length) != 0))
            part++;
        if (part == PARTS) {
            snprintf(wrong, bytes, "%.*s", (int)length, at);
            return false;
        }
        parts[part] = true;
        found++;
        at += length;
    }
    if (found == 0)
        snprintf(wrong, bytes, "%s", "");
    return found > 0;
}
