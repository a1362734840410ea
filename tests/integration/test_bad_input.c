/* Requests that make no sense, through the API and as raw frames: each gets an error that names the fault (or, where
 * framing is broken, a closed connection), no state changes, and others are not disturbed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/endian.h"
#include "tests/integration/harness.h"
#include "tests/integration/process.h"
#include "tests/integration/raw.h"

#define ELEMENTS 3000 /* three blocks */

static void spec_of(struct canyon_tensor_spec *spec, const char *name) {
    canyon_tensor_spec_init(spec);
    snprintf(spec->name, sizeof spec->name, "%s", name);
    spec->rank = 1;
    spec->dims[0] = ELEMENTS;
}

/* A server with one tensor whose state is not trivial, and its digest. */
struct subject {
    struct cluster *cluster;
    canyon_client *client;
    canyon_tensor *tensor;
    uint8_t digest[CANYON_DIGEST_BYTES];
};

static void subject_start_on(struct subject *subject, bool plaintext) {
    static float gradient[ELEMENTS];
    for (size_t i = 0; i < ELEMENTS; i++)
        gradient[i] = (float)i / 100.0f;
    struct canyon_options options;
    subject->cluster = cluster_start(&(struct cluster_options){.plaintext = plaintext});
    cluster_client(subject->cluster, &options);
    check_ok(canyon_connect(&options, &subject->client));
    subject->tensor = client_vector(subject->client, "subject", ELEMENTS, "adam");
    check_ok(canyon_push(subject->tensor, gradient, PATIENCE_MS));
    client_digest(subject->client, subject->digest);
}

static void subject_start(struct subject *subject) {
    subject_start_on(subject, false);
}

static void check_unchanged(struct subject *subject, const char *after) {
    uint8_t digest[CANYON_DIGEST_BYTES];
    client_digest(subject->client, digest);
    if (memcmp(digest, subject->digest, sizeof digest) != 0)
        check_fail("the state changed after: %s", after);
}

static void subject_stop(struct subject *subject) {
    check_unchanged(subject, "everything");
    canyon_tensor_close(subject->tensor);
    canyon_close(subject->client);
    cluster_stop(subject->cluster);
}

/* ---- Through the API ------------------------------------------------------------------------------------------- */

static void refused_spec(struct subject *subject, const struct canyon_tensor_spec *spec, enum canyon_status expected,
                         const char *part) {
    canyon_tensor *tensor = NULL;
    enum canyon_status status = canyon_tensor_create(subject->client, spec, PATIENCE_MS, &tensor);
    if (status != expected)
        check_fail("%s with %s: %s instead of %s. %s", spec->name, part, canyon_status_name(status),
                   canyon_status_name(expected), status == CANYON_OK ? "" : canyon_error_text());
    check(tensor == NULL);
    check_text(part);
    check_unchanged(subject, canyon_error_text());
}

static void bad_hyperparameters(void **state) {
    (void)state;
    static const struct {
        const char *optimizer, *setting;
        double value;
    } cases[] = {
        {"sgd", "lr", 0},
        {"sgd", "lr", -0.1},
        {"sgd", "lr", (double)NAN},
        {"sgd", "lr", HUGE_VAL},
        {"adam", "lr", -1},
        {"adam", "beta1", 1},
        {"adam", "beta1", -0.1},
        {"adam", "beta2", 1},
        {"adam", "beta2", (double)NAN},
        {"adam", "eps", -1},
        {"adam", "eps", 0},
        {"nadam", "beta1", 1.5},
        {"momentum", "momentum", -1},
        {"nag", "momentum", (double)NAN},
        {"rmsprop", "alpha", -0.5},
        {"adadelta", "rho", 2},
        {"adagrad", "lr", 0},
        {"adagrad", "eps", -1e-10},
        {"sgd", "no_such", 1},
        {"adam", "", 1},
        {"adam", "lr=0.1", 1},
    };
    struct subject subject;
    subject_start(&subject);
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct canyon_tensor_spec spec;
        spec_of(&spec, "bad");
        snprintf(spec.optimizer, sizeof spec.optimizer, "%s", cases[c].optimizer);
        spec.setting_count = 1;
        snprintf(spec.settings[0].name, sizeof spec.settings[0].name, "%s", cases[c].setting);
        spec.settings[0].value = cases[c].value;
        refused_spec(&subject, &spec, CANYON_INVALID_ARGUMENT, cases[c].setting);
    }
    struct canyon_tensor_spec spec;
    spec_of(&spec, "bad");
    snprintf(spec.optimizer, sizeof spec.optimizer, "adamw2");
    refused_spec(&subject, &spec, CANYON_INVALID_ARGUMENT, "adamw2");
    check_status(canyon_tensor_spec_optimizer(&spec, "adam:lr"), CANYON_INVALID_ARGUMENT);
    check_status(canyon_tensor_spec_optimizer(&spec, "adam:lr=abc"), CANYON_INVALID_ARGUMENT);
    check_status(canyon_tensor_spec_optimizer(&spec, ""), CANYON_INVALID_ARGUMENT);
    subject_stop(&subject);
}

