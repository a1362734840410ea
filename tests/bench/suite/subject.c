#include "tests/bench/suite/subject.h"

#include <inttypes.h>
#include <stdio.h>

/* The host's own is called "system" by Canyon and "" by the limit programs. */
static const char *congestion(const struct plan *plan) {
    return plan->congestion[0] != '\0' ? plan->congestion : "system";
}

int subject_first(const struct plan *plan, unsigned threads) {
    return plan->pinned && 2 * threads <= runner_processors() ? runner_first_processor() : -1;
}

struct served *subject_server(const struct plan *plan, enum served_channel channel, unsigned threads, unsigned shards,
                              unsigned spin_us) {
    char spin_text[16], shard_text[16];
    char pin_text[32];
    const int first = subject_first(plan, threads);
    const char *words[10] = {"--congestion", congestion(plan), "--spin", spin_text};
    size_t count = 4;
    if (first >= 0)
        words[count++] = "--pin", words[count++] = pin_text;
    if (shards > 0)
        words[count++] = "--shards", words[count++] = shard_text;
    snprintf(shard_text, sizeof shard_text, "%u", shards);
    snprintf(spin_text, sizeof spin_text, "%u", spin_us);
    snprintf(pin_text, sizeof pin_text, "%d-%d", first, first + (int)threads - 1);
    return served_start_with(channel, threads, (unsigned)plan->block, words);
}

struct runner *subject_worker(const struct plan *plan, const struct served *server, enum served_channel channel,
                              uint64_t bytes, uint64_t batch, unsigned spin_us) {
    char spin_text[16], byte_text[24], batch_text[24], key[SERVED_PATH_BYTES], known[SERVED_PATH_BYTES];
    const char *words[20] = {
        "--server", served_address(server), "--bytes",       byte_text, "--batch", batch_text, "--spin",
        spin_text,  "--congestion",         congestion(plan)};
    size_t count = 10;
    snprintf(spin_text, sizeof spin_text, "%u", spin_us);
    snprintf(byte_text, sizeof byte_text, "%" PRIu64, bytes);
    snprintf(batch_text, sizeof batch_text, "%" PRIu64, batch);
    if (channel != SERVED_PLAINTEXT) {
        words[count++] = "--key", words[count++] = served_file(server, "key", key);
        words[count++] = "--known", words[count++] = served_file(server, "known_servers", known);
    }
    words[count] = NULL;
    return runner_start("canyon-bench-worker", words);
}

struct subject subject_open(const struct plan *plan, enum served_channel channel, unsigned threads, uint64_t bytes,
                            uint64_t batch, unsigned spin_us) {
    struct subject subject = {.server = subject_server(plan, channel, threads, 0, spin_us)};
    const int first = batch == 0 ? subject_first(plan, threads) : -1;
    if (first >= 0)
        runner_place(first + (int)threads, threads);
    subject.worker = subject_worker(plan, subject.server, channel, bytes, batch, spin_us);
    if (first >= 0)
        runner_place(0, 0);
    return subject;
}

void subject_close(struct subject *subject) {
    runner_stop(subject->worker);
    served_stop(subject->server);
}
