#include "client/simulator/load_verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/simulator/load_verify_rows.h"

uint64_t load_sums(const struct load_plan *plan, const uint64_t *begun, uint64_t sums[LOAD_CLASSES]) {
    uint64_t pushes = 0;
    uint8_t values[LOAD_CLASSES];
    memset(sums, 0, LOAD_CLASSES * sizeof *sums);
    for (uint32_t worker = 0; worker < plan->pace.workers; worker++) {
        for (uint64_t number = 0; number < begun[worker]; number++) {
            if (!load_kind_pushes(load_pace_kind(&plan->pace, worker, number))) {
                continue;
            }
            load_values(plan->seed, worker, number, values);
            for (unsigned c = 0; c < LOAD_CLASSES; c++) {
                sums[c] += values[c];
            }
            pushes++;
        }
    }
    return pushes;
}

static bool failure_touches(const struct load_failure *failure, uint32_t tensor, uint64_t block) {
    return (failure->tensor == LOAD_EVERY_TENSOR || failure->tensor == tensor) && block >= failure->first &&
           block - failure->first < failure->blocks;
}

bool load_block_sums(const struct load_plan *plan, const struct load_share *share, uint32_t tensor, uint64_t block,
                     uint64_t sums[LOAD_CLASSES], uint64_t *pushes) {
    for (uint32_t p = 0; p < share->processes; p++) {
        const struct load_process *process = &share->process[p];
        for (uint32_t i = 0; i < process->failure_count; i++) {
            const struct load_failure *failure = &process->failures[i];
            uint8_t values[LOAD_CLASSES];
            if (!failure_touches(failure, tensor, block)) {
                continue;
            }
            if (!failure->certain) {
                return false;
            }
            load_values(plan->seed, failure->worker, failure->number, values);
            for (unsigned c = 0; c < LOAD_CLASSES; c++) {
                sums[c] -= values[c];
            }
            (*pushes)--;
        }
    }
    return true;
}

/* What is being verified, and what all blocks have in common. */
struct verification {
    const struct load_plan *plan;
    const struct load_share *share;
    struct load_verdict *verdict;
    uint64_t block_elements;
    uint64_t sums[LOAD_CLASSES]; /* of all pushes */
    uint64_t pushes;
    float *weights; /* of one tensor */
    double *steps;  /* updates of each of its blocks */
};

static void verify_block(struct verification *verification, uint32_t tensor, uint64_t block) {
    struct load_verdict *verdict = verification->verdict;
    uint64_t elements = verification->plan->elements, first = block * verification->block_elements;
    uint64_t count = elements - first < verification->block_elements ? elements - first : verification->block_elements;
    uint64_t sums[LOAD_CLASSES], pushes = verification->pushes, place = 0;
    memcpy(sums, verification->sums, sizeof sums);
    verdict->blocks++;
    if (!load_block_sums(verification->plan, verification->share, tensor, block, sums, &pushes)) {
        verdict->undecided++;
        return;
    }
    const float *weights = verification->weights + first;
    uint64_t wrong = load_weights_differ(sums, tensor, first, count, weights, &place);
    double applied = verification->steps[block];
    if (wrong == 0 && applied == (double)pushes) {
        return;
    }
    if (verdict->wrong < LOAD_FAULTS_SHOWN) {
        unsigned class = load_element_class(tensor, first + place);
        verdict->faults[verdict->wrong] = (struct load_fault){.tensor = tensor,
                                                              .block = block,
                                                              .element = first + place,
                                                              .expected = 0.0 - (double)sums[class],
                                                              .found = (double)weights[place],
                                                              .wrong = wrong,
                                                              .updates = (double)pushes,
                                                              .applied = applied};
    }
    verdict->wrong++;
}

static enum canyon_status verify_tensor(struct verification *verification, struct load_link *link, uint32_t tensor,
                                        uint64_t blocks) {
    enum canyon_status status = canyon_pull(link->tensors[tensor], verification->weights, 0);
    if (status == CANYON_OK) {
        status = canyon_pull_numbers(link->tensors[tensor], "step", verification->steps, 0);
    }
    if (status != CANYON_OK) {
        snprintf(link->text, sizeof link->text, "cannot pull the tensor %" PRIu32 " to verify it: %.300s", tensor,
                 canyon_error_text());
        return status;
    }
    for (uint64_t block = 0; block < blocks; block++) {
        verify_block(verification, tensor, block);
    }
    return CANYON_OK;
}

static enum canyon_status verify_tensors(const struct load_plan *plan, const struct load_share *share,
                                         struct load_link *link, struct load_verdict *verdict) {
    uint64_t block_elements = link->job.block_elements, blocks = (plan->elements + block_elements - 1) / block_elements;
    struct verification verification = {
        .plan = plan, .share = share, .verdict = verdict, .block_elements = block_elements};
    enum canyon_status status = CANYON_OK;
    verification.weights = calloc(plan->elements, sizeof *verification.weights);
    verification.steps = calloc(blocks, sizeof *verification.steps);
    if (verification.weights == NULL || verification.steps == NULL) {
        snprintf(link->text, sizeof link->text, "no memory to verify tensors of %" PRIu64 " elements", plan->elements);
        status = CANYON_NO_MEMORY;
    }
    verification.pushes = load_sums(plan, share->begun, verification.sums);
    for (uint32_t t = 0; t < plan->tensors && status == CANYON_OK; t++) {
        status = verify_tensor(&verification, link, t, blocks);
    }
    free(verification.steps);
    free(verification.weights);
    return status;
}

enum canyon_status load_verify(const struct load_plan *plan, const struct load_share *share, struct load_link *link,
                               struct load_verdict *verdict) {
    enum canyon_status status = CANYON_OK;
    memset(verdict, 0, sizeof *verdict);
    for (uint32_t p = 0; p < share->processes && status == CANYON_OK; p++) {
        if (share->process[p].failures_lost) {
            snprintf(link->text, sizeof link->text,
                     "more than %d calls of a process failed: which of them were applied was not kept",
                     LOAD_FAILURES_HIGH);
            status = CANYON_OUTCOME_UNKNOWN;
        }
    }
    if (status == CANYON_OK) {
        status =
            plan->table ? load_verify_rows(plan, share, link, verdict) : verify_tensors(plan, share, link, verdict);
    }
    verdict->done = status == CANYON_OK;
    verdict->pushes = load_total(share, LOAD_ACCEPTED);
    verdict->torn = load_total(share, LOAD_TORN);
    return status;
}

bool load_verdict_good(const struct load_verdict *verdict) {
    return verdict->done && verdict->wrong == 0 && verdict->undecided == 0 && verdict->torn == 0;
}
