/* Clients whose keys have lines in an allow-list: a role and what else the line says. */
#ifndef CANYON_TESTS_UNIT_SERVER_KEYED_H
#define CANYON_TESTS_UNIT_SERVER_KEYED_H

#include "tests/unit/server/handler_fixture.h"

/* A client whose key has a line in a list of its own. */
struct keyed {
    struct client client; /* first */
    struct allow *allow;
};

static inline void line_of(struct keyed *keyed, const char *role, const char *name, uint8_t number,
                           const char *options) {
    char line[512], text[KEY_TEXT_BYTES];
    uint8_t key[KEY_BYTES];
    memset(key, number, sizeof key);
    int bytes =
        snprintf(line, sizeof line, "format canyon-allow-1\n%s %s %s %s\n", role, name, key_text(key, text), options);
    allow_release(keyed->allow);
    keyed->client.peer.entry = NULL;
    assert_int_equal(allow_parse(line, (size_t)bytes, &keyed->allow, NULL), CANYON_OK);
    keyed->client.peer.entry = allow_find(keyed->allow, key);
    assert_non_null(keyed->client.peer.entry);
    keyed->client.peer.role = keyed->client.peer.entry->role;
}

/* Comes to a thread with a key of this number, and the role's line. */
static inline void come_to(struct keyed *keyed, struct handler *handler, unsigned session, const char *role,
                           uint8_t number, const char *options) {
    memset(keyed, 0, sizeof *keyed);
    keyed->client.handler = handler;
    keyed->client.end = &keyed->client.first;
    keyed->client.peer.send = client_send;
    fixture_session(keyed->client.peer.session, session);
    line_of(keyed, role, role, number, options);
    assert_int_equal(handler_peer_came(handler, &keyed->client.peer, NULL), CANYON_OK);
}

static inline void come(struct keyed *keyed, struct bench *bench, unsigned session, const char *role, uint8_t number,
                        const char *options) {
    come_to(keyed, bench->handlers[0], session, role, number, options);
}

static inline void go(struct keyed *keyed) {
    client_go(&keyed->client);
    allow_release(keyed->allow);
}

#endif
