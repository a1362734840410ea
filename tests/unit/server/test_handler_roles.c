/* What each role may send: a table over all types of frames there are, so that a new one without a role fails here; and
 * what the patterns of a key's line let it touch. */
#include "tests/unit/server/keyed.h"

#include "server/handler_state.h"

#define BLOCK 1024

static int setup(void **state) {
    struct bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    bench_init(bench, 1, 1, 4, BLOCK);
    *state = bench;
    return 0;
}

static int teardown(void **state) {
    bench_finish(*state);
    free(*state);
    return 0;
}

/* ---- the table ---- */

/* The design's table, written out by hand: the least role that may send a type without limits, and what a lesser one
 * is told of it. `limits` is the least role that may send it with limits. */
static const struct {
    unsigned type;
    enum role limits, full;
} table[] = {
    {FRAME_OPEN, ROLE_READER, ROLE_READER},       {FRAME_PULL, ROLE_READER, ROLE_READER},
    {FRAME_LIST, ROLE_READER, ROLE_READER},       {FRAME_STATISTICS, ROLE_READER, ROLE_READER},
    {FRAME_DIGEST, ROLE_READER, ROLE_READER},     {FRAME_OPTIMIZER, ROLE_READER, ROLE_READER},
    {FRAME_CREATE, ROLE_WORKER, ROLE_WORKER},     {FRAME_DEFINE, ROLE_READER, ROLE_WORKER},
    {FRAME_COMPLETE, ROLE_WORKER, ROLE_WORKER},   {FRAME_PUSH, ROLE_WORKER, ROLE_WORKER},
    {FRAME_PUSH_PULL, ROLE_WORKER, ROLE_WORKER},  {FRAME_JOIN, ROLE_WORKER, ROLE_WORKER},
    {FRAME_BARRIER, ROLE_WORKER, ROLE_WORKER},    {FRAME_ASSIGN, ROLE_WORKER, ROLE_ADMIN},
    {FRAME_SET, ROLE_ADMIN, ROLE_ADMIN},          {FRAME_ADJUST, ROLE_READER, ROLE_ADMIN},
    {FRAME_DROP, ROLE_WORKER, ROLE_ADMIN},        {FRAME_UNDEFINE, ROLE_WORKER, ROLE_ADMIN},
    {FRAME_DROPPED, ROLE_WORKER, ROLE_ADMIN},     {FRAME_TABLE_PULL, ROLE_READER, ROLE_WORKER},
    {FRAME_TABLE_INFO, ROLE_READER, ROLE_READER}, {FRAME_TABLE_ROWS, ROLE_READER, ROLE_READER},
    {FRAME_TABLE_PUSH, ROLE_WORKER, ROLE_WORKER}, {FRAME_TABLE_PUSH_PULL, ROLE_WORKER, ROLE_WORKER},
    {FRAME_TABLE_ERASE, ROLE_ADMIN, ROLE_ADMIN},  {FRAME_RESUME, ROLE_READER, ROLE_READER},
    {FRAME_LEAVE, ROLE_READER, ROLE_READER},      {FRAME_ENTER, ROLE_WORKER, ROLE_WORKER},
    {FRAME_CLOCK, ROLE_WORKER, ROLE_WORKER},      {FRAME_CONSISTENCY, ROLE_READER, ROLE_ADMIN},
    {FRAME_MEMBERS, ROLE_READER, ROLE_READER},    {FRAME_STALENESS, ROLE_READER, ROLE_READER},
};

/* Requests have even numbers, HELLO apart; nothing else may be in the table, and all of them must. */
static void every_request_has_a_role(void **state) {
    (void)state;
    for (unsigned type = 0; type <= FRAME_LAST + 2; type++) {
        bool request = type % 2 == 0 && type > FRAME_HELLO && type <= FRAME_LAST;
        size_t i = 0;
        while (i < sizeof table / sizeof table[0] && table[i].type != type) {
            i++;
        }
        bool listed = i < sizeof table / sizeof table[0];
        if (request != listed) {
            fail_msg("%s (%u) %s", frame_type_name(type), type, request ? "has no role here" : "is no request");
        }
        assert_int_equal(role_least(type), listed ? table[i].limits : ROLE_NONE);
        assert_int_equal(role_full(type), listed ? table[i].full : ROLE_NONE);
    }
}

