/* Optimizer state through the public API: saved and continued to the bit, moved in from elsewhere, refused when it
 * cannot be. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/harness.h"

#define ELEMENTS 2500 /* three blocks of 1,024 */
#define BLOCKS   3
#define STEPS    12
#define PARTS    (CANYON_MAX_SLOTS + 1 + CANYON_MAX_SCALARS)

/* Any fixed numbers of different sizes and signs. */
static float number(uint64_t seed, uint64_t i) {
    uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15u + i * 0xbf58476d1ce4e5b9u;
    x ^= x >> 31;
    x *= 0x94d049bb133111ebu;
    x ^= x >> 29;
    return (float)((double)(x % 2000001) / 1000000.0 - 1.0);
}

static void push(canyon_tensor *tensor, uint64_t step) {
    static float gradient[ELEMENTS];
    for (size_t i = 0; i < ELEMENTS; i++)
        gradient[i] = number(step, i) * (i % 7 == 0 ? 1e-4f : 1.0f);
    check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
}

/* The middle block misses an update, so that the blocks' steps differ. */
static void push_to_some(canyon_tensor *tensor) {
    static float gradient[ELEMENTS];
    for (size_t i = 0; i < ELEMENTS; i++)
        gradient[i] = number(1000, i);
    gradient[1500] = NAN;
    check_status(canyon_push(tensor, gradient, PATIENCE_MS), CANYON_NOT_FINITE);
}

/* All that a tensor is. */
struct saved {
    struct canyon_slot *slots;
    size_t count;
    float weights[ELEMENTS], arrays[PARTS][ELEMENTS];
    double numbers[PARTS][BLOCKS];
};

static void save(canyon_tensor *tensor, struct saved *saved) {
    memset(saved, 0, sizeof *saved);
    check_ok(canyon_pull(tensor, saved->weights, PATIENCE_MS));
    check_ok(canyon_tensor_slots(tensor, PATIENCE_MS, &saved->slots, &saved->count));
    check(saved->count <= PARTS);
    for (size_t i = 0; i < saved->count; i++) {
        const struct canyon_slot *slot = &saved->slots[i];
        check(slot->count == (slot->per_block ? BLOCKS : ELEMENTS));
        if (slot->per_block)
            check_ok(canyon_pull_numbers(tensor, slot->name, saved->numbers[i], PATIENCE_MS));
        else
            check_ok(canyon_pull_slot(tensor, slot->name, saved->arrays[i], PATIENCE_MS));
    }
}

static void restore(canyon_tensor *tensor, const struct saved *saved) {
    check_ok(canyon_assign(tensor, saved->weights, PATIENCE_MS));
    for (size_t i = 0; i < saved->count; i++) {
        const struct canyon_slot *slot = &saved->slots[i];
        if (slot->per_block)
            check_ok(canyon_assign_numbers(tensor, slot->name, saved->numbers[i], PATIENCE_MS));
        else
            check_ok(canyon_assign_slot(tensor, slot->name, saved->arrays[i], PATIENCE_MS));
    }
}

static bool same(const struct saved *one, const struct saved *other) {
    return one->count == other->count && memcmp(one->weights, other->weights, sizeof one->weights) == 0 &&
           memcmp(one->arrays, other->arrays, sizeof one->arrays) == 0 &&
           memcmp(one->numbers, other->numbers, sizeof one->numbers) == 0;
}

static canyon_tensor *create(canyon_client *client, const char *name, const char *optimizer, bool random) {
    struct canyon_tensor_spec spec;
    canyon_tensor *tensor = NULL;
    canyon_tensor_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.rank = 1;
    spec.dims[0] = ELEMENTS;
    spec.initializer = random ? CANYON_NORMAL : CANYON_ZEROS;
    spec.seed = 5;
    spec.b = 1;
    check_ok(canyon_tensor_spec_optimizer(&spec, optimizer));
    check_ok(canyon_tensor_create(client, &spec, PATIENCE_MS, &tensor));
    return tensor;
}

