/* Every kind of message behind one table, so that a test says a thing once and it holds for all of them. */
#ifndef CANYON_TESTS_UNIT_MESSAGE_KINDS_H
#define CANYON_TESTS_UNIT_MESSAGE_KINDS_H

#include <math.h>
#include <string.h>

#include "common/message.h"
#include "seed.h"

/* Fills a zeroed struct: at random, or with the largest value everywhere. */
struct filling {
    uint64_t random;
    bool largest;
};

union any_message {
    struct message_hello hello;
    struct message_welcome welcome;
    struct error error;
    struct message_create create;
    struct message_created created;
    struct message_open open;
    struct tensor_info info;
    struct message_tensor tensor;
    struct message_set set;
    struct message_list list;
    struct message_listed listed;
    struct message_pieces pieces;
    struct message_piece_results piece_results;
    struct message_rows rows;
    struct message_rows_done rows_done;
    struct message_table_query table_query;
    struct message_table_totals table_totals;
    struct message_row_query row_query;
    struct message_row_page row_page;
    struct message_join join;
    struct message_joined joined;
    struct message_barrier barrier;
    struct message_enter enter;
    struct message_entered entered;
    struct message_clock clock;
    struct message_clocked clocked;
    struct message_consistency consistency;
    struct message_consistency_is consistency_is;
    struct message_members members;
    struct message_members_are members_are;
    struct message_staleness staleness;
    struct staleness staleness_is;
    struct message_statistics statistics;
    struct message_optimizer_request optimizer_request;
    struct message_optimizer optimizer;
};

static inline uint64_t fill_number(struct filling *f, uint64_t low, uint64_t high) {
    if (f->largest) {
        return high;
    }
    /* Small, middle and huge numbers alike: their varints differ in length. */
    uint64_t value = seed_next(&f->random) >> seed_below(&f->random, 64);
    return high - low == UINT64_MAX ? value : low + value % (high - low + 1);
}

static inline uint32_t fill_u32(struct filling *f, uint32_t low, uint32_t high) {
    return (uint32_t)fill_number(f, low, high);
}

static inline bool fill_bool(struct filling *f) {
    return f->largest || seed_below(&f->random, 2) == 1;
}

static inline double fill_double(struct filling *f) {
    static const double some[] = {0, 1, -1, 0.001, 1e-8, 1e308, 5e-324, -2.5};
    return f->largest ? -1.2345678901234567e+300 : some[seed_below(&f->random, sizeof some / sizeof some[0])];
}

static inline void fill_text(struct filling *f, char *text, size_t room) {
    size_t length = f->largest ? room - 1 : seed_below(&f->random, room);
    for (size_t i = 0; i < length; i++) {
        text[i] = (char)('a' + seed_below(&f->random, 26));
    }
    text[length] = '\0';
}

static inline void fill_bytes(struct filling *f, uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        bytes[i] = f->largest ? 0xff : (uint8_t)seed_next(&f->random);
    }
}

static inline void fill_settings(struct filling *f, uint32_t *count, struct setting settings[LIMIT_SETTINGS]) {
    *count = fill_u32(f, 0, LIMIT_SETTINGS);
    for (uint32_t i = 0; i < *count; i++) {
        fill_text(f, settings[i].name, LIMIT_SETTING_BYTES);
        settings[i].value = fill_double(f);
    }
}

static inline void fill_spec(struct filling *f, struct tensor_spec *spec) {
    fill_text(f, spec->name, sizeof spec->name);
    spec->shape.rank = fill_u32(f, 0, LIMIT_RANK);
    for (uint32_t i = 0; i < spec->shape.rank; i++) {
        spec->shape.dims[i] = fill_number(f, 0, UINT64_MAX);
    }
    fill_text(f, spec->optimizer.name, sizeof spec->optimizer.name);
    fill_settings(f, &spec->optimizer.count, spec->optimizer.settings);
    spec->initializer.kind = (enum initializer_kind)fill_number(f, INITIALIZER_ZEROS, INITIALIZER_VALUES);
    spec->initializer.seed = fill_number(f, 0, UINT64_MAX);
    spec->initializer.a = fill_double(f);
    spec->initializer.b = fill_double(f);
    spec->kind = (enum tensor_kind)fill_number(f, TENSOR_DENSE, TENSOR_TABLE);
    spec->row_cap = fill_number(f, 0, UINT64_MAX);
    spec->capacity = fill_number(f, 0, UINT64_MAX);
}