static void bad_shapes_and_names(void **state) {
    (void)state;
    static const char *const names[] = {"", "-x", "a b", "a\nb", "\xc3\xa9", "a:b"};
    struct subject subject;
    struct canyon_tensor_spec spec;
    subject_start(&subject);
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        spec_of(&spec, names[n]);
        refused_spec(&subject, &spec, CANYON_INVALID_ARGUMENT, "name");
    }
    spec_of(&spec, "bad");
    memset(spec.name, 'a', sizeof spec.name); /* no NUL */
    canyon_tensor *tensor = NULL;
    check_status(canyon_tensor_create(subject.client, &spec, PATIENCE_MS, &tensor), CANYON_INVALID_ARGUMENT);

    spec_of(&spec, "bad");
    spec.rank = 9;
    refused_spec(&subject, &spec, CANYON_INVALID_ARGUMENT, "9");
    /* Products beyond 64 bits, and beyond the limit on elements. */
    spec.rank = 2;
    spec.dims[0] = 1ull << 32;
    spec.dims[1] = 1ull << 32;
    check(canyon_tensor_create(subject.client, &spec, PATIENCE_MS, &tensor) != CANYON_OK && tensor == NULL);
    spec.rank = 3;
    spec.dims[0] = spec.dims[1] = UINT64_MAX;
    spec.dims[2] = 2;
    check(canyon_tensor_create(subject.client, &spec, PATIENCE_MS, &tensor) != CANYON_OK && tensor == NULL);
    spec.rank = 1;
    spec.dims[0] = (1ull << 40) + 1;
    check(canyon_tensor_create(subject.client, &spec, PATIENCE_MS, &tensor) != CANYON_OK && tensor == NULL);
    check_unchanged(&subject, "shapes that are too large");

    spec_of(&spec, "bad");
    spec.initializer = CANYON_NORMAL;
    spec.b = (double)NAN;
    check_status(canyon_tensor_create(subject.client, &spec, PATIENCE_MS, &tensor), CANYON_INVALID_ARGUMENT);
    spec.initializer = CANYON_VALUES;
    spec.b = 0;
    spec.values = NULL;
    check_status(canyon_tensor_create(subject.client, &spec, PATIENCE_MS, &tensor), CANYON_INVALID_ARGUMENT);
    spec.initializer = (enum canyon_initializer)99;
    check_status(canyon_tensor_create(subject.client, &spec, PATIENCE_MS, &tensor), CANYON_INVALID_ARGUMENT);
    check_unchanged(&subject, "bad initializers");

    /* It exists, with another shape and another optimizer. */
    spec_of(&spec, "subject");
    refused_spec(&subject, &spec, CANYON_MISMATCH, "sgd");
    spec.dims[0] = ELEMENTS + 1;
    check_ok(canyon_tensor_spec_optimizer(&spec, "adam"));
    refused_spec(&subject, &spec, CANYON_MISMATCH, "[3001]");
    subject_stop(&subject);
}

