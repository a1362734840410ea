#include "client/cli/slot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/describe.h"
#include "client/tools/npy.h"
#include "client/tools/number.h"
#include "client/tools/record.h"

#define DOING_BYTES (CANYON_NAME_BYTES + 128)

static enum outcome list(const struct cli *cli, canyon_tensor *tensor, struct canyon_slot **slots, size_t *count) {
    return outcome_report("canyon", "list the tensor's slots",
                          canyon_tensor_slots(tensor, (uint32_t)cli->timeout_ms, slots, count));
}

enum outcome slot_find(const struct cli *cli, canyon_tensor *tensor, const char *slot, bool *per_block) {
    struct canyon_slot *slots = NULL;
    size_t count = 0, found = 0, used = 0;
    char names[512] = "";
    enum outcome outcome = list(cli, tensor, &slots, &count);
    if (outcome == OUTCOME_DONE) {
        while (found < count && strcmp(slots[found].name, slot) != 0) {
            found++;
        }
        for (size_t i = 0; i < count && used < sizeof names; i++) {
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i == 0 ? "" : ", ", slots[i].name);
        }
        if (found < count) {
            *per_block = slots[found].per_block != 0;
        } else {
            outcome = cli_fail("the tensor's optimizer keeps no '%s'; there is %s", slot, names);
        }
    }
    canyon_free(slots);
    return outcome;
}

/* ---- Numbers of blocks ---- */

static double *numbers_create(const struct canyon_tensor_info *info) {
    double *numbers =
        info->blocks < SIZE_MAX / sizeof *numbers ? malloc(((size_t)info->blocks + 1) * sizeof *numbers) : NULL;
    if (numbers == NULL) {
        cli_fail("no memory for the numbers of %" PRIu64 " blocks", info->blocks);
    }
    return numbers;
}

/* Owned; NULL, and it was said, when it failed. */
static double *numbers_pull(const struct cli *cli, canyon_tensor *tensor, const struct canyon_tensor_info *info,
                            const char *slot, enum outcome *outcome) {
    char doing[DOING_BYTES];
    double *numbers = numbers_create(info);
    *outcome = OUTCOME_FAILED;
    if (numbers != NULL) {
        snprintf(doing, sizeof doing, "pull %.31s of '%s'", slot, info->name);
        *outcome =
            outcome_report("canyon", doing, canyon_pull_numbers(tensor, slot, numbers, (uint32_t)cli->timeout_ms));
    }
    if (*outcome != OUTCOME_DONE) {
        free(numbers);
        numbers = NULL;
    }
    return numbers;
}

/* Steps in all their digits. */
static char *number_text(double number, char *text, size_t bytes) {
    if (number >= 0 && number <= 1e15 && number == (double)(uint64_t)number) {
        snprintf(text, bytes, "%.0f", number);
        return text;
    }
    return number_shortest(number, text, bytes);
}

/* "1000", or "998 to 1000" where blocks differ; "-" of none. */
static char *numbers_text(const double *numbers, uint64_t count, char *text, size_t bytes) {
    char low_text[NUMBER_BYTES], high_text[NUMBER_BYTES];
    double low = count > 0 ? numbers[0] : 0, high = low;
    for (uint64_t i = 1; i < count; i++) {
        low = numbers[i] < low ? numbers[i] : low;
        high = numbers[i] > high ? numbers[i] : high;
    }
    number_text(low, low_text, sizeof low_text);
    number_text(high, high_text, sizeof high_text);
    snprintf(text, bytes, "%s%s%s", count > 0 ? low_text : "-", low < high ? " to " : "", low < high ? high_text : "");
    return text;
}