/* Trains on one cluster, moves to another in the middle, and compares with the run that stayed. */
static void continue_elsewhere(canyon_client *here, canyon_client *there, const char *name, const char *optimizer) {
    static struct saved middle, stayed, moved, untouched;
    canyon_tensor *first = create(here, name, optimizer, true), *second = create(there, name, optimizer, false);
    for (uint64_t step = 0; step < STEPS; step++) {
        push(first, step);
        if (step == 3)
            push_to_some(first);
    }
    save(first, &middle);
    restore(second, &middle);
    save(second, &moved);
    if (!same(&middle, &moved))
        check_fail("%s: what was assigned is not what was pulled", optimizer);
    canyon_free(moved.slots);
    for (uint64_t step = STEPS; step < 2 * STEPS; step++) {
        push(first, step);
        push(second, step);
    }
    save(first, &stayed);
    save(second, &moved);
    if (!same(&stayed, &moved))
        check_fail("%s: the run that moved is not the one that stayed", optimizer);
    if (same(&stayed, &middle))
        check_fail("%s: nothing was trained", optimizer);
    /* Without the state it would have been another one: the test sees the difference. */
    canyon_tensor *bare = create(there, "bare", optimizer, false);
    check_ok(canyon_assign(bare, middle.weights, PATIENCE_MS));
    for (uint64_t step = STEPS; step < 2 * STEPS; step++)
        push(bare, step);
    save(bare, &untouched);
    check(!same(&stayed, &untouched));
    for (size_t i = 0; i < stayed.count; i++) /* the middle block missed one */
        if (strcmp(stayed.slots[i].name, "step") == 0)
            check(stayed.numbers[i][0] == 2 * STEPS + 1 && stayed.numbers[i][1] == 2 * STEPS);
    canyon_free(middle.slots);
    canyon_free(stayed.slots);
    canyon_free(moved.slots);
    canyon_free(untouched.slots);
    canyon_tensor_close(bare);
    check_ok(canyon_tensor_drop(there, "bare", PATIENCE_MS));
    canyon_tensor_close(first);
    canyon_tensor_close(second);
}

static bool has_setting(const struct canyon_optimizer_info *info, const char *name) {
    for (uint32_t i = 0; i < info->hyperparameter_count; i++)
        if (strcmp(info->hyperparameters[i].name, name) == 0)
            return true;
    return false;
}

static void every_optimizer_continues_to_the_bit(void **state) {
    (void)state;
    struct cluster *one = cluster_start(&(struct cluster_options){.servers = 1, .threads = 2});
    struct cluster *other = cluster_start(&(struct cluster_options){.servers = 3, .threads = 2, .shards = 64});
    canyon_client *here = client_connect(cluster_servers(one)), *there = client_connect(cluster_servers(other));
    struct canyon_optimizer_info *infos = NULL;
    size_t count = 0, tried = 0;
    check_ok(canyon_optimizers(here, PATIENCE_MS, &infos, &count));
    for (size_t i = 0; i < count; i++) {
        char text[256], name[32];
        if (infos[i].rows_only)
            continue;
        snprintf(name, sizeof name, "w/%s", infos[i].name);
        snprintf(text, sizeof text, "%s:lr=0.02,schedule=cosine,T_max=40,warmup=5,clip_value=0.75,loss_scale=2%s",
                 infos[i].name, has_setting(&infos[i], "weight_decay") ? ",weight_decay=0.01" : "");
        continue_elsewhere(here, there, name, text);
        snprintf(name, sizeof name, "plain/%s", infos[i].name);
        continue_elsewhere(here, there, name, infos[i].name);
        tried++;
    }
    check(tried >= 17);
    continue_elsewhere(here, there, "rmsprop", "rmsprop:centered=1,momentum=0.9,schedule=exponential,gamma=0.99");
    continue_elsewhere(here, there, "momentum", "momentum:dampening=0.3,schedule=step,step_size=7");
    continue_elsewhere(here, there, "adagrad", "adagrad:lr_decay=0.01");
    canyon_free(infos);
    canyon_close(here);
    canyon_close(there);
    cluster_stop(one);
    cluster_stop(other);
}

/* ---- From elsewhere -------------------------------------------------------------------------------------------- */

#define FEW   5
#define START 1000 /* steps that were taken elsewhere */

/* An element of Adam's state, as torch.optim.Adam with its defaults has it, in float64. */
struct adam {
    double w, m, v;
};

static void adam_step(struct adam *adam, double g, unsigned step) {
    adam->m = 0.9 * adam->m + 0.1 * g;
    adam->v = 0.999 * adam->v + 0.001 * g * g;
    double divisor = sqrt(adam->v / (1 - pow(0.999, step))) + 1e-8;
    adam->w -= 0.001 / (1 - pow(0.9, step)) * adam->m / divisor;
}

/* torch.optim.NAdam of PyTorch 1.13 with its defaults. */
static double nadam_mu(unsigned step) {
    return 0.9 * (1 - 0.5 * pow(0.96, step * 0.004));
}

static void nadam_step(struct adam *adam, double *product, double g, unsigned step) {
    double mu = nadam_mu(step), next = nadam_mu(step + 1);
    *product *= mu;
    adam->m = 0.9 * adam->m + 0.1 * g;
    adam->v = 0.999 * adam->v + 0.001 * g * g;
    double divisor = sqrt(adam->v / (1 - pow(0.999, step))) + 1e-8;
    adam->w -= 0.002 * (1 - mu) / (1 - *product) * g / divisor;
    adam->w -= 0.002 * next / (1 - *product * mu * next) * adam->m / divisor;
}