static void null_arguments(void **state) {
    (void)state;
    struct subject subject;
    struct canyon_tensor_spec spec;
    canyon_tensor *tensor = NULL;
    float values[1] = {0};
    subject_start(&subject);
    spec_of(&spec, "bad");
    check_status(canyon_tensor_create(subject.client, NULL, 1000, &tensor), CANYON_INVALID_ARGUMENT);
    check_status(canyon_tensor_create(subject.client, &spec, 1000, NULL), CANYON_INVALID_ARGUMENT);
    check_status(canyon_tensor_create(NULL, &spec, 1000, &tensor), CANYON_INVALID_ARGUMENT);
    spec.size = 3;
    check_status(canyon_tensor_create(subject.client, &spec, 1000, &tensor), CANYON_INVALID_ARGUMENT);
    check_status(canyon_tensor_open(subject.client, NULL, 1000, &tensor), CANYON_INVALID_ARGUMENT);
    check_status(canyon_push(subject.tensor, NULL, 1000), CANYON_INVALID_ARGUMENT);
    check_status(canyon_pull(subject.tensor, NULL, 1000), CANYON_INVALID_ARGUMENT);
    check_status(canyon_pull(NULL, values, 1000), CANYON_INVALID_ARGUMENT);
    check_status(canyon_assign(subject.tensor, NULL, 1000), CANYON_INVALID_ARGUMENT);
    check_status(canyon_step(subject.client, NULL, 1, 1000), CANYON_INVALID_ARGUMENT);
    struct canyon_item item = {.tensor = subject.tensor};
    check_status(canyon_step(subject.client, &item, 1, 1000), CANYON_INVALID_ARGUMENT);
    item.tensor = NULL;
    item.weights = values;
    check_status(canyon_step(subject.client, &item, 1, 1000), CANYON_INVALID_ARGUMENT);
    subject_stop(&subject);
}

/* The block with the NaN is refused and counted; the others are applied. */
static void a_gradient_with_nan(void **state) {
    (void)state;
    static float gradient[ELEMENTS], before[ELEMENTS], weights[ELEMENTS];
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 2});
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    const float poisons[] = {NAN, INFINITY, -INFINITY};
    for (size_t p = 0; p < 3; p++) {
        for (size_t i = 0; i < ELEMENTS; i++)
            gradient[i] = 1.0f;
        gradient[1024 + 500] = poisons[p];
        check_ok(canyon_pull(tensor, before, PATIENCE_MS));
        struct canyon_item item = {.tensor = tensor, .gradient = gradient, .weights = weights};
        check_status(canyon_step(client, &item, 1, PATIENCE_MS), CANYON_NOT_FINITE);
        check(item.refused == 1 && item.refused_block == 1);
        check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
        for (size_t i = 0; i < ELEMENTS; i++)
            check(weights[i] == before[i] - (i / 1024 == 1 ? 0.0f : 1.0f));
    }
    /* All of it: no weight changes. (That the numbers of what was refused are used up is part of the digest.) */
    check_ok(canyon_pull(tensor, before, PATIENCE_MS));
    for (size_t i = 0; i < ELEMENTS; i++)
        gradient[i] = NAN;
    check_status(canyon_push(tensor, gradient, PATIENCE_MS), CANYON_NOT_FINITE);
    check_status(canyon_assign(tensor, gradient, PATIENCE_MS), CANYON_NOT_FINITE);
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    check(memcmp(before, weights, sizeof before) == 0);
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    check_ok(canyon_statistics(client, PATIENCE_MS, &servers, &count));
    check(count == 2 && servers[0].refused + servers[1].refused == 3 + 3 + 3);
    canyon_free(servers);
    canyon_tensor_close(tensor);
    canyon_close(client);
    cluster_stop(cluster);
}

/* ---- Raw frames ------------------------------------------------------------------------------------------------ */

static void send_piece(struct raw *raw, uint16_t type, struct message_piece piece, const void *payload, size_t bytes) {
    static struct message_pieces pieces;
    uint8_t message[LIMIT_MESSAGE_BYTES];
    pieces.count = 1;
    pieces.pieces[0] = piece;
    raw_send(raw, type, message, message_pack_pieces(&pieces, message), payload, bytes);
}