static inline void fill_info(struct filling *f, struct tensor_info *info) {
    info->id = fill_number(f, 1, UINT64_MAX);
    info->state = (enum tensor_state)fill_number(f, TENSOR_CREATING, TENSOR_DROPPING);
    fill_spec(f, &info->spec);
    info->epoch = fill_number(f, 0, UINT64_MAX);
}

static inline void fill_hello(struct filling *f, union any_message *m) {
    m->hello.protocol = fill_u32(f, 0, UINT32_MAX);
    m->hello.thread = fill_u32(f, 0, UINT32_MAX);
    fill_bytes(f, m->hello.session, SESSION_BYTES);
    m->hello.has_digest = fill_bool(f);
    if (m->hello.has_digest) {
        fill_bytes(f, m->hello.digest, JOB_DIGEST_BYTES);
    }
    fill_text(f, m->hello.name, sizeof m->hello.name);
}

static inline void fill_welcome(struct filling *f, union any_message *m) {
    m->welcome.protocol = fill_u32(f, 0, UINT32_MAX);
    m->welcome.threads = fill_u32(f, 1, LIMIT_THREADS);
    m->welcome.thread = fill_u32(f, 0, m->welcome.threads - 1);
    fill_bytes(f, m->welcome.boot, BOOT_BYTES);
    fill_bytes(f, m->welcome.digest, JOB_DIGEST_BYTES);
    fill_text(f, m->welcome.job, sizeof m->welcome.job);
    m->welcome.shards = 1u << fill_u32(f, 0, 16);
    m->welcome.block = fill_u32(f, LIMIT_BLOCK_LOW, LIMIT_BLOCK_HIGH);
    m->welcome.server = fill_u32(f, 0, LIMIT_SERVERS - 1);
    fill_text(f, m->welcome.version, sizeof m->welcome.version);
}

static inline void fill_error(struct filling *f, union any_message *m) {
    m->error.status = (enum canyon_status)fill_number(f, CANYON_INVALID_ARGUMENT, CANYON_INTERNAL);
    fill_text(f, m->error.text, sizeof m->error.text);
}

static inline void fill_create(struct filling *f, union any_message *m) {
    fill_spec(f, &m->create.spec);
    m->create.wait_ms = fill_u32(f, 0, LIMIT_WAIT_MS);
}

static inline void fill_created(struct filling *f, union any_message *m) {
    fill_info(f, &m->created.tensor);
    m->created.creator = fill_bool(f);
}

static inline void fill_open(struct filling *f, union any_message *m) {
    fill_text(f, m->open.name, sizeof m->open.name);
    m->open.wait_ms = fill_u32(f, 0, LIMIT_WAIT_MS);
}

static inline void fill_opened(struct filling *f, union any_message *m) {
    fill_info(f, &m->info);
}

static inline void fill_define(struct filling *f, union any_message *m) {
    fill_info(f, &m->info);
}

static inline void fill_tensor(struct filling *f, union any_message *m) {
    m->tensor.id = fill_number(f, 0, UINT64_MAX);
    fill_text(f, m->tensor.name, sizeof m->tensor.name);
}

static inline void fill_set(struct filling *f, union any_message *m) {
    m->set.id = fill_number(f, 0, UINT64_MAX);
    fill_text(f, m->set.name, sizeof m->set.name);
    fill_settings(f, &m->set.count, m->set.settings);
}

static inline void fill_list(struct filling *f, union any_message *m) {
    fill_text(f, m->list.after, sizeof m->list.after);
}