/* Sends an empty message of every type: one that is let through is refused for its contents, or answered; one that is
 * not is DENIED and says which role it takes and which the key has. */
static void every_type_is_judged_for_every_role(void **state) {
    static const char *const names[] = {"reader", "worker", "admin"};
    struct bench *bench = *state;
    for (unsigned role = ROLE_READER; role <= ROLE_ADMIN; role++) {
        struct keyed keyed;
        come(&keyed, bench, role, names[role - 1], (uint8_t)role, "");
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            struct client *client = &keyed.client;
            client_ask(client, table[i].type, NULL, 0, NULL, 0);
            struct reply *reply = client->first;
            if (reply == NULL) {
                fail_msg("no answer to %s of a %s", frame_type_name(table[i].type), names[role - 1]);
                return;
            }
            struct error error = {.status = CANYON_OK, .text = ""};
            if (reply->header.type == FRAME_ERROR) {
                (void)message_unpack_error(reply->message, reply->header.message_bytes, &error, NULL);
            }
            reply_free(client_take(client, client->requests, reply->header.type));
            if ((error.status == CANYON_DENIED) != (role < table[i].limits)) {
                fail_msg("%s of a %s: %s", frame_type_name(table[i].type), names[role - 1], error.text);
            }
            if (error.status == CANYON_DENIED) {
                char expected[160];
                snprintf(expected, sizeof expected, "%s needs the role %s; this client's key (%s) has the role %s",
                         frame_type_name(table[i].type), role_name(table[i].full), names[role - 1], names[role - 1]);
                assert_string_equal(error.text, expected);
            }
        }
        go(&keyed);
    }
}

/* Without a role nothing goes at all: a peer that somebody forgot to give one. */
static void nobody_may_do_nothing(void **state) {
    struct bench *bench = *state;
    struct client client;
    client_come(&client, bench->handlers[0], 1, "nobody");
    client.peer.role = ROLE_NONE;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        client_fails(&client, client_ask(&client, table[i].type, NULL, 0, NULL, 0), CANYON_DENIED, "needs the role");
    }
    client_go(&client);
}

/* ---- limits: one's own creation ---- */

static struct tensor_info create(struct client *client, const char *name) {
    struct tensor_spec spec = fixture_spec(name, BLOCK, "sgd");
    struct message_created created = take_created(client, ask_create(client, &spec, 0));
    assert_true(created.creator);
    client_succeeds(client, ask_define(client, &created.tensor), FRAME_DEFINED);
    return created.tensor;
}

static void complete(struct client *client, struct tensor_info *tensor) {
    client_succeeds(client, ask_tensor(client, FRAME_COMPLETE, tensor->id, tensor->spec.name), FRAME_COMPLETED);
    tensor->state = TENSOR_COMPLETE;
}

static void assign(struct client *client, uint64_t tensor, enum canyon_status status) {
    static const float values[BLOCK] = {1};
    struct reply *reply =
        client_take(client, ask_piece(client, FRAME_ASSIGN, tensor, 0, BLOCK, 0, values), FRAME_ASSIGNED);
    struct message_piece_results results = results_of(reply);
    assert_int_equal(results.results[0].status, status);
    if (status == CANYON_DENIED) {
        assert_non_null(strstr(results.text, "ASSIGN of tensor 'w' needs the role admin"));
    }
    reply_free(reply);
}

static void a_worker_fills_what_it_creates_and_nothing_else(void **state) {
    struct bench *bench = *state;
    struct keyed creator, other, admin;
    come(&creator, bench, 1, "worker", 1, "");
    come(&other, bench, 2, "worker", 2, "");
    come(&admin, bench, 3, "admin", 3, "");
    struct tensor_info tensor = create(&creator.client, "w");
    assign(&creator.client, tensor.id, CANYON_OK);
    assign(&other.client, tensor.id, CANYON_DENIED);
    /* Saying that one defines it does not make it one's own while its creator is here. */
    client_succeeds(&other.client, ask_define(&other.client, &tensor), FRAME_DEFINED);
    assign(&other.client, tensor.id, CANYON_DENIED);
    complete(&creator.client, &tensor);
    assign(&other.client, tensor.id, CANYON_DENIED);
    assign(&admin.client, tensor.id, CANYON_OK);
    go(&admin);
    go(&other);
    go(&creator);
}