/* The request is refused as a whole by an ERROR, or in its one piece; the connection lives on. */
static void check_refused(struct raw *raw, struct subject *subject, const char *what) {
    static struct message_piece_results results;
    struct frame frame;
    struct error error;
    if (raw_receive(raw, &frame, 0, PATIENCE_MS) != RAW_FRAME)
        check_fail("%s: no answer", what);
    check(frame.header.request == raw->request);
    if (frame.header.type == FRAME_ERROR) {
        struct error said;
        check(message_unpack_error(frame.message, frame.header.message_bytes, &said, &error) == CANYON_OK);
        check(said.status != CANYON_OK && said.status != CANYON_INTERNAL && said.text[0] != '\0');
    } else {
        check(message_unpack_piece_results(frame.message, frame.header.message_bytes, &results, &error) == CANYON_OK);
        if (results.count != 1 || results.results[0].status == CANYON_OK)
            check_fail("%s: was not refused", what);
        check(results.text[0] != '\0' && frame.header.payload_bytes == 0);
    }
    check_unchanged(subject, what);
}

static void pieces_that_do_not_fit(void **state) {
    (void)state;
    static float values[4096];
    struct subject subject;
    struct raw raw;
    subject_start(&subject);
    raw_open(&raw, cluster_servers(subject.cluster), 0, NULL);
    uint64_t id = raw_find(&raw, "subject");
    static const uint16_t types[] = {FRAME_PUSH, FRAME_PUSH_PULL, FRAME_ASSIGN};
    for (size_t t = 0; t < 3; t++) {
        struct message_piece good = {.tensor = id, .block = 0, .elements = 1024}, piece;
        piece = good;
        piece.tensor = id + 1;
        send_piece(&raw, types[t], piece, values, 4096);
        check_refused(&raw, &subject, "an unknown tensor");
        piece = good;
        piece.block = 3;
        send_piece(&raw, types[t], piece, values, 4096);
        check_refused(&raw, &subject, "a block behind the last");
        piece.block = UINT32_MAX;
        send_piece(&raw, types[t], piece, values, 4096);
        check_refused(&raw, &subject, "the largest block number");
        piece = good;
        piece.elements = 1023;
        send_piece(&raw, types[t], piece, values, 4092);
        check_refused(&raw, &subject, "an element too few");
        piece = good;
        piece.block = 2; /* 952 elements */
        send_piece(&raw, types[t], piece, values, 4096);
        check_refused(&raw, &subject, "more elements than the last block has");
        send_piece(&raw, types[t], good, values, 4092);
        check_refused(&raw, &subject, "a payload shorter than its pieces");
        send_piece(&raw, types[t], good, values, 4095);
        check_refused(&raw, &subject, "a payload that is not whole numbers");
        send_piece(&raw, types[t], good, NULL, 0);
        check_refused(&raw, &subject, "no payload");
        piece.elements = UINT32_MAX;
        send_piece(&raw, types[t], piece, values, 4096);
        check_refused(&raw, &subject, "elements whose bytes overflow 32 bits");
        piece.elements = 1u << 30;
        send_piece(&raw, types[t], piece, NULL, 0);
        check_refused(&raw, &subject, "elements whose bytes are 2^32");
        values[17] = NAN;
        send_piece(&raw, types[t], good, values, 4096);
        check_refused(&raw, &subject, "NaN");
        values[17] = 0;
    }
    send_piece(&raw, FRAME_PULL, (struct message_piece){.tensor = id, .block = 9, .elements = 1024}, NULL, 0);
    check_refused(&raw, &subject, "pulling a block that is not there");
    send_piece(&raw, FRAME_PULL, (struct message_piece){.tensor = 0, .block = 0, .elements = 1024}, NULL, 0);
    check_refused(&raw, &subject, "pulling from tensor 0");
    raw_close(&raw);
    subject_stop(&subject);
}