static inline void fill_listed(struct filling *f, union any_message *m) {
    m->listed.count = fill_u32(f, 0, MESSAGE_LIST_PAGE);
    for (uint32_t i = 0; i < m->listed.count; i++) {
        fill_info(f, &m->listed.tensors[i]);
    }
    m->listed.more = fill_bool(f);
}

static inline void fill_pieces(struct filling *f, union any_message *m) {
    m->pieces.count = fill_u32(f, 0, LIMIT_PIECES);
    for (uint32_t i = 0; i < m->pieces.count; i++) {
        m->pieces.pieces[i].tensor = fill_number(f, 0, UINT64_MAX);
        m->pieces.pieces[i].block = fill_u32(f, 0, UINT32_MAX);
        m->pieces.pieces[i].elements = fill_u32(f, 0, LIMIT_BLOCK_HIGH);
        m->pieces.pieces[i].version = fill_number(f, 0, UINT64_MAX);
        m->pieces.pieces[i].slot = fill_u32(f, 0, SLOT_HIGH);
        m->pieces.pieces[i].codec = fill_u32(f, 0, UINT32_MAX);
        m->pieces.pieces[i].reply = fill_u32(f, 0, UINT32_MAX);
        m->pieces.pieces[i].kept = fill_u32(f, 0, LIMIT_BLOCK_HIGH);
        m->pieces.pieces[i].number = fill_number(f, 0, UINT64_MAX);
    }
    m->pieces.clock = fill_number(f, 0, UINT64_MAX);
    m->pieces.wait_ms = fill_u32(f, 0, LIMIT_WAIT_MS);
}

static inline void fill_piece_results(struct filling *f, union any_message *m) {
    m->piece_results.count = fill_u32(f, 0, LIMIT_PIECES);
    for (uint32_t i = 0; i < m->piece_results.count; i++) {
        m->piece_results.results[i].status = (enum canyon_status)fill_number(f, CANYON_OK, CANYON_INTERNAL);
        m->piece_results.results[i].version = fill_number(f, 0, UINT64_MAX);
        m->piece_results.results[i].staleness = fill_number(f, 0, UINT64_MAX);
        m->piece_results.results[i].applied = fill_number(f, 0, UINT64_MAX);
        m->piece_results.results[i].stable = fill_number(f, 0, UINT64_MAX);
    }
    fill_text(f, m->piece_results.text, sizeof m->piece_results.text);
    m->piece_results.clock = fill_number(f, 0, UINT64_MAX);
}

static inline void fill_rows(struct filling *f, union any_message *m) {
    m->rows.table = fill_number(f, 0, UINT64_MAX);
    m->rows.clock = fill_number(f, 0, UINT64_MAX);
    m->rows.dim = fill_u32(f, 0, LIMIT_DIM);
    m->rows.runs = fill_u32(f, 0, LIMIT_RUNS);
    m->rows.rows = fill_u32(f, 0, LIMIT_BATCH_ROWS);
    m->rows.codec = fill_u32(f, 0, UINT32_MAX);
    m->rows.reply = fill_u32(f, 0, UINT32_MAX);
    m->rows.create = fill_bool(f);
    m->rows.wait_ms = fill_u32(f, 0, LIMIT_WAIT_MS);
}

static inline void fill_rows_done(struct filling *f, union any_message *m) {
    m->rows_done.runs = fill_u32(f, 0, LIMIT_RUNS);
    m->rows_done.rows = fill_u32(f, 0, LIMIT_BATCH_ROWS);
    fill_text(f, m->rows_done.text, sizeof m->rows_done.text);
    m->rows_done.clock = fill_number(f, 0, UINT64_MAX);
}

static inline void fill_table_query(struct filling *f, union any_message *m) {
    m->table_query.table = fill_number(f, 0, UINT64_MAX);
    m->table_query.sum = fill_bool(f);
    m->table_query.shard = fill_u32(f, 0, LIMIT_SHARDS - 1);
}

