/* A worker and a server, and a connection between them that ends at any byte of a push or of its answer. The caller
 * does not notice, and each push counts once. */
#ifndef TESTS_FAULTS_CUTTING_H
#define TESTS_FAULTS_CUTTING_H

#include "tests/faults/routes.h"
#include "tests/faults/subject.h"

struct cutting {
    struct routes routes;
    canyon_client *client;
    struct subject subject;
    double sum;          /* of the pushes so far */
    bool pulls;          /* pushes receive weights, which are looked at */
    unsigned pushes;     /* by cutting_everywhere */
    uint64_t duplicates; /* of these: pieces and runs */
};

/* The first push is behind them. */
void cutting_start(struct cutting *cutting, enum subject_kind kind, uint32_t size, bool plaintext, bool pulls);
void cutting_stop(struct cutting *cutting);

/* One push, with the connection ending after `offset` bytes from now on; whether it did. */
bool cutting_push(struct cutting *cutting, enum proxy_way way, uint64_t offset, bool reset);

enum cutting_end { CUTTING_FIN, CUTTING_RST, CUTTING_TURNS };

/* Pushes and cuts at every `stride`th byte, from the first to the one behind the last; returns how many there are. */
uint64_t cutting_everywhere(struct cutting *cutting, enum proxy_way way, enum cutting_end end, uint64_t stride);

struct canyon_client_counters cutting_counters(const struct cutting *cutting);

/* All of it at every byte there and back, encrypted or in plaintext, ended in turns by FIN and RST. A push
 * has `least` pieces or runs, or more. */
void cutting_case(enum subject_kind kind, uint32_t size, bool plaintext, bool pulls, unsigned least);

#endif
