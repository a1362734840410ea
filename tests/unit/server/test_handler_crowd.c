/* What a crowd of requests costs: work must grow with what there is to do, not with its square. */
#include "tests/unit/server/handler_fixture.h"

#include <time.h>

#define TENSORS 20000
#define CLIENTS 200

static struct bench bench;
static struct client creator, waiting[CLIENTS];

static int setup(void **state) {
    (void)state;
    bench_init(&bench, 1, 1, 1, 1024);
    client_come(&creator, bench.handlers[0], 1, "creator");
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_come(&waiting[i], bench.handlers[0], 100 + i, "waiting");
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (waiting[i].waiting > 0) {
            client_succeeds(&waiting[i], 1, FRAME_CREATED); /* the one before it went */
        }
        client_go(&waiting[i]);
    }
    bench_finish(&bench);
    return 0;
}

static struct tensor_spec numbered(unsigned number) {
    char name[16];
    snprintf(name, sizeof name, "t%u", number);
    return fixture_spec(name, 4, "sgd");
}

/* Walking all who wait for every tensor that is left behind takes many times as long as the creating did. */
static void a_creator_of_many_tensors_goes(void **state) {
    (void)state;
    enum { LAST = TENSORS - 1 };
    clock_t start = clock();
    for (unsigned i = 0; i < TENSORS; i++) {
        struct tensor_spec spec = numbered(i);
        assert_true(take_created(&creator, ask_create(&creator, &spec, 0)).creator);
    }
    clock_t creating = clock() - start;
    for (unsigned i = 0; i < CLIENTS; i++) {
        for (unsigned j = 0; j < HANDLER_PARKED_PER_PEER; j++) {
            struct tensor_spec spec = numbered(LAST);
            (void)ask_create(&waiting[i], &spec, 60000);
        }
    }
    start = clock();
    client_go(&creator);
    clock_t going = clock() - start;
    if (going > creating) {
        fail_msg("creating took %ld clocks, going %ld", (long)creating, (long)going);
    }
    /* The first adopted; the others go on waiting. */
    assert_true(take_created(&waiting[0], 1).creator);
    assert_int_equal(waiting[0].waiting, 0);
    assert_int_equal(waiting[1].waiting, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_creator_of_many_tensors_goes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