/* Codecs and encodings that make no sense. The subject's blocks have 1,024 elements. */
static void forms_that_are_none(void **state) {
    (void)state;
    static const struct {
        uint16_t type;
        uint32_t codec, reply, kept, slot;
        size_t bytes;
        const char *what;
    } wrong[] = {
        {FRAME_PUSH, 6, 0, 0, 0, 4096, "an unknown codec"},
        {FRAME_PUSH, UINT32_MAX, 0, 0, 0, 4096, "the largest codec number"},
        {FRAME_PULL, 0, 6, 0, 0, 0, "a reply in an unknown codec"},
        {FRAME_ASSIGN, 1, 0, 0, 0, 2048, "values to assign as bf16"},
        {FRAME_PULL, 0, 1, 0, 1, 0, "a slot as bf16"},
        {FRAME_PULL, 0, 5, 0, 0, 0, "weights as topk"},
        {FRAME_PUSH, 0, 3, 0, 0, 4096, "a reply's codec where no weights come back"},
        {FRAME_PUSH, 1, 0, 0, 0, 4096, "float32 that says bf16"},
        {FRAME_PUSH_PULL, 0, 0, 0, 0, 2048, "bf16 that says float32"},
        {FRAME_PUSH, 3, 0, 0, 0, 1084, "int8 without its last scale"},
        {FRAME_PUSH, 5, 0, 1025, 0, 8200, "topk of more than there are"},
        {FRAME_PUSH, 5, 0, UINT32_MAX, 0, 4096, "topk of 2^32 - 1"},
        {FRAME_PUSH, 5, 0, 2, 0, 16, "topk with an index twice"}, /* zero and zero */
        {FRAME_PUSH, 5, 0, 2, 0, 8, "topk without values"},
        {FRAME_PUSH, 2, 0, 7, 0, 2048, "f16 that keeps seven"},
    };
    static const uint8_t zeros[8200];
    struct subject subject;
    struct raw raw;
    subject_start(&subject);
    raw_open(&raw, cluster_servers(subject.cluster), 0, NULL);
    uint64_t id = raw_find(&raw, "subject");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct message_piece piece = {.tensor = id,
                                      .elements = 1024,
                                      .slot = wrong[i].slot,
                                      .codec = wrong[i].codec,
                                      .reply = wrong[i].reply,
                                      .kept = wrong[i].kept};
        send_piece(&raw, wrong[i].type, piece, zeros, wrong[i].bytes);
        check_refused(&raw, &subject, wrong[i].what);
    }
    raw_close(&raw);
    subject_stop(&subject);
}

/* Well-framed nonsense: every type of frame with an empty message, with garbage for one, and with a payload. */
static void nonsense_in_good_frames(void **state) {
    (void)state;
    struct subject subject;
    subject_start(&subject);
    uint8_t garbage[300];
    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = (uint8_t)(i * 37 + 11);
    for (unsigned type = 0; type < 64; type++) {
        for (unsigned shape = 0; shape < 3; shape++) {
            struct raw raw;
            struct frame frame;
            raw_open(&raw, cluster_servers(subject.cluster), 0, NULL);
            raw_send(&raw, (uint16_t)type, garbage, shape == 0 ? 0 : sizeof garbage, garbage, shape == 2 ? 64 : 0);
            /* An answer (an error, or a harmless reply) or the end of the connection; never silence. */
            if (raw_receive(&raw, &frame, 0, PATIENCE_MS) == RAW_SILENCE)
                check_fail("%s (%u) with garbage %u: no answer", frame_type_name(type), type, shape);
            raw_close(&raw);
        }
    }
    struct raw raw;
    raw_open(&raw, cluster_servers(subject.cluster), 0, NULL);
    raw_send(&raw, 999, NULL, 0, NULL, 0);
    char text[ERROR_TEXT_BYTES];
    check(raw_expect_error(&raw, text) == CANYON_UNSUPPORTED || strstr(text, "999"));
    check(strstr(text, "999") != NULL);
    raw_close(&raw);
    subject_stop(&subject);
}

struct broken {
    const char *what;
    size_t at;      /* byte of the header to change */
    uint8_t value;  /* to this */
    uint8_t value2; /* and the next to this */
};

/* Broken framing ends the connection: at once, with an error that can be read, after the hello and, in plaintext,
 * before it. */
