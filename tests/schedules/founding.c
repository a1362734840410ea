#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/row_hash.h"
#include "common/rows.h"
#include "tests/schedules/world_state.h"

/* ---- the job ---- */

static void found_job(struct world *world) {
    struct schedule *schedule = &world->schedule;
    struct error error;
    static const char servers[] = "127.0.0.1:7001,127.0.0.1:7002";
    const uint32_t hosts = (uint32_t)schedule_between(schedule, 1, WORLD_HOSTS);
    const uint32_t threads = (uint32_t)schedule_between(schedule, 1, 2);
    job_init(&world->job);
    snprintf(world->job.name, sizeof world->job.name, "schedule");
    world->job.shards = hosts * threads << schedule_below(schedule, 2);
    world->job.shards = world->job.shards < 2 ? 2 : world->job.shards;
    world->job.block = LIMIT_BLOCK_LOW;
    if (job_set_servers(&world->job, servers, strlen(servers) / (hosts == 1 ? 2 : 1), ',', &error) != CANYON_OK ||
        job_check(&world->job, &error) != CANYON_OK) {
        schedule_fail(schedule, "the job is no job: %s", error.text);
    }
    for (uint32_t i = 0; i < hosts; i++) {
        host_init(&world->hosts[i], schedule, &world->job, i, threads);
    }
}

/* ---- parameters ---- */

static void ask(struct world *world, uint32_t shard, unsigned type, const uint8_t *message, size_t bytes,
                struct host_reply *reply) {
    struct host *host = &world->hosts[job_server_of(&world->job, shard)];
    host_ask(host, &world->inner, job_thread_of(&world->job, shard, host->threads), type, message, bytes, reply);
}

static void tell_all(struct world *world, unsigned type, const uint8_t *message, size_t bytes) {
    struct host_reply reply;
    for (uint32_t i = 0; i < world->job.server_count; i++) {
        for (uint32_t thread = 0; thread < world->hosts[i].threads; thread++) {
            host_ask(&world->hosts[i], &world->inner, thread, type, message, bytes, &reply);
        }
    }
}

/* Creates it from first to last, as a client does. */
static void create(struct world *world, unsigned index, enum tensor_kind kind, uint32_t elements) {
    struct message_create message = {.wait_ms = 0};
    struct message_created created;
    struct host_reply reply;
    struct error error = {.status = CANYON_OK};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    snprintf(message.spec.name, sizeof message.spec.name, "%s%u", kind == TENSOR_TABLE ? "table" : "tensor", index);
    message.spec.kind = kind;
    message.spec.shape.rank = 1;
    message.spec.shape.dims[0] = elements;
    message.spec.initializer.kind = INITIALIZER_CONSTANT;
    if (optimizer_spec_parse("sgd:lr=1", &message.spec.optimizer, &error) != CANYON_OK) {
        schedule_fail(&world->schedule, "no optimizer: %s", error.text);
        return;
    }
    ask(world, 0, FRAME_CREATE, bytes, message_pack_create(&message, bytes), &reply);
    if (world->schedule.failed ||
        message_unpack_created(reply.message, reply.header.message_bytes, &created, &error) != CANYON_OK) {
        schedule_fail(&world->schedule, "the answer to CREATE cannot be read: %s", error.text);
        return;
    }
    world->tensors[index] = created.tensor;
    tell_all(world, FRAME_DEFINE, bytes, message_pack_define(&created.tensor, bytes));
    struct message_tensor complete = {.id = created.tensor.id};
    snprintf(complete.name, sizeof complete.name, "%s", message.spec.name);
    ask(world, 0, FRAME_COMPLETE, bytes, message_pack_tensor(&complete, bytes), &reply);
}

static void add_blocks(struct world *world, unsigned index, uint32_t elements, enum cell_kind kind) {
    const uint64_t home = job_home(world->tensors[index].spec.name);
    for (uint32_t block = 0; block < job_block_count(&world->job, elements); block++) {
        struct cell cell = {.kind = kind,
                            .tensor = index,
                            .place = block,
                            .id = world->tensors[index].id,
                            .elements = job_block_elements(&world->job, elements, block),
                            .shard = job_shard_of(&world->job, home, block),
                            .owner = index % WORLD_WORKERS};
        cell.host = job_server_of(&world->job, cell.shard);
        oracle_add(&world->oracle, &cell);
    }
}

