/* The messages of clocks and modes: enter, clock, consistency, members, staleness. */
#include <assert.h>
#include <string.h>

#include "common/message_codec.h"

size_t message_pack_enter(const struct message_enter *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Enter wire = CANYON__ENTER__INIT;
    wire.rank = message->rank;
    wire.clock = message->clock;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_enter(const uint8_t *bytes, size_t count, struct message_enter *message,
                                        struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Enter *wire = message_unpack(&unpacking, "ENTER", &canyon__enter__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->rank = (uint32_t)message_take_number(&unpacking, "rank", wire->rank, 0, LIMIT_MEMBERS);
    message->clock = message_take_number(&unpacking, "clock", wire->clock, 0, LIMIT_CLOCK);
    return unpacking.status;
}

size_t message_pack_entered(const struct message_entered *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Entered wire = CANYON__ENTERED__INIT;
    wire.rank = message->rank;
    wire.clock = message->clock;
    wire.lease_ms = message->lease_ms;
    wire.workers = message->workers;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_entered(const uint8_t *bytes, size_t count, struct message_entered *message,
                                          struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Entered *wire =
        message_unpack(&unpacking, "ENTERED", &canyon__entered__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->rank = (uint32_t)message_take_number(&unpacking, "rank", wire->rank, 0, LIMIT_MEMBERS - 1);
    message->clock = message_take_number(&unpacking, "clock", wire->clock, 0, LIMIT_CLOCK);
    message->lease_ms = (uint32_t)message_take_number(&unpacking, "lease_ms", wire->lease_ms, 0, LIMIT_WAIT_MS);
    message->workers = wire->workers;
    return unpacking.status;
}

size_t message_pack_clock(const struct message_clock *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Clock wire = CANYON__CLOCK__INIT;
    wire.clock = message->clock;
    wire.rank = message->rank;
    wire.leave = message->leave;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_clock(const uint8_t *bytes, size_t count, struct message_clock *message,
                                        struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Clock *wire = message_unpack(&unpacking, "CLOCK", &canyon__clock__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->clock = message_take_number(&unpacking, "clock", wire->clock, 0, LIMIT_CLOCK);
    message->rank = (uint32_t)message_take_number(&unpacking, "rank", wire->rank, 0, LIMIT_MEMBERS);
    message->leave = wire->leave != 0;
    return unpacking.status;
}

size_t message_pack_clocked(const struct message_clocked *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Clocked wire = CANYON__CLOCKED__INIT;
    wire.clock = message->clock;
    wire.lowest = message->lowest;
    wire.rank = message->rank;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_clocked(const uint8_t *bytes, size_t count, struct message_clocked *message,
                                          struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Clocked *wire =
        message_unpack(&unpacking, "CLOCKED", &canyon__clocked__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->clock = message_take_number(&unpacking, "clock", wire->clock, 0, LIMIT_CLOCK);
    message->lowest = message_take_number(&unpacking, "lowest", wire->lowest, 0, LIMIT_CLOCK);
    message->rank = (uint32_t)message_take_number(&unpacking, "rank", wire->rank, 0, LIMIT_MEMBERS - 1);
    return unpacking.status;
}

/* ---- modes ---- */

static Canyon__Mode *give_mode(const struct consistency *from, Canyon__Mode *to) {
    canyon__mode__init(to);
    to->mode = (uint32_t)from->mode;
    to->staleness = from->staleness;
    to->combine = (uint32_t)from->combine;
    to->order = (uint32_t)from->order;
    to->minimum = from->minimum;
    return to;
}

/* What is left out is asynchronous. */
static void take_mode(struct message_unpacking *unpacking, const Canyon__Mode *from, struct consistency *to) {
    *to = (struct consistency){.mode = CONSISTENCY_ASYNC};
    if (from == NULL) {
        return;
    }
    to->mode = (enum consistency_mode)message_take_number(unpacking, "mode", from->mode, 0, CONSISTENCY_SYNC);
    to->staleness =
        (uint32_t)message_take_number(unpacking, "staleness", from->staleness, 0, CONSISTENCY_STALENESS_HIGH);
    to->combine =
        (enum consistency_combine)message_take_number(unpacking, "combine", from->combine, 0, CONSISTENCY_SUM);
    to->order = (enum consistency_order)message_take_number(unpacking, "order", from->order, 0, CONSISTENCY_RANK);
    to->minimum = (uint32_t)message_take_number(unpacking, "minimum", from->minimum, 0, LIMIT_MEMBERS);
}

size_t message_pack_consistency(const struct message_consistency *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Consistency wire = CANYON__CONSISTENCY__INIT;
    Canyon__Mode mode;
    wire.set = message->set;
    wire.mode = give_mode(&message->mode, &mode);
    wire.from = message->from;
    wire.highest = message->highest;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_consistency(const uint8_t *bytes, size_t count, struct message_consistency *message,
                                              struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Consistency *wire =
        message_unpack(&unpacking, "CONSISTENCY", &canyon__consistency__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->set = wire->set != 0;
    take_mode(&unpacking, wire->mode, &message->mode);
    message->from = message_take_number(&unpacking, "from", wire->from, 0, LIMIT_CLOCK);
    message->highest = message_take_number(&unpacking, "highest", wire->highest, 0, LIMIT_CLOCK);
    return unpacking.status;
}

size_t message_pack_consistency_is(const struct message_consistency_is *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__ConsistencyIs wire = CANYON__CONSISTENCY_IS__INIT;
    Canyon__Mode now, next;
    wire.set = message->set;
    wire.now = give_mode(&message->now, &now);
    wire.next = give_mode(&message->next, &next);
    wire.from = message->from;
    wire.highest = message->highest;
    wire.open = message->open;
    wire.workers = message->workers;
    wire.lease_ms = message->lease_ms;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_consistency_is(const uint8_t *bytes, size_t count,
                                                 struct message_consistency_is *message, struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__ConsistencyIs *wire =
        message_unpack(&unpacking, "CONSISTENCY_IS", &canyon__consistency_is__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->set = wire->set != 0;
    take_mode(&unpacking, wire->now, &message->now);
    take_mode(&unpacking, wire->next, &message->next);
    message->from = message_take_number(&unpacking, "from", wire->from, 0, LIMIT_CLOCK);
    message->highest = message_take_number(&unpacking, "highest", wire->highest, 0, LIMIT_CLOCK);
    message->open = message_take_number(&unpacking, "open", wire->open, 0, LIMIT_CLOCK + 1);
    message->workers = wire->workers;
    message->lease_ms = (uint32_t)message_take_number(&unpacking, "lease_ms", wire->lease_ms, 0, LIMIT_WAIT_MS);
    return unpacking.status;
}

/* ---- workers ---- */

size_t message_pack_members(const struct message_members *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Members wire = CANYON__MEMBERS__INIT;
    wire.after = message->after;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_members(const uint8_t *bytes, size_t count, struct message_members *message,
                                          struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Members *wire =
        message_unpack(&unpacking, "MEMBERS", &canyon__members__descriptor, bytes, count, error);
    if (wire != NULL) {
        message->after = wire->after;
    }
    return unpacking.status;
}

static void give_member(const struct message_member *from, Canyon__Member *to) {
    canyon__member__init(to);
    to->serial = from->serial;
    to->tag = from->tag;
    to->name = message_give_text(from->name);
    to->rank = from->rank;
    to->live = from->live;
    to->clock = from->clock;
    to->seen_ms = from->seen_ms;
    to->lease_ms = from->lease_ms;
    to->pushes = from->pushes;
    to->staleness_sum = from->staleness_sum;
    to->staleness_max = from->staleness_max;
    to->interval_us = from->interval_us;
}

static void take_member(struct message_unpacking *unpacking, const Canyon__Member *from, struct message_member *to) {
    to->serial = from->serial;
    to->tag = from->tag;
    message_take_text(unpacking, "members.name", from->name, to->name, sizeof to->name);
    to->rank = (uint32_t)message_take_number(unpacking, "members.rank", from->rank, 0, LIMIT_MEMBERS - 1);
    to->live = from->live != 0;
    to->clock = message_take_number(unpacking, "members.clock", from->clock, 0, LIMIT_CLOCK);
    to->seen_ms = from->seen_ms;
    to->lease_ms = (uint32_t)message_take_number(unpacking, "members.lease_ms", from->lease_ms, 0, LIMIT_WAIT_MS);
    to->pushes = from->pushes;
    to->staleness_sum = from->staleness_sum;
    to->staleness_max = from->staleness_max;
    to->interval_us = from->interval_us;
}

size_t message_pack_members_are(const struct message_members_are *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    assert(message->count <= MESSAGE_MEMBERS_PAGE);
    Canyon__MembersAre wire = CANYON__MEMBERS_ARE__INIT;
    Canyon__Member members[MESSAGE_MEMBERS_PAGE];
    Canyon__Member *list[MESSAGE_MEMBERS_PAGE];
    for (uint32_t i = 0; i < message->count; i++) {
        give_member(&message->members[i], &members[i]);
        list[i] = &members[i];
    }
    wire.n_members = message->count;
    wire.members = list;
    wire.more = message->more;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_members_are(const uint8_t *bytes, size_t count, struct message_members_are *message,
                                              struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__MembersAre *wire =
        message_unpack(&unpacking, "MEMBERS_ARE", &canyon__members_are__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->count = message_take_count(&unpacking, "members", wire->n_members, MESSAGE_MEMBERS_PAGE);
    for (uint32_t i = 0; i < message->count; i++) {
        take_member(&unpacking, wire->members[i], &message->members[i]);
    }
    message->more = wire->more != 0;
    return unpacking.status;
}

/* ---- staleness ---- */

size_t message_pack_staleness(const struct message_staleness *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__Staleness wire = CANYON__STALENESS__INIT;
    wire.tensor = message->tensor;
    wire.tag = message->tag;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_staleness(const uint8_t *bytes, size_t count, struct message_staleness *message,
                                            struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__Staleness *wire =
        message_unpack(&unpacking, "STALENESS", &canyon__staleness__descriptor, bytes, count, error);
    if (wire != NULL) {
        message->tensor = wire->tensor;
        message->tag = wire->tag;
    }
    return unpacking.status;
}

size_t message_pack_staleness_is(const struct staleness *message, uint8_t bytes[LIMIT_MESSAGE_BYTES]) {
    Canyon__StalenessIs wire = CANYON__STALENESS_IS__INIT;
    uint64_t counts[STALENESS_BUCKETS];
    size_t used = STALENESS_BUCKETS;
    while (used > 0 && message->counts[used - 1] == 0) {
        used--;
    }
    memcpy(counts, message->counts, sizeof counts);
    wire.pushes = message->pushes;
    wire.sum = message->sum;
    wire.max = message->max;
    wire.n_counts = used;
    wire.counts = counts;
    return message_pack(&wire.base, bytes);
}

enum canyon_status message_unpack_staleness_is(const uint8_t *bytes, size_t count, struct staleness *message,
                                               struct error *error) {
    struct message_unpacking unpacking;
    memset(message, 0, sizeof *message);
    const Canyon__StalenessIs *wire =
        message_unpack(&unpacking, "STALENESS_IS", &canyon__staleness_is__descriptor, bytes, count, error);
    if (wire == NULL) {
        return unpacking.status;
    }
    message->pushes = wire->pushes;
    message->sum = wire->sum;
    message->max = wire->max;
    uint32_t used = message_take_count(&unpacking, "counts", wire->n_counts, STALENESS_BUCKETS);
    for (uint32_t i = 0; i < used; i++) {
        message->counts[i] = wire->counts[i];
    }
    return unpacking.status;
}