static void broken_frames(void **state) {
    const bool plaintext = *state != NULL;
    static const struct broken cases[] = {
        {"a wrong magic", 0, 'X', 'N'},         {"another version", 4, 9, 0},
        {"flags", 5, 0xff, FRAME_LIST},         {"a message above its limit", 9, 0x11, 0},
        {"a message of 4 GiB", 10, 0xff, 0xff}, {"a payload of 4 GiB", 14, 0xff, 0xff},
    };
    struct subject subject;
    subject_start_on(&subject, plaintext);
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        for (unsigned greeted = plaintext ? 0 : 1; greeted < 2; greeted++) {
            struct raw raw;
            if (greeted)
                raw_open(&raw, cluster_servers(subject.cluster), 0, NULL);
            else
                raw_connect(&raw, cluster_servers(subject.cluster), 0);
            uint8_t bytes[FRAME_HEADER_BYTES];
            raw_frame(bytes, FRAME_LIST, 77, NULL, 0, NULL, 0);
            bytes[cases[c].at] = cases[c].value;
            bytes[cases[c].at + 1] = cases[c].value2;
            raw_send_bytes(&raw, bytes, sizeof bytes);
            struct error error = {.status = CANYON_OK};
            if (!raw_ends(&raw, &error, PATIENCE_MS / 2))
                check_fail("%s, %s the hello: the connection goes on", cases[c].what, greeted ? "after" : "before");
            if (cases[c].at == 4 && error.status != CANYON_UNSUPPORTED)
                check_fail("%s, %s the hello: %s: %s", cases[c].what, greeted ? "after" : "before",
                           canyon_status_name(error.status), error.text);
            raw_close(&raw);
            check_unchanged(&subject, cases[c].what);
        }
    }
    subject_stop(&subject);
}