static void add_rows(struct world *world, unsigned index, uint32_t dim, unsigned rows, enum cell_kind kind) {
    struct row_hash hash;
    row_hash_init(&hash, world->tensors[index].spec.name);
    for (uint64_t id = 1; id <= rows; id++) {
        struct cell cell = {.kind = kind,
                            .tensor = index,
                            .id = world->tensors[index].id,
                            .place = id * 977,
                            .elements = dim,
                            .owner = (unsigned)id % WORLD_WORKERS};
        uint64_t value;
        row_hash_of(&hash, &cell.place, 1, &value);
        cell.shard = job_row_shard(&world->job, value);
        cell.host = job_server_of(&world->job, cell.shard);
        oracle_add(&world->oracle, &cell);
    }
}

/* Of a paced world: what gradients are kept of. */
static void found_paced(struct world *world) {
    create(world, 0, TENSOR_DENSE, LIMIT_BLOCK_LOW + 60); /* a large block and a short one */
    create(world, 1, TENSOR_DENSE, 60);
    create(world, 2, TENSOR_TABLE, 40);
    add_blocks(world, 0, LIMIT_BLOCK_LOW + 60, CELL_BLOCK);
    add_blocks(world, 1, 60, CELL_BLOCK);
    add_rows(world, 2, 40, 5, CELL_ROW);
    director_found(&world->director, &world->schedule, world->hosts, world->job.server_count);
}

static void found_free(struct world *world) {
    create(world, 0, TENSOR_DENSE, LIMIT_BLOCK_LOW + 12); /* a large block and a short one */
    create(world, 1, TENSOR_DENSE, 16);
    create(world, 2, TENSOR_DENSE, 16);
    create(world, 3, TENSOR_DENSE, 3);
    create(world, 4, TENSOR_DENSE, 3);
    create(world, 5, TENSOR_TABLE, 12);
    create(world, 6, TENSOR_TABLE, 12);
    create(world, WORLD_DROPPED, TENSOR_DENSE, 16);
    add_blocks(world, 0, LIMIT_BLOCK_LOW + 12, CELL_BLOCK);
    add_blocks(world, 1, 16, CELL_BLOCK);
    add_blocks(world, 2, 16, CELL_BLOCK);
    add_blocks(world, 3, 3, CELL_ASSIGNED);
    add_blocks(world, 4, 3, CELL_ASSIGNED);
    add_rows(world, 5, 12, 8, CELL_ROW);
    add_rows(world, 6, 12, 5, CELL_ERASED);
    add_blocks(world, WORLD_DROPPED, 16, CELL_DROPPED);
}

void world_found(struct world *world) {
    memset(world->inner.peer.session, 0xee, SESSION_BYTES);
    found_job(world);
    if (world->paced) {
        world->fickle = schedule_chance(&world->schedule, 250);
        world->lease_ms = (uint32_t)schedule_between(&world->schedule, 100, world->fickle ? 400 : 2500);
        oracle_pace(&world->oracle);
        for (uint32_t i = 0; i < world->job.server_count; i++) {
            host_pace(&world->hosts[i], &world->oracle, world->lease_ms);
        }
        found_paced(world);
    } else {
        found_free(world);
    }
    for (uint32_t i = 0; i < world->job.server_count; i++) {
        host_settle(&world->hosts[i]);
    }
}

/* ---- a tensor is dropped ---- */

static void undefine(void *user, uint64_t argument) {
    struct world *world = user;
    const uint64_t host = argument >> 8;
    const uint32_t thread = (uint32_t)(argument & 0xff);
    struct message_tensor gone = {.id = world->tensors[WORLD_DROPPED].id};
    struct host_reply reply;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    if (!host_is_up(&world->hosts[host]) || world->hosts[host].stopped) {
        schedule_at(&world->schedule, world->schedule.now + 10 * MILLISECOND, undefine, world, argument);
        return;
    }
    for (unsigned i = 0; i < world->oracle.count; i++) {
        struct cell *cell = &world->oracle.cells[i];
        const bool there =
            cell->host == host && job_thread_of(&world->job, cell->shard, world->hosts[host].threads) == thread;
        cell->gone = cell->gone || (cell->kind == CELL_DROPPED && there);
    }
    schedule_trace(&world->schedule, "server %u, thread %u drops its part of a tensor", (unsigned)host, thread);
    host_ask(&world->hosts[host], &world->inner, thread, FRAME_UNDEFINE, bytes, message_pack_tensor(&gone, bytes),
             &reply);
}