static inline void fill_table_totals(struct filling *f, union any_message *m) {
    m->table_totals.shards = fill_number(f, 0, LIMIT_SHARDS);
    m->table_totals.rows = fill_number(f, 0, UINT64_MAX);
    m->table_totals.bytes = fill_number(f, 0, UINT64_MAX);
    m->table_totals.version = fill_number(f, 0, UINT64_MAX);
    m->table_totals.clock = fill_number(f, 0, UINT64_MAX);
}

static inline void fill_row_query(struct filling *f, union any_message *m) {
    m->row_query.table = fill_number(f, 0, UINT64_MAX);
    m->row_query.from = fill_number(f, 0, UINT64_MAX);
    m->row_query.shard = fill_u32(f, 0, LIMIT_SHARDS - 1);
    m->row_query.most = fill_u32(f, 0, LIMIT_BATCH_ROWS);
    m->row_query.state = fill_bool(f);
}

static inline void fill_row_page(struct filling *f, union any_message *m) {
    m->row_page.rows = fill_u32(f, 0, LIMIT_BATCH_ROWS);
    m->row_page.values = fill_u32(f, 0, LIMIT_DIM * (1 + LIMIT_SLOTS));
    m->row_page.scalars = fill_u32(f, 0, LIMIT_SCALARS);
    m->row_page.more = fill_bool(f);
}

static inline void fill_join(struct filling *f, union any_message *m) {
    fill_text(f, m->join.name, sizeof m->join.name);
}

static inline void fill_joined(struct filling *f, union any_message *m) {
    m->joined.rank = fill_u32(f, 0, UINT32_MAX);
    m->joined.count = fill_u32(f, 0, UINT32_MAX);
}

static inline void fill_barrier(struct filling *f, union any_message *m) {
    fill_text(f, m->barrier.name, sizeof m->barrier.name);
    m->barrier.count = fill_u32(f, 0, UINT32_MAX);
    m->barrier.wait_ms = fill_u32(f, 0, LIMIT_WAIT_MS);
}

static inline void fill_enter(struct filling *f, union any_message *m) {
    m->enter.rank = fill_u32(f, 0, LIMIT_MEMBERS);
    m->enter.clock = fill_number(f, 0, LIMIT_CLOCK);
}

static inline void fill_entered(struct filling *f, union any_message *m) {
    m->entered.rank = fill_u32(f, 0, LIMIT_MEMBERS - 1);
    m->entered.clock = fill_number(f, 0, LIMIT_CLOCK);
    m->entered.lease_ms = fill_u32(f, 0, LIMIT_WAIT_MS);
    m->entered.workers = fill_u32(f, 0, UINT32_MAX);
}

static inline void fill_clock(struct filling *f, union any_message *m) {
    m->clock.clock = fill_number(f, 0, LIMIT_CLOCK);
    m->clock.rank = fill_u32(f, 0, LIMIT_MEMBERS);
    m->clock.leave = fill_bool(f);
}

static inline void fill_clocked(struct filling *f, union any_message *m) {
    m->clocked.clock = fill_number(f, 0, LIMIT_CLOCK);
    m->clocked.lowest = fill_number(f, 0, LIMIT_CLOCK);
    m->clocked.rank = fill_u32(f, 0, LIMIT_MEMBERS - 1);
}

static inline void fill_mode(struct filling *f, struct consistency *mode) {
    mode->mode = (enum consistency_mode)fill_u32(f, 0, CONSISTENCY_SYNC);
    mode->staleness = fill_u32(f, 0, CONSISTENCY_STALENESS_HIGH);
    mode->combine = (enum consistency_combine)fill_u32(f, 0, CONSISTENCY_SUM);
    mode->order = (enum consistency_order)fill_u32(f, 0, CONSISTENCY_RANK);
    mode->minimum = fill_u32(f, 0, LIMIT_MEMBERS);
}

static inline void fill_consistency(struct filling *f, union any_message *m) {
    m->consistency.set = fill_bool(f);
    fill_mode(f, &m->consistency.mode);
    m->consistency.from = fill_number(f, 0, LIMIT_CLOCK);
    m->consistency.highest = fill_number(f, 0, LIMIT_CLOCK);
}