static void take_over(canyon_client *client, const char *optimizer, unsigned start) {
    static const double w[FEW] = {0.5, -1.25, 3, 0, -0.001}, m[FEW] = {0.01, -0.2, 0, 1, -1e-4},
                        v[FEW] = {0.001, 0.09, 0, 2, 1e-6};
    bool nesterov = strcmp(optimizer, "nadam") == 0;
    float weights[FEW], moments[FEW], squares[FEW], gradient[FEW];
    struct adam reference[FEW];
    double product = 1;
    for (size_t i = 0; i < FEW; i++) {
        weights[i] = (float)w[i];
        moments[i] = (float)m[i];
        squares[i] = (float)v[i];
        reference[i] = (struct adam){(double)weights[i], (double)moments[i], (double)squares[i]};
    }
    for (unsigned step = 1; step <= start; step++)
        product *= nadam_mu(step);
    canyon_tensor *tensor = client_vector(client, optimizer, FEW, optimizer);
    check_ok(canyon_assign(tensor, weights, PATIENCE_MS));
    check_ok(canyon_assign_slot(tensor, "exp_avg", moments, PATIENCE_MS));
    check_ok(canyon_assign_slot(tensor, "exp_avg_sq", squares, PATIENCE_MS));
    check_ok(canyon_assign_number(tensor, "step", start, PATIENCE_MS));
    if (nesterov)
        check_ok(canyon_assign_number(tensor, "mu_product", product, PATIENCE_MS));
    for (unsigned step = start + 1; step <= start + 50; step++) {
        for (size_t i = 0; i < FEW; i++) {
            gradient[i] = number(step, i);
            if (nesterov) {
                double mine = product;
                nadam_step(&reference[i], &mine, (double)gradient[i], step);
                if (i == FEW - 1)
                    product = mine;
            } else {
                adam_step(&reference[i], (double)gradient[i], step);
            }
        }
        check_ok(canyon_push_pull(tensor, gradient, weights, PATIENCE_MS));
        for (size_t i = 0; i < FEW; i++)
            if (!(fabs((double)weights[i] - reference[i].w) <= 2e-6 * fmax(1, fabs(reference[i].w))))
                check_fail("%s, step %u, element %zu: %.9g instead of %.9g", optimizer, step, i, (double)weights[i],
                           reference[i].w);
    }
    canyon_tensor_close(tensor);
    check_ok(canyon_tensor_drop(client, optimizer, PATIENCE_MS));
}

/* The state of PyTorch's SGD is its buffer alone. */
static void a_velocity_without_a_step_goes_on(canyon_client *client) {
    const float weights[FEW] = {0}, gradient[FEW] = {0.25f, 0.25f, 0.25f, 0.25f, 0.25f};
    float velocity[FEW] = {2, -2, 0, 4, 1}, fresh[FEW];
    canyon_tensor *tensor = client_vector(client, "sgd", FEW, "momentum:lr=0.5,momentum=0.5");
    check_ok(canyon_assign(tensor, weights, PATIENCE_MS));
    check_ok(canyon_assign_slot(tensor, "momentum_buffer", velocity, PATIENCE_MS));
    for (int step = 0; step < 2; step++)
        check_ok(canyon_push_pull(tensor, gradient, fresh, PATIENCE_MS));
    for (size_t i = 0; i < FEW; i++) { /* all of it is exact in float */
        float one = 0.5f * velocity[i] + 0.25f, two = 0.5f * one + 0.25f;
        check(fresh[i] == -0.5f * one - 0.5f * two);
    }
    canyon_tensor_close(tensor);
    check_ok(canyon_tensor_drop(client, "sgd", PATIENCE_MS));
}