void world_drop(struct world *world) {
    struct schedule *schedule = &world->schedule;
    const uint64_t begins = schedule->now + schedule_between(schedule, 1, 3000) * MILLISECOND;
    for (uint64_t i = 0; i < world->job.server_count && !world->paced; i++) {
        for (uint64_t thread = 0; thread < world->hosts[i].threads; thread++) {
            schedule_at(schedule, begins + schedule_below(schedule, 100 * MILLISECOND), undefine, world,
                        i << 8 | thread);
        }
    }
}

void world_demolish(struct world *world) {
    for (uint32_t i = 0; i < world->job.server_count; i++) {
        host_finish(&world->hosts[i]);
    }
    free(world->inner.bytes);
    director_finish(&world->director);
    job_finish(&world->job);
}

/* ---- the end ---- */

static void judge(struct world *world, struct cell *cell, const float *weights, uint64_t version) {
    const struct age age = host_age(&world->hosts[cell->host]);
    oracle_judge(&world->oracle, cell, weights, version, age);
    if (world->paced) {
        pace_judge(&world->oracle, cell, weights, version, age);
    }
}

static void judge_block(struct world *world, struct cell *cell) {
    struct message_pieces message = {
        .count = 1,
        .pieces = {
            {.tensor = world->tensors[cell->tensor].id, .block = (uint32_t)cell->place, .elements = cell->elements}}};
    struct message_piece_results results;
    struct host_reply reply;
    struct error error = {.status = CANYON_OK};
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    float weights[LIMIT_BLOCK_LOW];
    ask(world, cell->shard, FRAME_PULL, bytes, message_pack_pieces(&message, bytes), &reply);
    if (world->schedule.failed) {
        return;
    }
    if (message_unpack_piece_results(reply.message, reply.header.message_bytes, &results, &error) != CANYON_OK ||
        results.results[0].status != CANYON_OK || reply.header.payload_bytes != cell->elements * sizeof(float)) {
        schedule_fail(&world->schedule, "cell %u cannot be read: %s%s", cell->number, error.text, results.text);
        return;
    }
    memcpy(weights, reply.payload, reply.header.payload_bytes);
    judge(world, cell, weights, results.results[0].version);
}

static void judge_row(struct world *world, struct cell *cell) {
    const struct message_rows message = {
        .table = world->tensors[cell->tensor].id, .dim = cell->elements, .runs = 1, .rows = 1};
    const struct rows_run run = {.shard = cell->shard, .rows = 1};
    const size_t values = cell->elements * sizeof(float);
    struct host_reply reply;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    _Alignas(64) uint8_t payload[64];
    float weights[64];
    const struct rows_layout layout = rows_request_layout(1, 1, 0), back = rows_reply_layout(1, 1, values);
    memcpy(payload, &run, sizeof run);
    memcpy(payload + layout.ids, &cell->place, sizeof cell->place);
    world->inner.payload = payload;
    world->inner.payload_bytes = (uint32_t)layout.bytes;
    ask(world, cell->shard, FRAME_TABLE_PULL, bytes, message_pack_rows(&message, bytes), &reply);
    world->inner.payload = NULL;
    world->inner.payload_bytes = 0;
    if (world->schedule.failed) {
        return;
    }
    if (reply.header.payload_bytes != back.bytes || values > sizeof weights) {
        schedule_fail(&world->schedule, "cell %u cannot be read: %u bytes", cell->number, reply.header.payload_bytes);
        return;
    }
    memcpy(weights, reply.payload + back.values, values);
    judge(world, cell, weights, UINT64_MAX);
}

void world_judge(struct world *world) {
    for (unsigned i = 0; i < world->oracle.count && !world->schedule.failed; i++) {
        struct cell *cell = &world->oracle.cells[i];
        if (cell->kind == CELL_ROW || cell->kind == CELL_ERASED) {
            judge_row(world, cell);
        } else if (!cell->gone) {
            judge_block(world, cell);
        }
    }
    for (uint32_t i = 0; i < world->job.server_count && !world->schedule.failed; i++) {
        host_check_log(&world->hosts[i]);
    }
    if (world->paced && !world->schedule.failed) {
        director_judge(&world->director);
    }
}