static inline void fill_consistency_is(struct filling *f, union any_message *m) {
    m->consistency_is.set = fill_bool(f);
    fill_mode(f, &m->consistency_is.now);
    fill_mode(f, &m->consistency_is.next);
    m->consistency_is.from = fill_number(f, 0, LIMIT_CLOCK);
    m->consistency_is.highest = fill_number(f, 0, LIMIT_CLOCK);
    m->consistency_is.open = fill_number(f, 0, LIMIT_CLOCK + 1);
    m->consistency_is.workers = fill_u32(f, 0, UINT32_MAX);
    m->consistency_is.lease_ms = fill_u32(f, 0, LIMIT_WAIT_MS);
}

static inline void fill_members(struct filling *f, union any_message *m) {
    m->members.after = fill_number(f, 0, UINT64_MAX);
}

static inline void fill_members_are(struct filling *f, union any_message *m) {
    m->members_are.count = fill_u32(f, 0, MESSAGE_MEMBERS_PAGE);
    for (uint32_t i = 0; i < m->members_are.count; i++) {
        struct message_member *member = &m->members_are.members[i];
        member->serial = fill_number(f, 0, UINT64_MAX);
        member->tag = fill_number(f, 0, UINT64_MAX);
        fill_text(f, member->name, sizeof member->name);
        member->rank = fill_u32(f, 0, LIMIT_MEMBERS - 1);
        member->live = fill_bool(f);
        member->clock = fill_number(f, 0, LIMIT_CLOCK);
        member->seen_ms = fill_number(f, 0, UINT64_MAX);
        member->lease_ms = fill_u32(f, 0, LIMIT_WAIT_MS);
        member->pushes = fill_number(f, 0, UINT64_MAX);
        member->staleness_sum = fill_number(f, 0, UINT64_MAX);
        member->staleness_max = fill_number(f, 0, UINT64_MAX);
        member->interval_us = fill_number(f, 0, UINT64_MAX);
    }
    m->members_are.more = fill_bool(f);
}

static inline void fill_staleness(struct filling *f, union any_message *m) {
    m->staleness.tensor = fill_number(f, 0, UINT64_MAX);
    m->staleness.tag = fill_number(f, 0, UINT64_MAX);
}

static inline void fill_staleness_is(struct filling *f, union any_message *m) {
    m->staleness_is.pushes = fill_number(f, 0, UINT64_MAX);
    m->staleness_is.sum = fill_number(f, 0, UINT64_MAX);
    m->staleness_is.max = fill_number(f, 0, UINT64_MAX);
    for (size_t i = 0; i < STALENESS_BUCKETS; i++) {
        m->staleness_is.counts[i] = fill_number(f, 0, UINT64_MAX);
    }
}

static inline void fill_statistics(struct filling *f, union any_message *m) {
    uint64_t counters[sizeof m->statistics / sizeof(uint64_t)];
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        counters[i] = fill_number(f, 0, UINT64_MAX);
    }
    memcpy(&m->statistics, counters, sizeof counters);
}

static inline void fill_optimizer_request(struct filling *f, union any_message *m) {
    m->optimizer_request.index = fill_u32(f, 0, UINT32_MAX);
    fill_text(f, m->optimizer_request.name, sizeof m->optimizer_request.name);
}