static void a_run_from_elsewhere_goes_on(void **state) {
    (void)state;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    take_over(client, "adam", START);
    take_over(client, "adam", 2);
    take_over(client, "nadam", START);
    take_over(client, "nadam", 2);
    a_velocity_without_a_step_goes_on(client);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- What is wrong ----------------------------------------------------------------------------------------------- */

static void errors_say_what_there_is(void **state) {
    (void)state;
    static float values[ELEMENTS];
    double numbers[BLOCKS] = {1, 2, 2.5};
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", ELEMENTS, "nadam");
    uint8_t before[CANYON_DIGEST_BYTES], after[CANYON_DIGEST_BYTES];
    client_digest(client, before);
    check_status(canyon_pull_slot(tensor, "velocity", values, PATIENCE_MS), CANYON_NOT_FOUND);
    check_text("no slot \"velocity\"; it has exp_avg, exp_avg_sq, step, mu_product");
    check_status(canyon_assign_number(tensor, "steps", 3, PATIENCE_MS), CANYON_NOT_FOUND);
    check_status(canyon_pull_slot(tensor, "step", values, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_text("canyon_pull_numbers");
    check_status(canyon_pull_numbers(tensor, "exp_avg", numbers, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_text("canyon_pull_slot");
    check_status(canyon_assign_numbers(tensor, "step", numbers, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_text("block 2: step 2.5 is not a whole number");
    check_status(canyon_assign_number(tensor, "step", -1, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_status(canyon_assign_number(tensor, "step", (double)NAN, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_status(canyon_assign_number(tensor, "step", 2e15, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_status(canyon_assign_number(tensor, "step", (double)INFINITY, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_status(canyon_assign_slot(tensor, "exp_avg", NULL, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_status(canyon_assign_slot(tensor, NULL, values, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_status(canyon_pull_numbers(NULL, "step", numbers, PATIENCE_MS), CANYON_INVALID_ARGUMENT);
    check_status(canyon_tensor_slots(tensor, PATIENCE_MS, NULL, NULL), CANYON_INVALID_ARGUMENT);
    client_digest(client, after);
    check(memcmp(before, after, sizeof before) == 0);

    /* What the servers refuse has used up its number, which is part of their state. */
    check_status(canyon_assign_number(tensor, "mu_product", 1.5, PATIENCE_MS), CANYON_REFUSED);
    check_text("outside [0, 1]");
    check_status(canyon_assign_number(tensor, "mu_product", (double)NAN, PATIENCE_MS), CANYON_NOT_FINITE);
    values[2000] = -1; /* in the second block: the first and the last are assigned */
    check_status(canyon_assign_slot(tensor, "exp_avg_sq", values, PATIENCE_MS), CANYON_REFUSED);
    check_text("1 of its 3 blocks were refused, block 1");
    check_text("exp_avg_sq: the value at index 976 is -1; it is never negative");
    values[2000] = INFINITY;
    check_status(canyon_assign_slot(tensor, "exp_avg", values, PATIENCE_MS), CANYON_NOT_FINITE);
    check_ok(canyon_tensor_drop(client, "w", PATIENCE_MS));
    check_status(canyon_pull_slot(tensor, "exp_avg", values, PATIENCE_MS), CANYON_NOT_FOUND);
    check_text("dropped");
    check_status(canyon_assign_number(tensor, "step", 1, PATIENCE_MS), CANYON_NOT_FOUND);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* State is no version: who assigned it, and who pulled it, holds the weights it held before. */
static void state_makes_nobody_stale(void **state) {
    (void)state;
    static float values[ELEMENTS], weights[ELEMENTS];
    double steps[BLOCKS];
    struct cluster *cluster = cluster_start(NULL);
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "w", ELEMENTS, "adam"),
                  *other = client_vector(client, "w", ELEMENTS, "adam"), *empty = NULL;
    struct canyon_item item = {.tensor = tensor, .gradient = values, .weights = weights};
    check_ok(canyon_assign(tensor, values, PATIENCE_MS));
    check_ok(canyon_assign_slot(tensor, "exp_avg", values, PATIENCE_MS));
    check_ok(canyon_assign_number(tensor, "step", 7, PATIENCE_MS));
    check_ok(canyon_step(client, &item, 1, PATIENCE_MS));
    check(item.staleness == 0 && item.version == 2);
    check_ok(canyon_pull_numbers(tensor, "step", steps, PATIENCE_MS));
    check(steps[0] == 8 && steps[1] == 8 && steps[2] == 8);
    /* Pulling a slot does not bring the weights: two updates behind, it stays. */
    check_ok(canyon_pull_slot(other, "exp_avg", values, PATIENCE_MS));
    item = (struct canyon_item){.tensor = other, .gradient = values};
    check_ok(canyon_step(client, &item, 1, PATIENCE_MS));
    check(item.staleness == 2);
    /* A tensor without elements has slots without values. */
    struct canyon_slot *slots = NULL;
    size_t count = 0;
    empty = client_vector(client, "empty", 0, "adam");
    check_ok(canyon_tensor_slots(empty, PATIENCE_MS, &slots, &count));
    check(count == 3 && strcmp(slots[0].name, "exp_avg") == 0 && strcmp(slots[2].name, "step") == 0);
    check(slots[0].count == 0 && slots[2].count == 0 && slots[2].per_block && !slots[1].per_block);
    check_ok(canyon_assign_number(empty, "step", 7, PATIENCE_MS));
    check_ok(canyon_pull_slot(empty, "exp_avg", values, PATIENCE_MS));
    canyon_free(slots);
    canyon_tensor_close(empty);
    canyon_tensor_close(tensor);
    canyon_tensor_close(other);
    canyon_close(client);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(every_optimizer_continues_to_the_bit),
        integration_test(a_run_from_elsewhere_goes_on),
        integration_test(errors_say_what_there_is),
        integration_test(state_makes_nobody_stale),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