static json_t *numbers_json(const double *numbers, uint64_t count) {
    json_t *array = json_array();
    for (uint64_t i = 0; i < count; i++) {
        if (json_array_append_new(array, record_number(numbers[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* Gives up `numbers`, which may be NULL for none. */
static enum outcome print_record(const struct canyon_tensor_info *info, const char *slot, json_t *numbers,
                                 const char *key, const char *file) {
    json_t *object = describe_json(info);
    bool good = object != NULL && json_object_set_new(object, "slot", json_string(slot)) == 0;
    if (numbers != NULL && json_object_set_new(object, "values", numbers) != 0) {
        good = false;
    }
    if (good && file != NULL) {
        good = json_object_set_new(object, key, json_string(file)) == 0;
    }
    if (!good) {
        json_decref(object);
        object = NULL;
    }
    return cli_print(object);
}

enum outcome slot_pull_numbers(const struct cli *cli, canyon_tensor *tensor, const struct canyon_tensor_info *info,
                               const char *slot, const char *output) {
    char text[NPY_TEXT_BYTES], range[2 * NUMBER_BYTES + 8], blocks[NUMBER_BYTES];
    const uint64_t dims[] = {info->blocks};
    enum outcome outcome;
    double *numbers = numbers_pull(cli, tensor, info, slot, &outcome);
    if (numbers == NULL) {
        return outcome;
    }
    if (output != NULL && npy_write_doubles(output, 1, dims, numbers, text, sizeof text) != CANYON_OK) {
        outcome = cli_fail("%s", text);
    } else if (cli->json) {
        outcome = print_record(info, slot, numbers_json(numbers, info->blocks), "output", output);
    } else {
        printf("%s%s%s of tensor '%s': %s (%s block%s)\n", output == NULL ? "" : "wrote ", output == NULL ? "" : output,
               output == NULL ? slot : "", info->name, numbers_text(numbers, info->blocks, range, sizeof range),
               number_grouped(info->blocks, blocks, sizeof blocks), info->blocks == 1 ? "" : "s");
    }
    free(numbers);
    return outcome;
}

static enum outcome assign_from_file(const struct cli *cli, canyon_tensor *tensor,
                                     const struct canyon_tensor_info *info, const char *slot, const char *input,
                                     const char *doing) {
    char text[NPY_TEXT_BYTES], shape[NPY_RANK * 24];
    struct npy npy;
    enum outcome outcome;
    if (npy_read_doubles(input, &npy, text, sizeof text) != CANYON_OK) {
        return cli_fail("%s", text);
    }
    if (npy.rank != 1 || npy.elements != info->blocks) {
        outcome =
            cli_fail("%s has shape %s, but tensor '%s' has one %s for each of %" PRIu64 " blocks; nothing was assigned",
                     input, npy_shape_text(npy.rank, npy.dims, shape, sizeof shape), info->name, slot, info->blocks);
    } else {
        outcome = outcome_report("canyon", doing,
                                 canyon_assign_numbers(tensor, slot, npy.doubles, (uint32_t)cli->timeout_ms));
    }
    npy_finish(&npy);
    return outcome;
}

enum outcome slot_assign_numbers(const struct cli *cli, canyon_tensor *tensor, const struct canyon_tensor_info *info,
                                 const char *slot, const char *input, double value) {
    char doing[DOING_BYTES], number[NUMBER_BYTES], blocks[NUMBER_BYTES];
    snprintf(doing, sizeof doing, "assign %.31s of '%s'", slot, info->name);
    enum outcome outcome =
        input != NULL
            ? assign_from_file(cli, tensor, info, slot, input, doing)
            : outcome_report("canyon", doing, canyon_assign_number(tensor, slot, value, (uint32_t)cli->timeout_ms));
    if (outcome != OUTCOME_DONE) {
        return outcome;
    }
    if (cli->json) {
        return print_record(info, slot, input == NULL ? record_number(value) : NULL, "input", input);
    }
    printf("assigned %s to %s of tensor '%s' (%s block%s)\n",
           input != NULL ? input : number_text(value, number, sizeof number), slot, info->name,
           number_grouped(info->blocks, blocks, sizeof blocks), info->blocks == 1 ? "" : "s");
    return OUTCOME_DONE;
}

/* ---- canyon show ---- */

/* One line or member for each number of the blocks. */
static enum outcome show_numbers(const struct cli *cli, canyon_tensor *tensor, const struct canyon_tensor_info *info,
                                 const char *slot, json_t *object) {
    char range[2 * NUMBER_BYTES + 8];
    enum outcome outcome;
    double *numbers = numbers_pull(cli, tensor, info, slot, &outcome);
    if (numbers == NULL) {
        return outcome;
    }
    if (object == NULL) {
        printf("  %-14s%s (of each block)\n", slot, numbers_text(numbers, info->blocks, range, sizeof range));
    } else if (json_object_set_new(object, slot, numbers_json(numbers, info->blocks)) != 0) {
        outcome = cli_fail("no memory for the tensor's description");
    }
    free(numbers);
    return outcome;
}

enum outcome slot_show(const struct cli *cli, canyon_tensor *tensor, const struct canyon_tensor_info *info,
                       json_t *object) {
    struct canyon_slot *slots = NULL;
    size_t count = 0, arrays = 0;
    json_t *names = object != NULL ? json_array() : NULL, *numbers = object != NULL ? json_object() : NULL;
    enum outcome outcome = list(cli, tensor, &slots, &count);
    if (object == NULL && outcome == OUTCOME_DONE) {
        printf("%-16s", "slots");
    }
    for (size_t i = 0; i < count && !slots[i].per_block; i++, arrays++) {
        if (object == NULL) {
            printf("%s%s", i == 0 ? "" : ", ", slots[i].name);
        } else if (json_array_append_new(names, json_string(slots[i].name)) != 0) {
            outcome = cli_fail("no memory for the tensor's description");
        }
    }
    if (object == NULL && outcome == OUTCOME_DONE) {
        puts(arrays == 0 ? "none" : "");
    }
    for (size_t i = arrays; i < count && outcome == OUTCOME_DONE; i++) {
        outcome = show_numbers(cli, tensor, info, slots[i].name, numbers);
    }
    if (object != NULL) { /* which takes both over */
        int failed = json_object_set_new(object, "slots", names);
        failed |= json_object_set_new(object, "numbers", numbers);
        if (failed != 0 && outcome == OUTCOME_DONE) {
            outcome = cli_fail("no memory for the tensor's description");
        }
    }
    canyon_free(slots);
    return outcome;
}