static void bad_hellos(void **state) {
    struct subject subject;
    subject_start_on(&subject, *state != NULL);
    for (unsigned kind = 0; kind < 4; kind++) {
        struct raw raw;
        struct message_hello hello = {.protocol = FRAME_VERSION, .session = {9}, .name = "bad"};
        uint8_t message[LIMIT_MESSAGE_BYTES], frame[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
        enum canyon_status expected = CANYON_UNSUPPORTED;
        if (kind == 0)
            hello.protocol = 7;
        if (kind == 1) {
            hello.thread = 200;
            expected = CANYON_INVALID_ARGUMENT;
        }
        if (kind == 2) {
            hello.has_digest = true;
            expected = CANYON_CONFIGURATION;
        }
        size_t bytes = raw_frame(frame, FRAME_HELLO, 1, message, message_pack_hello(&hello, message), NULL, 0);
        if (kind == 3) { /* no hello at all */
            bytes = raw_frame(frame, FRAME_LIST, 1, NULL, 0, NULL, 0);
            expected = CANYON_PROTOCOL;
        }
        raw_introduce(&raw, cluster_servers(subject.cluster), frame, bytes);
        struct error error = {.status = CANYON_OK};
        check(raw_ends(&raw, &error, PATIENCE_MS / 2));
        if (error.status != expected)
            check_fail("bad hello %u: %s: %s", kind, canyon_status_name(error.status), error.text);
        raw_close(&raw);
    }
    subject_stop(&subject);
}

/* Connections cut at every byte of a push change nothing. */
static void truncated_pushes(void **state) {
    (void)state;
    static float values[1024];
    static uint8_t bytes[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES + sizeof values];
    static struct message_pieces pieces;
    struct subject subject;
    subject_start(&subject);
    struct raw raw;
    raw_open(&raw, cluster_servers(subject.cluster), 0, NULL);
    uint64_t id = raw_find(&raw, "subject");
    raw_close(&raw);
    pieces.count = 1;
    pieces.pieces[0] = (struct message_piece){.tensor = id, .block = 0, .elements = 1024, .version = 1};
    uint8_t message[LIMIT_MESSAGE_BYTES];
    size_t count =
        raw_frame(bytes, FRAME_PUSH, 5, message, message_pack_pieces(&pieces, message), values, sizeof values);
    for (size_t cut = 1; cut < count; cut += cut < 64 ? 1 : 397) {
        raw_open(&raw, cluster_servers(subject.cluster), 0, NULL);
        check(raw_send_bytes(&raw, bytes, cut));
        raw_close(&raw);
    }
    raw_open(&raw, cluster_servers(subject.cluster), 0, NULL);
    check(raw_send_bytes(&raw, bytes, count - 1));
    raw_close(&raw);
    subject_stop(&subject);
}

/* ---- Beside others ---------------------------------------------------------------------------------------------- */

struct shared {
    struct gate ready, done;
};

struct neighbour {
    const char *servers;
    struct shared *shared;
};

#define PUSHES 60

static int push_exactly(void *user) {
    const struct neighbour *neighbour = user;
    float gradient[ELEMENTS];
    canyon_client *client = client_connect(neighbour->servers);
    canyon_tensor *tensor = client_vector(client, "t", ELEMENTS, "sgd:lr=1");
    for (size_t i = 0; i < ELEMENTS; i++)
        gradient[i] = (float)(i % 11);
    gate_arrive(&neighbour->shared->ready);
    for (unsigned p = 0; p < PUSHES; p++) {
        check_ok(canyon_push(tensor, gradient, PATIENCE_MS));
        sleep_ms(5);
    }
    gate_arrive(&neighbour->shared->done);
    canyon_tensor_close(tensor);
    canyon_close(client);
    return 0;
}

/* Random bytes, and good frames with a few bytes changed, from one connection after another; CANYON_SEED replays them.
 */
static void garbage_beside_pushes(void **state) {
    (void)state;
    const char *given = getenv("CANYON_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)getpid() * 1000003u + now_ms();
    print_message("CANYON_SEED=%llu\n", (unsigned long long)seed);
    uint64_t x = seed * 2 + 1;
    struct cluster *cluster = cluster_start(&(struct cluster_options){.servers = 1, .threads = 2});
    struct shared *shared = shared_alloc(sizeof *shared);
    struct neighbour neighbour = {.servers = cluster_servers(cluster), .shared = shared};
    pid_t process = process_start(push_exactly, &neighbour);
    gate_wait(&shared->ready, 1);
    unsigned tries = 0;
    while (atomic_load(&shared->done.arrived) == 0) {
        struct raw raw;
        uint8_t bytes[600];
        size_t count = sizeof bytes;
        for (size_t i = 0; i < sizeof bytes; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            bytes[i] = (uint8_t)(x >> 24);
        }
        if (tries % 2 == 0)
            raw_open(&raw, cluster_servers(cluster), tries % 4 / 2, NULL);
        else
            raw_connect(&raw, cluster_servers(cluster), 0);
        if (tries % 3 != 0) { /* a good header before the garbage */
            struct frame_header header = {
                .type = (uint16_t)(bytes[0] % 40), .message_bytes = bytes[1], .payload_bytes = bytes[2], .request = 1};
            frame_header_encode(&header, bytes);
        }
        raw_send_bytes(&raw, bytes, count);
        raw_close(&raw);
        tries++;
    }
    check(process_wait(process, PATIENCE_MS) == 0);
    check(tries > 20);
    static float weights[ELEMENTS];
    canyon_client *client = client_connect(cluster_servers(cluster));
    canyon_tensor *tensor = NULL;
    check_ok(canyon_tensor_open(client, "t", PATIENCE_MS, &tensor));
    check_ok(canyon_pull(tensor, weights, PATIENCE_MS));
    for (size_t i = 0; i < ELEMENTS; i++)
        check(weights[i] == -(float)(PUSHES * (i % 11)));
    canyon_tensor_close(tensor);
    canyon_close(client);
    shared_free(shared, sizeof *shared);
    cluster_stop(cluster);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        integration_test(bad_hyperparameters),
        integration_test(bad_shapes_and_names),
        integration_test(null_arguments),
        integration_test(a_gradient_with_nan),
        integration_test(pieces_that_do_not_fit),
        integration_test(forms_that_are_none),
        integration_test(nonsense_in_good_frames),
        integration_case("encrypted", broken_frames, NULL),
        integration_case("plaintext", broken_frames, "plaintext"),
        integration_case("encrypted", bad_hellos, NULL),
        integration_case("plaintext", bad_hellos, "plaintext"),
        integration_test(truncated_pushes),
        integration_test(garbage_beside_pushes),
    };
    return cmocka_run_group_tests_name("bad_input", tests, NULL, NULL);
}
