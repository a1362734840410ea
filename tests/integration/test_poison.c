/* Workers of whom one push in a hundred is poisoned with NaN, infinity, or numbers whose squares overflow: whatever the
 * optimizer and the policy, no weight and no optimizer state on the servers is anything but finite afterwards, and
 * every poisoned piece or element is counted, exactly.
 *
 * CANYON_PUSHES says how many pushes of a tensor (20,000 without). */
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/harness.h"
#include "tests/unit/common/seed.h"

#define BLOCK    1024u
#define ELEMENTS 1100u /* two blocks, the second of them short */
#define BLOCKS   2u
#define POLICIES 3u
#define TENSORS  64u
#define WORKERS  3u
#define POOL     65536u
#define POISONS  4u /* in one push, at most */

enum policy { REFUSE, SKIP, CLIP };
static const char *const policies[POLICIES] = {"refuse", "skip", "clip"};

/* Those that add up squares of gradients: an element whose gradient's square overflows keeps all that it had, so that
 * how many do is known beforehand. */
static const char *const squaring[] = {"adabelief", "adadelta", "adagrad", "adam",    "adamw", "amsgrad",
                                       "ftrl",      "nadam",    "radam",   "rmsprop", "yogi"};

/* What the servers must have counted. */
struct counts {
    _Atomic uint64_t pushes, poisoned, not_finite, skipped, clipped, kept;
};

struct field {
    const char *servers;
    char names[TENSORS][64], optimizers[TENSORS][64];
    enum policy policies[TENSORS];
    size_t tensors;
    bool squares;
    uint64_t seed, steps;
    float *pool; /* of ordinary gradients, POOL + ELEMENTS */
    struct counts counts;
};

struct worker {
    struct field *field;
    uint64_t seed;
    pthread_t thread;
};

static bool is_squaring(const char *optimizer) {
    bool found = false;
    for (size_t i = 0; i < sizeof squaring / sizeof squaring[0]; i++)
        found = found || strcmp(squaring[i], optimizer) == 0;
    return found;
}

/* Every such optimizer under every policy. */
static void plant(struct field *field, canyon_client *client) {
    struct canyon_optimizer_info *infos = NULL;
    size_t count = 0;
    check_ok(canyon_optimizers(client, PATIENCE_MS, &infos, &count));
    for (size_t i = 0; i < count; i++) {
        for (unsigned p = 0; p < POLICIES && !infos[i].rows_only && is_squaring(infos[i].name) == field->squares; p++) {
            const size_t t = field->tensors++;
            check(t < TENSORS);
            field->policies[t] = (enum policy)p;
            snprintf(field->names[t], sizeof field->names[t], "%.31s-%s", infos[i].name, policies[p]);
            snprintf(field->optimizers[t], sizeof field->optimizers[t], "%.31s:nonfinite=%s", infos[i].name,
                     policies[p]);
        }
    }
    canyon_free(infos);
}

/* ---- poison ---- */

static void count_block(struct field *field, size_t tensor, const float *values, size_t elements, uint64_t *refused) {
    struct counts *counts = &field->counts;
    uint64_t nan = 0, infinite = 0, huge = 0;
    for (size_t i = 0; i < elements; i++) {
        nan += isnan(values[i]) != 0;
        infinite += isinf(values[i]) != 0;
        huge += isfinite(values[i]) && fabsf(values[i]) >= 1e30f;
    }
    if (field->policies[tensor] == REFUSE && nan + infinite > 0) {
        atomic_fetch_add(&counts->not_finite, 1);
        ++*refused;
        return;
    }
    const bool clips = field->policies[tensor] == CLIP;
    atomic_fetch_add(&counts->clipped, clips ? infinite : 0);
    atomic_fetch_add(&counts->skipped, clips ? nan : nan + infinite);
    /* Infinity that was clipped to the largest float overflows like that. */
    atomic_fetch_add(&counts->kept, huge + (clips ? infinite : 0));
}

/* A gradient from the pool as it is, or, once in a hundred times, a poisoned copy. `refused` receives how many of its
 * blocks the servers are to refuse. */
static const float *choose(struct field *field, uint64_t *seed, size_t tensor, float *copy, uint64_t *refused) {
    static const float poisons[] = {(float)NAN, (float)INFINITY, (float)-INFINITY, FLT_MAX, -FLT_MAX, 1e30f, -1e30f};
    const float *gradient = field->pool + seed_below(seed, POOL);
    *refused = 0;
    atomic_fetch_add(&field->counts.pushes, 1);
    if (seed_below(seed, 100) != 0)
        return gradient;
    atomic_fetch_add(&field->counts.poisoned, 1);
    memcpy(copy, gradient, ELEMENTS * sizeof copy[0]);
    for (uint64_t times = 1 + seed_below(seed, POISONS); times > 0; times--)
        copy[seed_below(seed, ELEMENTS)] = poisons[seed_below(seed, sizeof poisons / sizeof poisons[0])];
    count_block(field, tensor, copy, BLOCK, refused);
    count_block(field, tensor, copy + BLOCK, ELEMENTS - BLOCK, refused);
    return copy;
}

static void check_finite(const struct field *field, size_t tensor, const char *what, const float *values) {
    for (size_t i = 0; i < ELEMENTS; i++) {
        if (!isfinite(values[i]))
            check_fail("%s: %s %zu is %g", field->names[tensor], what, i, (double)values[i]);
    }
}

/* ---- workers ---- */

static void open_all(const struct field *field, canyon_client *client, canyon_tensor **tensors) {
    for (size_t t = 0; t < field->tensors; t++)
        tensors[t] = client_vector(client, field->names[t], ELEMENTS, field->optimizers[t]);
}