static void who_takes_over_a_creation_may_fill_it(void **state) {
    struct bench *bench = *state;
    struct keyed creator, heir;
    come(&creator, bench, 1, "worker", 1, "");
    come(&heir, bench, 2, "worker", 2, "");
    (void)create(&creator.client, "w");
    go(&creator);
    struct tensor_info tensor = create(&heir.client, "w");
    assign(&heir.client, tensor.id, CANYON_OK);
    go(&heir);
}

static void a_worker_takes_back_what_it_is_creating_and_nothing_else(void **state) {
    struct bench *bench = *state;
    struct keyed creator, other;
    come(&creator, bench, 1, "worker", 1, "");
    come(&other, bench, 2, "worker", 2, "");
    struct client *own = &creator.client, *foreign = &other.client;
    struct tensor_info tensor = create(own, "w"), done = create(own, "done");
    complete(own, &done);
    static const unsigned types[] = {FRAME_DROP, FRAME_UNDEFINE, FRAME_DROPPED};
    for (size_t i = 0; i < 3; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s of tensor 'w' needs the role admin", frame_type_name(types[i]));
        client_fails(foreign, ask_tensor(foreign, types[i], tensor.id, "w"), CANYON_DENIED, text);
    }
    client_fails(own, ask_tensor(own, FRAME_DROP, done.id, "done"), CANYON_DENIED, "DROP of tensor 'done'");
    client_succeeds(own, ask_tensor(own, FRAME_DROP, tensor.id, "w"), FRAME_DROPPING);
    client_fails(foreign, ask_tensor(foreign, FRAME_UNDEFINE, tensor.id, "w"), CANYON_DENIED, "admin");
    client_fails(foreign, ask_tensor(foreign, FRAME_DROPPED, tensor.id, "w"), CANYON_DENIED, "admin");
    client_succeeds(own, ask_tensor(own, FRAME_UNDEFINE, tensor.id, "w"), FRAME_UNDEFINED);
    client_succeeds(own, ask_tensor(own, FRAME_DROPPED, tensor.id, "w"), FRAME_DROP_DONE);
    /* The name is free; and what is nowhere may be undefined by anybody, which keeps nobody from defining it. */
    struct tensor_spec spec = fixture_spec("w", BLOCK, "sgd");
    struct message_created again = take_created(foreign, ask_create(foreign, &spec, 0));
    client_succeeds(own, ask_tensor(own, FRAME_UNDEFINE, again.tensor.id, "w"), FRAME_UNDEFINED);
    client_succeeds(foreign, ask_define(foreign, &again.tensor), FRAME_DEFINED);
    go(&other);
    go(&creator);
}

/* What a worker does to learn whether a tensor that it did not create has become its own. */
static void is_not_its_own(struct client *client, const struct tensor_info *tensor) {
    struct tensor_info claimed = *tensor;
    claimed.state = TENSOR_CREATING;
    client_succeeds(client, ask_define(client, &claimed), FRAME_DEFINED);
    assign(client, tensor->id, CANYON_DENIED);
    client_fails(client, ask_tensor(client, FRAME_UNDEFINE, tensor->id, "w"), CANYON_DENIED,
                 "UNDEFINE of tensor 'w' needs the role admin");
}

/* A tensor of one block, on a thread that has not got the catalogue. */
static struct tensor_info define_apart(struct client *client) {
    struct tensor_info tensor = {.id = 77, .state = TENSOR_CREATING, .spec = fixture_spec("w", BLOCK, "sgd")};
    assert_int_equal(shard_canonical_spec(&tensor.spec, NULL), CANYON_OK);
    client_succeeds(client, ask_define(client, &tensor), FRAME_DEFINED);
    return tensor;
}

