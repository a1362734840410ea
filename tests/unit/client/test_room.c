/* The memory that steps copy and encode into: after the first ones nothing is allocated, and little is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/client.h"

static struct canyon_client *client;

static int setup(void **state) {
    (void)state;
    client = calloc(1, sizeof *client);
    assert_non_null(client);
    assert_int_equal(pthread_mutex_init(&client->lock, NULL), 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (size_t i = 0; i < CLIENT_SPARES; i++)
        free(client->spares[i].values);
    pthread_mutex_destroy(&client->lock);
    free(client);
    return 0;
}

static struct client_room take(uint64_t elements) {
    struct client_room room = {.values = NULL};
    assert_true(client_take_room(client, elements, &room));
    assert_true(room.elements >= elements);
    for (uint64_t i = 0; i < elements; i++)
        room.values[i] = 1.0f;
    return room;
}

static size_t spares(void) {
    size_t count = 0;
    for (size_t i = 0; i < CLIENT_SPARES; i++)
        count += client->spares[i].values != NULL;
    return count;
}

/* Steps under way at once, as layers are, find the same rooms again whatever order they end in. */
static void the_same_rooms_serve_again(void **state) {
    static const uint64_t sizes[] = {1000, 10, 100000, 500};
    struct client_room rooms[4];
    float *first[4];
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        rooms[i] = take(sizes[i]);
        first[i] = rooms[i].values;
    }
    for (size_t round = 0; round < 20; round++) {
        for (size_t i = 0; i < 4; i++)
            client_give_room(client, &rooms[(i + round) % 4]);
        assert_int_equal(spares(), 4);
        for (size_t i = 0; i < 4; i++) {
            size_t which = (i * 3 + round) % 4;
            rooms[which] = take(sizes[which]);
            assert_ptr_equal(rooms[which].values, first[which]);
        }
        assert_int_equal(spares(), 0);
    }
    for (size_t i = 0; i < 4; i++)
        client_give_room(client, &rooms[i]);
}

/* A room that is too small is replaced, not kept beside a larger one. */
static void a_growing_step_keeps_one_room(void **state) {
    (void)state;
    for (uint64_t size = 1; size < 5000; size *= 3) {
        struct client_room room = take(size);
        client_give_room(client, &room);
        assert_null(room.values);
        assert_int_equal(spares(), 1);
    }
}

static void only_so_many_are_kept(void **state) {
    struct client_room rooms[CLIENT_SPARES + 5], none = {.values = NULL};
    (void)state;
    for (size_t i = 0; i < CLIENT_SPARES + 5; i++)
        rooms[i] = take(10 + i);
    for (size_t i = 0; i < CLIENT_SPARES + 5; i++)
        client_give_room(client, &rooms[i]);
    assert_int_equal(spares(), CLIENT_SPARES);
    for (size_t i = 0; i < CLIENT_SPARES; i++)
        assert_true(client->spares[i].elements >= 15); /* the largest ones */
    client_give_room(client, &none);
    assert_int_equal(spares(), CLIENT_SPARES);
}

/* A room that says it is large, without the memory. */
static struct client_room pretend(uint64_t elements) {
    struct client_room room = {.values = malloc(sizeof(float)), .elements = elements};
    assert_non_null(room.values);
    return room;
}

static uint64_t kept(void) {
    uint64_t words = 0;
    for (size_t i = 0; i < CLIENT_SPARES; i++)
        words += client->spares[i].elements;
    return words;
}

/* 1 GiB together: of what is too much the largest ones stay, and what is more than that by itself goes at once. */
static void only_so_much_is_kept(void **state) {
    static const struct {
        uint64_t given, kept;
        size_t spares;
    } steps[] = {{100, 100, 1},
                 {50, 150, 2},
                 {150, 300, 3},
                 {CLIENT_SPARE_WORDS + 1, 300, 3},
                 {CLIENT_SPARE_WORDS - 250, CLIENT_SPARE_WORDS, 3},
                 {200, CLIENT_SPARE_WORDS - 50, 2},
                 {20, CLIENT_SPARE_WORDS - 30, 3},
                 {CLIENT_SPARE_WORDS, CLIENT_SPARE_WORDS, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct client_room room = pretend(steps[i].given);
        client_give_room(client, &room);
        assert_null(room.values);
        assert_int_equal(kept(), steps[i].kept);
        assert_int_equal(spares(), steps[i].spares);
    }
}

static void what_cannot_be_had_is_said(void **state) {
    struct client_room room;
    (void)state;
    assert_false(client_take_room(client, UINT64_MAX / 2, &room));
    client_give_room(client, &room);
    assert_true(client_take_room(client, 0, &room));
    client_give_room(client, &room);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_same_rooms_serve_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_growing_step_keeps_one_room, setup, teardown),
        cmocka_unit_test_setup_teardown(only_so_many_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(only_so_much_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_had_is_said, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
