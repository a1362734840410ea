/* The public calls that move optimizer state. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/optimizers.h"
#include "client/transfer.h"

#define STEP "step"

_Static_assert(sizeof((struct canyon_slot *)0)->name == LIMIT_SETTING_BYTES, "same room");

/* ---- which there are ---- */

/* Slots, the step, scalars. */
#define SLOTS_HIGH (LIMIT_SLOTS + 1 + LIMIT_SCALARS)

struct slot_entry {
    const char *name;
    uint8_t number;
};

static size_t slot_entries(const struct message_optimizer *optimizer, struct slot_entry entries[SLOTS_HIGH]) {
    size_t count = 0;
    for (uint32_t i = 0; i < optimizer->slot_count; i++)
        entries[count++] = (struct slot_entry){optimizer->slots[i], (uint8_t)(SLOT_ARRAYS + i)};
    entries[count++] = (struct slot_entry){STEP, SLOT_STEP};
    for (uint32_t i = 0; i < optimizer->scalar_count; i++)
        entries[count++] = (struct slot_entry){optimizer->scalars[i], (uint8_t)(SLOT_SCALARS + i)};
    return count;
}

/* Which slot a name means. `number`: whether it has to be a number for each block. */
static enum canyon_status slot_find(struct canyon_tensor *tensor, const char *name, bool number, uint64_t deadline,
                                    uint8_t *slot, struct error *error) {
    struct message_optimizer optimizer;
    struct slot_entry entries[SLOTS_HIGH];
    char names[SLOTS_HIGH * (LIMIT_SETTING_BYTES + 2)] = "";
    const struct tensor_spec *spec = &tensor->info.spec;
    enum canyon_status status = optimizers_find(tensor->client, spec->optimizer.name, deadline, &optimizer, error);
    if (status != CANYON_OK)
        return status;
    size_t count = slot_entries(&optimizer, entries), used = 0, found = 0;
    while (found < count && strcmp(entries[found].name, name) != 0)
        found++;
    for (size_t i = 0; i < count && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i == 0 ? "" : ", ", entries[i].name);
    if (found == count)
        return error_set(error, CANYON_NOT_FOUND, "tensor \"%s\", trained by %s, has no slot \"%.31s\"; it has %s",
                         spec->name, optimizer.name, name, names);
    *slot = entries[found].number;
    if (slot_is_number(*slot) != number)
        return error_set(error, CANYON_INVALID_ARGUMENT, "tensor \"%s\": %s is %s", spec->name, name,
                         number ? "an array of the weights' shape, not a number for each block: take canyon_pull_slot "
                                  "and canyon_assign_slot"
                                : "a number for each block, not an array: take canyon_pull_numbers and "
                                  "canyon_assign_numbers");
    return CANYON_OK;
}