static void close_all(const struct field *field, canyon_client *client, canyon_tensor **tensors) {
    for (size_t t = 0; t < field->tensors; t++)
        canyon_tensor_close(tensors[t]);
    canyon_close(client);
}

static void *work(void *user) {
    struct worker *worker = user;
    struct field *field = worker->field;
    canyon_tensor *tensors[TENSORS];
    struct canyon_item items[TENSORS];
    uint64_t refused[TENSORS];
    float(*copies)[ELEMENTS] = calloc(field->tensors, sizeof *copies);
    float(*weights)[ELEMENTS] = calloc(field->tensors, sizeof *weights);
    canyon_client *client = client_connect(field->servers);
    check(copies != NULL && weights != NULL);
    open_all(field, client, tensors);
    for (uint64_t step = 0; step < field->steps; step++) {
        uint64_t any = 0;
        for (size_t t = 0; t < field->tensors; t++) {
            const float *gradient = choose(field, &worker->seed, t, copies[t], &refused[t]);
            items[t] = (struct canyon_item){.tensor = tensors[t], .gradient = gradient, .weights = weights[t]};
            any += refused[t];
        }
        check_status(canyon_step(client, items, field->tensors, PATIENCE_MS), any > 0 ? CANYON_NOT_FINITE : CANYON_OK);
        for (size_t t = 0; t < field->tensors; t++) {
            check(items[t].refused == refused[t]);
            check_finite(field, t, "weight", weights[t]);
        }
    }
    close_all(field, client, tensors);
    free(copies);
    free(weights);
    return NULL;
}

/* ---- afterwards ---- */

static void check_state(const struct field *field, canyon_client *client) {
    static float values[ELEMENTS];
    canyon_tensor *tensors[TENSORS];
    open_all(field, client, tensors);
    for (size_t t = 0; t < field->tensors; t++) {
        struct canyon_slot *slots = NULL;
        size_t count = 0;
        check_ok(canyon_pull(tensors[t], values, PATIENCE_MS));
        check_finite(field, t, "weight", values);
        check_ok(canyon_tensor_slots(tensors[t], PATIENCE_MS, &slots, &count));
        check(count > 0);
        for (size_t s = 0; s < count; s++) {
            double numbers[BLOCKS];
            if (!slots[s].per_block) {
                check_ok(canyon_pull_slot(tensors[t], slots[s].name, values, PATIENCE_MS));
                check_finite(field, t, slots[s].name, values);
                continue;
            }
            check(slots[s].count == BLOCKS);
            check_ok(canyon_pull_numbers(tensors[t], slots[s].name, numbers, PATIENCE_MS));
            check(isfinite(numbers[0]) && isfinite(numbers[1]));
        }
        canyon_free(slots);
        canyon_tensor_close(tensors[t]);
    }
}

static void check_counts(const struct field *field, canyon_client *client) {
    const struct counts *counts = &field->counts;
    struct canyon_server_statistics *servers = NULL;
    uint64_t not_finite = 0, skipped = 0, clipped = 0, kept = 0;
    size_t count = 0;
    check_ok(canyon_statistics(client, PATIENCE_MS, &servers, &count));
    for (size_t i = 0; i < count; i++) {
        not_finite += servers[i].not_finite;
        skipped += servers[i].skipped;
        clipped += servers[i].clipped;
        kept += servers[i].kept;
    }
    canyon_free(servers);
    print_message("%" PRIu64 " pushes, %" PRIu64 " of them poisoned; blocks refused %" PRIu64 "; elements skipped "
                  "%" PRIu64 ", clipped %" PRIu64 ", kept %" PRIu64 "\n",
                  counts->pushes, counts->poisoned, not_finite, skipped, clipped, kept);
    check(not_finite == counts->not_finite && skipped == counts->skipped && clipped == counts->clipped);
    check(!field->squares || kept == counts->kept);
    check(not_finite > 0 && skipped > 0 && clipped > 0);
}

static void poison(bool squares, uint64_t pushes, uint64_t seed) {
    static struct field field;
    struct worker workers[WORKERS];
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2, .threads = 2, .block = BLOCK});
    canyon_client *client = client_connect(cluster_servers(cluster));
    field = (struct field){.servers = cluster_servers(cluster), .squares = squares, .seed = seed};
    field.pool = malloc((POOL + ELEMENTS) * sizeof(float));
    check(field.pool != NULL);
    for (size_t i = 0; i < POOL + ELEMENTS; i++)
        field.pool[i] = (float)(int32_t)seed_next(&field.seed) * 0x1p-31f;
    plant(&field, client);
    field.steps = pushes / (field.tensors * WORKERS) + 1;
    for (size_t w = 0; w < WORKERS; w++) {
        workers[w] = (struct worker){.field = &field, .seed = seed_next(&field.seed)};
        check(pthread_create(&workers[w].thread, NULL, work, &workers[w]) == 0);
    }
    for (size_t w = 0; w < WORKERS; w++)
        check(pthread_join(workers[w].thread, NULL) == 0);
    check(field.counts.pushes >= pushes);
    check_state(&field, client);
    check_counts(&field, client);
    canyon_close(client);
    free(field.pool);
    cluster_stop(cluster);
}

static uint64_t pushes_wanted(void) {
    const char *given = getenv("CANYON_PUSHES");
    return given != NULL ? strtoull(given, NULL, 10) : 20000;
}

static void those_that_square(void **state) {
    (void)state;
    poison(true, pushes_wanted() * 2 / 3, seed_begin("those_that_square"));
}

static void the_others(void **state) {
    (void)state;
    poison(false, pushes_wanted() / 3 + 1, seed_begin("the_others"));
}

int main(void) {
    const struct CMUnitTest tests[] = {integration_test(those_that_square), integration_test(the_others)};
    return cmocka_run_group_tests_name("poison", tests, NULL, NULL);
}