/* When the creator has gone, a DEFINE in state creating makes the next worker the one who creates, but not once the
 * tensor is complete, as far as the thread can know, and not when an admin began. */
static void nobody_takes_over_what_is_complete(void **state) {
    enum { OPENED, TRAINED, AN_ADMINS, WAYS };
    static const float values[BLOCK] = {1};
    struct bench *bench = *state, two;
    struct keyed creator, other;
    come(&creator, bench, 1, "worker", 1, "");
    come(&other, bench, 2, "worker", 2, "");
    struct tensor_info tensor = create(&creator.client, "w");
    complete(&creator.client, &tensor);
    go(&creator);
    is_not_its_own(&other.client, &tensor);
    go(&other);
    for (int way = 0; way < WAYS; way++) {
        bench_init(&two, 1, 2, 4, BLOCK);
        /* The thread that has the one block of "w" must not be that of shard 0. */
        uint32_t home = job_thread_of(&two.job, job_shard_of(&two.job, job_home("w"), 0), 2);
        assert_int_equal(home, 1);
        come_to(&creator, two.handlers[home], 1, way == AN_ADMINS ? "admin" : "worker", 1, "");
        come_to(&other, two.handlers[home], 2, "worker", 2, "");
        tensor = define_apart(&creator.client);
        struct tensor_info opened = tensor;
        opened.state = TENSOR_COMPLETE;
        if (way == OPENED) {
            client_succeeds(&other.client, ask_define(&other.client, &opened), FRAME_DEFINED);
        } else if (way == TRAINED) {
            uint64_t request = ask_piece(&other.client, FRAME_PUSH, tensor.id, 0, BLOCK, 0, values);
            struct reply *reply = client_take(&other.client, request, FRAME_PUSHED);
            assert_int_equal(results_of(reply).results[0].status, CANYON_OK);
            reply_free(reply);
        }
        go(&creator);
        is_not_its_own(&other.client, &tensor);
        go(&other);
        bench_finish(&two);
    }
}

/* Who has become a reader while it waited to create creates nothing. */
static void a_changed_line_holds_for_who_waits(void **state) {
    struct bench *bench = *state;
    struct keyed creator, less, elsewhere, heir;
    come(&creator, bench, 1, "worker", 1, "");
    come(&less, bench, 2, "worker", 2, "");
    come(&elsewhere, bench, 3, "worker", 3, "");
    come(&heir, bench, 4, "worker", 4, "");
    (void)create(&creator.client, "w");
    struct tensor_spec spec = fixture_spec("w", BLOCK, "sgd");
    uint64_t first = ask_create(&less.client, &spec, 1000), second = ask_create(&elsewhere.client, &spec, 1000),
             third = ask_create(&heir.client, &spec, 1000);
    line_of(&less, "reader", "less", 2, "");
    line_of(&elsewhere, "worker", "elsewhere", 3, "tensors=x");
    go(&creator);
    client_fails(&less.client, first, CANYON_DENIED, "CREATE needs the role worker; this client's key (less)");
    client_fails(&elsewhere.client, second, CANYON_DENIED, "may not touch tensor 'w'");
    assert_true(take_created(&heir.client, third).creator);
    go(&heir);
    go(&elsewhere);
    go(&less);
}