enum canyon_status canyon_tensor_slots(canyon_tensor *tensor, uint32_t timeout_ms, struct canyon_slot **slots,
                                       size_t *count) {
    struct error error = {.status = CANYON_OK};
    struct message_optimizer optimizer;
    struct slot_entry entries[SLOTS_HIGH];
    struct canyon_slot *list = NULL;
    if (tensor == NULL || slots == NULL || count == NULL)
        return last_error_format(CANYON_INVALID_ARGUMENT, "canyon_tensor_slots: the %s is NULL",
                                 tensor == NULL ? "tensor" : "place for the list");
    *slots = NULL;
    *count = 0;
    if (client_begin(tensor->client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    uint64_t deadline = client_deadline(tensor->client, timeout_ms);
    if (optimizers_find(tensor->client, tensor->info.spec.optimizer.name, deadline, &optimizer, &error) != CANYON_OK)
        goto out;
    size_t found = slot_entries(&optimizer, entries);
    list = calloc(found, sizeof *list);
    if (list == NULL) {
        error_set(&error, CANYON_NO_MEMORY, "no memory for a list of %zu slots", found);
        goto out;
    }
    for (size_t i = 0; i < found; i++) {
        memcpy(list[i].name, entries[i].name, strlen(entries[i].name));
        list[i].per_block = slot_is_number(entries[i].number) ? 1 : 0;
        list[i].count = list[i].per_block ? tensor->blocks : tensor->elements;
    }
    *slots = list;
    *count = found;
out:
    client_leave(tensor->client);
    return last_error_set(&error);
}

/* ---- arrays ---- */

static enum canyon_status move_slot(canyon_tensor *tensor, const char *slot, const float *out, float *in,
                                    uint32_t timeout_ms) {
    struct error error = {.status = CANYON_OK};
    if (tensor == NULL || slot == NULL || (out == NULL && in == NULL))
        return last_error_format(CANYON_INVALID_ARGUMENT, "the %s NULL",
                                 tensor == NULL ? "tensor is"
                                 : slot == NULL ? "slot's name is"
                                                : "values are");
    if (client_begin(tensor->client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    uint64_t deadline = client_deadline(tensor->client, timeout_ms);
    struct transfer_item item = {
        .tensor = tensor, .type = out != NULL ? FRAME_ASSIGN : FRAME_PULL, .out = out, .in = in};
    struct transfer_order order = {.items = &item, .count = 1, .deadline = deadline};
    if (slot_find(tensor, slot, false, deadline, &item.slot, &error) == CANYON_OK)
        transfer_run(tensor->client, &order, &error);
    client_leave(tensor->client);
    return last_error_set(&error);
}

enum canyon_status canyon_pull_slot(canyon_tensor *tensor, const char *slot, float *values, uint32_t timeout_ms) {
    return move_slot(tensor, slot, NULL, values, timeout_ms);
}

enum canyon_status canyon_assign_slot(canyon_tensor *tensor, const char *slot, const float *values,
                                      uint32_t timeout_ms) {
    return move_slot(tensor, slot, values, NULL, timeout_ms);
}

/* ---- numbers for each block ---- */

/* On the wire a step is a u64, the others are doubles. */
static enum canyon_status number_encode(uint8_t slot, const char *name, uint64_t block, double number, uint64_t *word,
                                        struct error *error) {
    if (slot != SLOT_STEP) {
        memcpy(word, &number, sizeof *word);
        return CANYON_OK;
    }
    if (!(number >= 0.0 && number <= (double)LIMIT_STEP) || number != (double)(uint64_t)number)
        return error_set(error, CANYON_INVALID_ARGUMENT,
                         "block %" PRIu64 ": %s %.17g is not a whole number from 0 to %llu", block, name, number,
                         LIMIT_STEP);
    *word = (uint64_t)number;
    return CANYON_OK;
}

static double number_decode(uint8_t slot, uint64_t word) {
    double number;
    memcpy(&number, &word, sizeof number);
    return slot == SLOT_STEP ? (double)word : number;
}

/* The blocks' numbers to move: `out`, or `same` for all of them, or, both being NULL, to `in`. */
struct numbers {
    const double *out, *same;
    double *in;
};

static enum canyon_status numbers_run(canyon_tensor *tensor, const char *name, const struct numbers *numbers,
                                      uint64_t deadline, struct error *error) {
    bool assigns = numbers->in == NULL;
    uint8_t slot = SLOT_STEP;
    enum canyon_status status = slot_find(tensor, name, true, deadline, &slot, error);
    if (status != CANYON_OK)
        return status;
    uint64_t *words = calloc((size_t)tensor->blocks + 1, sizeof *words);
    if (words == NULL)
        return error_set(error, CANYON_NO_MEMORY, "no memory for the numbers of %" PRIu64 " blocks", tensor->blocks);
    for (uint64_t block = 0; assigns && status == CANYON_OK && block < tensor->blocks; block++)
        status = number_encode(slot, name, block, numbers->same != NULL ? *numbers->same : numbers->out[block],
                               &words[block], error);
    if (status == CANYON_OK) {
        /* Bytes on their way: nothing reads them as floats. */
        float *values = (float *)(void *)words;
        struct transfer_item item = {.tensor = tensor,
                                     .type = assigns ? FRAME_ASSIGN : FRAME_PULL,
                                     .slot = slot,
                                     .out = assigns ? values : NULL,
                                     .in = assigns ? NULL : values};
        struct transfer_order order = {.items = &item, .count = 1, .deadline = deadline};
        status = transfer_run(tensor->client, &order, error);
    }
    for (uint64_t block = 0; !assigns && status == CANYON_OK && block < tensor->blocks; block++)
        numbers->in[block] = number_decode(slot, words[block]);
    free(words);
    return status;
}

static enum canyon_status move_numbers(canyon_tensor *tensor, const char *name, const struct numbers *numbers,
                                       uint32_t timeout_ms) {
    struct error error = {.status = CANYON_OK};
    bool none = numbers->out == NULL && numbers->same == NULL && numbers->in == NULL;
    if (tensor == NULL || name == NULL || none)
        return last_error_format(CANYON_INVALID_ARGUMENT, "the %s NULL",
                                 tensor == NULL ? "tensor is"
                                 : name == NULL ? "name is"
                                                : "numbers are");
    if (client_begin(tensor->client, true, &error) != CANYON_OK)
        return last_error_set(&error);
    numbers_run(tensor, name, numbers, client_deadline(tensor->client, timeout_ms), &error);
    client_leave(tensor->client);
    return last_error_set(&error);
}

enum canyon_status canyon_pull_numbers(canyon_tensor *tensor, const char *name, double *numbers, uint32_t timeout_ms) {
    return move_numbers(tensor, name, &(struct numbers){.in = numbers}, timeout_ms);
}

enum canyon_status canyon_assign_numbers(canyon_tensor *tensor, const char *name, const double *numbers,
                                         uint32_t timeout_ms) {
    return move_numbers(tensor, name, &(struct numbers){.out = numbers}, timeout_ms);
}

enum canyon_status canyon_assign_number(canyon_tensor *tensor, const char *name, double number, uint32_t timeout_ms) {
    return move_numbers(tensor, name, &(struct numbers){.same = &number}, timeout_ms);
}
