#include "tests/faults/cutting.h"

#include <stdio.h>

struct canyon_client_counters cutting_counters(const struct cutting *cutting) {
    struct canyon_client_counters counters;
    check_ok(canyon_client_counters(cutting->client, &counters));
    return counters;
}

static void push_whole(struct cutting *cutting) {
    check_ok(subject_push(&cutting->subject, 1, cutting->pulls, PATIENCE_MS));
    cutting->sum++;
}

void cutting_start(struct cutting *cutting, enum subject_kind kind, uint32_t size, bool plaintext, bool pulls) {
    *cutting = (struct cutting){.pulls = pulls};
    routes_start(&cutting->routes, &(struct cluster_options){.plaintext = plaintext}, NULL);
    cutting->client = client_connect(cluster_servers(cutting->routes.cluster));
    subject_open(&cutting->subject, cutting->client, kind, size);
    push_whole(cutting); /* of weights of version 0 it is shorter than the others */
    subject_pull(&cutting->subject);
    subject_expect(&cutting->subject, cutting->sum, "before");
}

void cutting_stop(struct cutting *cutting) {
    subject_close(&cutting->subject);
    canyon_close(cutting->client);
    routes_stop(&cutting->routes);
}

bool cutting_push(struct cutting *cutting, enum proxy_way way, uint64_t offset, bool reset) {
    char faults[64];
    const uint64_t reconnects = cutting_counters(cutting).reconnects;
    snprintf(faults, sizeof faults, "cut=%llu,end=%s", (unsigned long long)offset, reset ? "rst" : "fin");
    routes_fault(&cutting->routes, PROXY_LIVE, way, faults);
    enum canyon_status status = subject_push(&cutting->subject, 1, cutting->pulls, PATIENCE_MS);
    if (status != CANYON_OK)
        check_fail("cut at %llu: %s, %s", (unsigned long long)offset, canyon_status_name(status), canyon_error_text());
    cutting->sum++;
    routes_fault(&cutting->routes, PROXY_LIVE, way, "");
    const bool cut = cutting_counters(cutting).reconnects > reconnects;
    snprintf(faults, sizeof faults, "cut at %llu of what goes %s", (unsigned long long)offset,
             way == PROXY_UP ? "up" : "down");
    if (cutting->pulls) /* also those that a push received which had counted before */
        subject_expect(&cutting->subject, cutting->sum, faults);
    subject_pull(&cutting->subject);
    subject_expect(&cutting->subject, cutting->sum, faults);
    return cut;
}

uint64_t cutting_everywhere(struct cutting *cutting, enum proxy_way way, enum cutting_end end, uint64_t stride) {
    uint64_t offset = 1;
    const uint64_t duplicates = cutting_counters(cutting).duplicates;
    cutting->pushes = 1;
    while (cutting_push(cutting, way, offset, end == CUTTING_TURNS ? cutting->pushes % 2 == 0 : end == CUTTING_RST)) {
        cutting->pushes++;
        offset += stride;
    }
    cutting->duplicates = cutting_counters(cutting).duplicates - duplicates;
    return offset - 1;
}

void cutting_case(enum subject_kind kind, uint32_t size, bool plaintext, bool pulls, unsigned least) {
    static struct cutting cutting;
    cutting_start(&cutting, kind, size, plaintext, pulls);
    check(cutting_push(&cutting, PROXY_DOWN, 1, false)); /* it has arrived as a whole */
    const uint64_t parts = cutting_counters(&cutting).duplicates;
    check(parts >= least);
    const char *name = subject_name(kind), *form = plaintext ? "plaintext" : "encrypted";
    uint64_t bytes = cutting_everywhere(&cutting, PROXY_UP, CUTTING_TURNS, 1);
    print_message("%s, %s: a push is %llu bytes; of %u cut ones %llu parts had arrived\n", name, form,
                  (unsigned long long)bytes, cutting.pushes - 1, (unsigned long long)cutting.duplicates);
    check(bytes >= (uint64_t)cutting.subject.units * cutting.subject.unit * sizeof(float) && bytes < 4096);
    /* Without its last byte none has arrived. */
    check(cutting.duplicates <= parts && cutting.pushes >= bytes);
    bytes = cutting_everywhere(&cutting, PROXY_DOWN, CUTTING_TURNS, 1);
    print_message("%s, %s: its answer is %llu bytes; of %u cut ones %llu parts had arrived\n", name, form,
                  (unsigned long long)bytes, cutting.pushes - 1, (unsigned long long)cutting.duplicates);
    check(cutting.duplicates >= parts * (bytes - 1) && cutting.duplicates <= parts * cutting.pushes);
    cutting_stop(&cutting);
}