static inline void fill_optimizer(struct filling *f, union any_message *m) {
    m->optimizer.index = fill_u32(f, 0, UINT32_MAX);
    m->optimizer.total = fill_u32(f, 0, LIMIT_OPTIMIZERS);
    fill_text(f, m->optimizer.name, sizeof m->optimizer.name);
    fill_text(f, m->optimizer.summary, sizeof m->optimizer.summary);
    fill_text(f, m->optimizer.source, sizeof m->optimizer.source);
    m->optimizer.slot_count = fill_u32(f, 0, LIMIT_SLOTS);
    for (uint32_t i = 0; i < m->optimizer.slot_count; i++) {
        fill_text(f, m->optimizer.slots[i], sizeof m->optimizer.slots[i]);
    }
    m->optimizer.hyperparameter_count = fill_u32(f, 0, LIMIT_HYPERPARAMETERS);
    for (uint32_t i = 0; i < m->optimizer.hyperparameter_count; i++) {
        struct message_hyperparameter *hyperparameter = &m->optimizer.hyperparameters[i];
        fill_text(f, hyperparameter->name, sizeof hyperparameter->name);
        hyperparameter->fallback = fill_double(f);
        hyperparameter->low = fill_bool(f) ? -HUGE_VAL : fill_double(f);
        hyperparameter->high = fill_bool(f) ? HUGE_VAL : fill_double(f);
        hyperparameter->low_open = fill_bool(f);
        hyperparameter->high_open = fill_bool(f);
        fill_text(f, hyperparameter->meaning, sizeof hyperparameter->meaning);
    }
    m->optimizer.rows_only = fill_bool(f);
    m->optimizer.scalar_count = fill_u32(f, 0, LIMIT_SCALARS);
    for (uint32_t i = 0; i < m->optimizer.scalar_count; i++) {
        fill_text(f, m->optimizer.scalars[i], sizeof m->optimizer.scalars[i]);
    }
}

/* message, member of the union */
#define EACH_MESSAGE(X)                                                                                                \
    X(hello, hello)                                                                                                    \
    X(welcome, welcome)                                                                                                \
    X(error, error)                                                                                                    \
    X(create, create)                                                                                                  \
    X(created, created)                                                                                                \
    X(open, open)                                                                                                      \
    X(opened, info)                                                                                                    \
    X(define, info)                                                                                                    \
    X(tensor, tensor)                                                                                                  \
    X(set, set)                                                                                                        \
    X(list, list)                                                                                                      \
    X(listed, listed)                                                                                                  \
    X(pieces, pieces)                                                                                                  \
    X(piece_results, piece_results)                                                                                    \
    X(join, join)                                                                                                      \
    X(joined, joined)                                                                                                  \
    X(barrier, barrier)                                                                                                \
    X(statistics, statistics)                                                                                          \
    X(optimizer_request, optimizer_request)                                                                            \
    X(optimizer, optimizer)                                                                                            \
    X(rows, rows)                                                                                                      \
    X(rows_done, rows_done)                                                                                            \
    X(table_query, table_query)                                                                                        \
    X(table_totals, table_totals)                                                                                      \
    X(row_query, row_query)                                                                                            \
    X(row_page, row_page)                                                                                              \
    X(enter, enter)                                                                                                    \
    X(entered, entered)                                                                                                \
    X(clock, clock)                                                                                                    \
    X(clocked, clocked)                                                                                                \
    X(consistency, consistency)                                                                                        \
    X(consistency_is, consistency_is)                                                                                  \
    X(members, members)                                                                                                \
    X(members_are, members_are)                                                                                        \
    X(staleness, staleness)                                                                                            \
    X(staleness_is, staleness_is)

#define DEFINE_KIND(kind, member)                                                                                      \
    static inline size_t pack_##kind(const union any_message *m, uint8_t *bytes) {                                     \
        return message_pack_##kind(&m->member, bytes);                                                                 \
    }                                                                                                                  \
    static inline enum canyon_status unpack_##kind(const uint8_t *bytes, size_t count, union any_message *m,           \
                                                   struct error *error) {                                              \
        return message_unpack_##kind(bytes, count, &m->member, error);                                                 \
    }
EACH_MESSAGE(DEFINE_KIND)

struct message_kind {
    const char *name;
    void (*fill)(struct filling *filling, union any_message *message);
    size_t (*pack)(const union any_message *message, uint8_t *bytes);
    enum canyon_status (*unpack)(const uint8_t *bytes, size_t count, union any_message *message, struct error *error);
};

#define KIND_ROW(kind, member) {#kind, fill_##kind, pack_##kind, unpack_##kind},
static const struct message_kind message_kinds[] = {EACH_MESSAGE(KIND_ROW)};
#define MESSAGE_KINDS (sizeof message_kinds / sizeof message_kinds[0])

#endif
