#include "client/simulator/load_share.h"

#include <assert.h>
#include <sys/mman.h>

#include "client/simulator/news.h"

struct load_share *load_share_create(const struct load_plan *plan) {
    size_t bytes = sizeof(struct load_share) + plan->processes * sizeof(struct load_process);
    size_t begun = bytes;
    bytes += plan->pace.workers * sizeof(uint64_t);
    struct load_share *share = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (share == MAP_FAILED) {
        return NULL;
    }
    share->bytes = bytes;
    share->processes = plan->processes;
    share->workers = plan->pace.workers;
    share->pushes_high = load_plan_pushes_high(plan);
    share->begun =
        (uint64_t *)(void *)((unsigned char *)share + begun); /* where it is in every process: they are forked */
    return share;
}

void load_share_destroy(struct load_share *share) {
    if (share != NULL) {
        munmap(share, share->bytes);
    }
}

void load_share_end_by(struct load_share *share, uint64_t time) {
    uint64_t end = atomic_load(&share->end);
    while (time < end && !atomic_compare_exchange_weak(&share->end, &end, time)) {
    }
}

bool load_share_take_push(struct load_share *share) {
    if (atomic_fetch_add(&share->pushes, 1) < share->pushes_high) {
        return true;
    }
    atomic_store(&share->exhausted, 1);
    load_share_end_by(share, news_clock());
    return false;
}

void load_count(struct load_process *process, enum load_counter counter, uint64_t more) {
    /* One writer: a load and a store are enough. */
    uint64_t have = atomic_load_explicit(&process->counters[counter], memory_order_relaxed);
    atomic_store_explicit(&process->counters[counter], have + more, memory_order_relaxed);
}

void load_count_moved(struct load_process *process, bool pushes, bool pulls, uint64_t blocks, uint64_t bytes) {
    if (pushes) {
        load_count(process, LOAD_PUSHES, 1);
        load_count(process, LOAD_BLOCKS_PUSHED, blocks);
        load_count(process, LOAD_BYTES_PUSHED, bytes);
    }
    if (pulls) {
        load_count(process, LOAD_BLOCKS_PULLED, blocks);
        load_count(process, LOAD_BYTES_PULLED, bytes);
    }
}

uint64_t load_counted(const struct load_process *process, enum load_counter counter) {
    return atomic_load_explicit(&process->counters[counter], memory_order_relaxed);
}

uint64_t load_total(const struct load_share *share, enum load_counter counter) {
    uint64_t sum = 0;
    for (uint32_t p = 0; p < share->processes; p++) {
        sum += load_counted(&share->process[p], counter);
    }
    return sum;
}

void load_latencies(const struct load_share *share, unsigned kind, struct histogram *into) {
    for (uint32_t p = 0; p < share->processes; p++) {
        for (unsigned k = 0; k < LOAD_KINDS; k++) {
            if (kind == LOAD_KINDS || kind == k) {
                histogram_merge(into, &share->process[p].latencies[k]);
            }
        }
    }
}