/* Opening is: OPEN, then DEFINE and ADJUST of what is complete, which ask whether all is there. */
static void a_reader_opens_what_is_complete_and_changes_nothing(void **state) {
    struct bench *bench = *state;
    struct keyed admin, reader;
    struct bench_digests before, after;
    come(&admin, bench, 1, "admin", 1, "");
    come(&reader, bench, 2, "reader", 2, "");
    struct client *client = &reader.client;
    struct tensor_info tensor = create(&admin.client, "w");
    client_fails(client, ask_define(client, &tensor), CANYON_DENIED, "DEFINE of tensor 'w' needs the role worker");
    complete(&admin.client, &tensor);
    memset(&before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    client_digests(&admin.client, &before);
    struct tensor_info opened = take_opened(client, ask_open(client, "w", 0));
    client_succeeds(client, ask_define(client, &opened), FRAME_DEFINED);
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    opened.epoch = 7;
    opened.spec.optimizer.settings[0].value = 0.5;
    uint64_t request = client_ask(client, FRAME_ADJUST, bytes, message_pack_define(&opened, bytes), NULL, 0);
    client_succeeds(client, request, FRAME_ADJUSTED);
    client_digests(&admin.client, &after);
    assert_memory_equal(&before, &after, sizeof before);
    go(&reader);
    go(&admin);
}

/* ---- patterns ---- */

static void a_key_touches_what_its_patterns_name(void **state) {
    struct bench *bench = *state;
    struct keyed admin, worker;
    static const float values[BLOCK] = {1};
    come(&admin, bench, 1, "admin", 1, "");
    come(&worker, bench, 2, "admin", 2, "tensors=mine,layer*");
    struct client *client = &worker.client;
    struct tensor_info other = create(&admin.client, "other"), mine = create(&admin.client, "mine");
    complete(&admin.client, &other);
    complete(&admin.client, &mine);
    struct tensor_spec spec = fixture_spec("else", BLOCK, "sgd");
    const char *text = "may not touch tensor 'other': its line in the allow-list";
    client_fails(client, ask_create(client, &spec, 0), CANYON_DENIED, "may not touch tensor 'else'");
    client_fails(client, ask_open(client, "other", 0), CANYON_DENIED, text);
    client_fails(client, ask_open(client, "nowhere", 0), CANYON_DENIED, "may not touch tensor 'nowhere'");
    client_fails(client, ask_define(client, &other), CANYON_DENIED, text);
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
    size_t count = message_pack_define(&other, bytes);
    client_fails(client, client_ask(client, FRAME_ADJUST, bytes, count, NULL, 0), CANYON_DENIED, text);
    struct message_set set = {.id = other.id, .count = 1, .settings = {{.name = "lr", .value = 1}}};
    count = message_pack_set(&set, bytes);
    client_fails(client, client_ask(client, FRAME_SET, bytes, count, NULL, 0), CANYON_DENIED, text);
    /* By id, with a name that it may touch. */
    static const unsigned types[] = {FRAME_COMPLETE, FRAME_DROP, FRAME_UNDEFINE, FRAME_DROPPED};
    for (size_t i = 0; i < 4; i++) {
        client_fails(client, ask_tensor(client, types[i], other.id, "mine"), CANYON_DENIED, text);
    }
    static const unsigned movers[] = {FRAME_PULL, FRAME_PUSH, FRAME_PUSH_PULL, FRAME_ASSIGN};
    for (size_t i = 0; i < 4; i++) {
        struct reply *reply =
            client_take(client, ask_piece(client, movers[i], other.id, 0, BLOCK, 0, values), movers[i] + 1);
        struct message_piece_results results = results_of(reply);
        assert_int_equal(results.results[0].status, CANYON_DENIED);
        assert_non_null(strstr(results.text, text));
        assert_int_equal(reply->header.payload_bytes, 0);
        reply_free(reply);
        reply = client_take(client, ask_piece(client, movers[i], mine.id, 0, BLOCK, 0, values), movers[i] + 1);
        assert_int_equal(results_of(reply).results[0].status, CANYON_OK);
        reply_free(reply);
    }
    struct tensor_info layer = create(client, "layer/7");
    complete(client, &layer);
    assert_int_equal(take_opened(client, ask_open(client, "mine", 0)).id, mine.id);
    /* Others are not listed either. */
    struct message_list list = {.after = ""};
    struct message_listed listed;
    uint64_t request = client_ask(client, FRAME_LIST, bytes, message_pack_list(&list, bytes), NULL, 0);
    struct reply *reply = client_take(client, request, FRAME_LISTED);
    assert_int_equal(message_unpack_listed(reply->message, reply->header.message_bytes, &listed, NULL), CANYON_OK);
    assert_int_equal(listed.count, 2);
    assert_string_equal(listed.tensors[0].spec.name, "layer/7");
    assert_string_equal(listed.tensors[1].spec.name, "mine");
    assert_false(listed.more);
    reply_free(reply);
    go(&worker);
    go(&admin);
}

/* Another list: the same connection may do other things from its next request on. */
static void a_changed_line_holds_from_the_next_request_on(void **state) {
    struct bench *bench = *state;
    struct keyed keyed;
    come(&keyed, bench, 1, "worker", 1, "");
    struct client *client = &keyed.client;
    struct tensor_info tensor = create(client, "w");
    complete(client, &tensor);
    line_of(&keyed, "reader", "less", 1, "");
    client_fails(client, ask_join(client), CANYON_DENIED, "key (less) has the role reader");
    line_of(&keyed, "admin", "more", 1, "");
    client_succeeds(client, ask_tensor(client, FRAME_DROP, tensor.id, "w"), FRAME_DROPPING);
    line_of(&keyed, "admin", "elsewhere", 1, "tensors=x");
    client_fails(client, ask_tensor(client, FRAME_UNDEFINE, tensor.id, "w"), CANYON_DENIED, "elsewhere");
    go(&keyed);
}

/* ---- sessions ---- */

static void a_session_under_another_key_is_refused(void **state) {
    struct bench *bench = *state;
    struct keyed first, thief;
    struct error error;
    come(&first, bench, 5, "worker", 1, "");
    memset(&thief, 0, sizeof thief);
    thief.client.peer.send = client_send;
    fixture_session(thief.client.peer.session, 5);
    line_of(&thief, "admin", "thief", 2, "");
    assert_int_equal(handler_peer_came(bench->handlers[0], &thief.client.peer, &error), CANYON_DENIED);
    assert_non_null(strstr(error.text, "another key"));
    go(&first);
    assert_int_equal(handler_peer_came(bench->handlers[0], &thief.client.peer, &error), CANYON_DENIED);
    come(&first, bench, 5, "worker", 1, "");
    go(&first);
    allow_release(thief.allow);
}

/* What readers are refused has numbers, and takes room that workers want: a key of theirs has little of it. */
static void a_readers_refusals_take_little_room(void **state) {
    struct bench *bench = *state;
    struct keyed admin, reader, worker;
    static const float values[BLOCK] = {1};
    come(&admin, bench, 1, "admin", 1, "");
    struct tensor_info tensor = create(&admin.client, "w");
    complete(&admin.client, &tensor);
    const struct message_pieces push = {.count = 1, .pieces = {{.tensor = tensor.id, .elements = BLOCK, .number = 1}}};
    for (unsigned i = 0; i < 64; i++) {
        come(&reader, bench, 100 + i, "reader", 2, "");
        client_fails(&reader.client, ask_pieces(&reader.client, FRAME_PUSH, &push, values, BLOCK), CANYON_DENIED,
                     "PUSH needs the role worker");
        go(&reader);
    }
    come(&reader, bench, 99, "reader", 2, "");
    (void)ask_pieces(&reader.client, FRAME_PUSH, &push, values, BLOCK);
    client_fails(&reader.client, 0, CANYON_BUSY, "64 sessions of this key");
    assert_int_equal(sessions_numbered(bench->handlers[0]->sessions), 64);
    for (unsigned i = 0; i < 65; i++) {
        come(&worker, bench, 200 + i, "worker", 3, "");
        client_succeeds(&worker.client, ask_pieces(&worker.client, FRAME_PUSH, &push, values, BLOCK), FRAME_PUSHED);
        go(&worker);
    }
    go(&reader);
    go(&admin);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_request_has_a_role),
        TEST(every_type_is_judged_for_every_role),
        TEST(nobody_may_do_nothing),
        TEST(a_worker_fills_what_it_creates_and_nothing_else),
        TEST(who_takes_over_a_creation_may_fill_it),
        TEST(a_worker_takes_back_what_it_is_creating_and_nothing_else),
        TEST(nobody_takes_over_what_is_complete),
        TEST(a_changed_line_holds_for_who_waits),
        TEST(a_reader_opens_what_is_complete_and_changes_nothing),
        TEST(a_readers_refusals_take_little_room),
        TEST(a_key_touches_what_its_patterns_name),
        TEST(a_changed_line_holds_from_the_next_request_on),
        TEST(a_session_under_another_key_is_refused),
    };
    optimizer_start();
    assert_int_equal(random_start(NULL), CANYON_OK);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
