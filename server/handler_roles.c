/* Roles and patterns: what a key may do. */
#include "server/handler_state.h"

#include <stdio.h>

/* `least` may send it; below `full` only within limits, which the request's own file judges. Whoever creates a tensor
 * may fill it and, when that fails, take it back; whoever opens one may ask whether its parts are there. */
static const struct permission {
    enum role least, full;
} permissions[FRAME_LAST + 1] = {
    [FRAME_OPEN] = {ROLE_READER, ROLE_READER},
    [FRAME_PULL] = {ROLE_READER, ROLE_READER},
    [FRAME_LIST] = {ROLE_READER, ROLE_READER},
    [FRAME_STATISTICS] = {ROLE_READER, ROLE_READER},
    [FRAME_DIGEST] = {ROLE_READER, ROLE_READER},
    [FRAME_OPTIMIZER] = {ROLE_READER, ROLE_READER},
    [FRAME_DEFINE] = {ROLE_READER, ROLE_WORKER}, /* of a complete tensor: are its parts there? */
    [FRAME_ADJUST] = {ROLE_READER, ROLE_ADMIN},  /* likewise; nothing is adjusted */
    [FRAME_CREATE] = {ROLE_WORKER, ROLE_WORKER},
    [FRAME_COMPLETE] = {ROLE_WORKER, ROLE_WORKER},
    [FRAME_PUSH] = {ROLE_WORKER, ROLE_WORKER},
    [FRAME_PUSH_PULL] = {ROLE_WORKER, ROLE_WORKER},
    [FRAME_JOIN] = {ROLE_WORKER, ROLE_WORKER},
    [FRAME_BARRIER] = {ROLE_WORKER, ROLE_WORKER},
    [FRAME_ASSIGN] = {ROLE_WORKER, ROLE_ADMIN},   /* what its session created */
    [FRAME_DROP] = {ROLE_WORKER, ROLE_ADMIN},     /* what its session is creating */
    [FRAME_UNDEFINE] = {ROLE_WORKER, ROLE_ADMIN}, /* likewise */
    [FRAME_DROPPED] = {ROLE_WORKER, ROLE_ADMIN},  /* likewise */
    [FRAME_SET] = {ROLE_ADMIN, ROLE_ADMIN},
    [FRAME_TABLE_PULL] = {ROLE_READER, ROLE_WORKER}, /* without making rows */
    [FRAME_TABLE_INFO] = {ROLE_READER, ROLE_READER},
    [FRAME_TABLE_ROWS] = {ROLE_READER, ROLE_READER},
    [FRAME_TABLE_PUSH] = {ROLE_WORKER, ROLE_WORKER},
    [FRAME_TABLE_PUSH_PULL] = {ROLE_WORKER, ROLE_WORKER},
    [FRAME_TABLE_ERASE] = {ROLE_ADMIN, ROLE_ADMIN},
    [FRAME_RESUME] = {ROLE_READER, ROLE_READER}, /* what it was refused has numbers, too */
    [FRAME_LEAVE] = {ROLE_READER, ROLE_READER},
    [FRAME_ENTER] = {ROLE_WORKER, ROLE_WORKER},
    [FRAME_CLOCK] = {ROLE_WORKER, ROLE_WORKER},
    [FRAME_CONSISTENCY] = {ROLE_READER, ROLE_ADMIN}, /* without setting anything */
    [FRAME_MEMBERS] = {ROLE_READER, ROLE_READER},
    [FRAME_STALENESS] = {ROLE_READER, ROLE_READER},
};

enum role role_least(unsigned type) {
    return type <= FRAME_LAST ? permissions[type].least : ROLE_NONE;
}

enum role role_full(unsigned type) {
    return type <= FRAME_LAST ? permissions[type].full : ROLE_NONE;
}

static const char *key_name(const struct handler_peer *peer) {
    return peer->entry != NULL ? peer->entry->name : "-";
}

static enum canyon_status refuse(const struct request *request, const char *what, enum role needed,
                                 struct error *error) {
    return error_set(error, CANYON_DENIED, "%.160s needs the role %s; this client's key (%.60s) has the role %s", what,
                     role_name(needed), key_name(request->peer), role_name(request->peer->role));
}

enum canyon_status role_check(struct request *request, unsigned type, struct error *error) {
    enum role least = role_least(type), role = request->peer->role;
    if (least == ROLE_NONE) {
        return error_set(error, CANYON_INTERNAL, "nobody may send %s: no role is noted for it", frame_type_name(type));
    }
    if (role < least) {
        return refuse(request, frame_type_name(type), role_full(type), error);
    }
    request->limited = role < role_full(type);
    return CANYON_OK;
}

enum canyon_status role_refuse(const struct request *request, unsigned type, const char *name, struct error *error) {
    char what[LIMIT_NAME_BYTES + 48];
    snprintf(what, sizeof what, "%s of tensor '%s'", frame_type_name(type), name);
    return refuse(request, what, role_full(type), error);
}

enum canyon_status role_refuse_mode(const struct request *request, struct error *error) {
    return refuse(request, "setting the consistency mode", ROLE_ADMIN, error);
}

enum canyon_status role_check_tensor(const struct request *request, const char *name, struct error *error) {
    const struct allow_entry *entry = request->peer->entry;
    if (entry == NULL || allow_tensor(entry, name)) {
        return CANYON_OK;
    }
    return error_set(error, CANYON_DENIED,
                     "this client's key (%.60s) may not touch tensor '%.100s': its line in the allow-list names others "
                     "(tensors=)",
                     entry->name, name);
}
