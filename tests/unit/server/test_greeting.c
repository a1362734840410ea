/* The greeting: what a HELLO must be, and the answer to everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/random.h"
#include "server/greeting.h"

struct setting_up {
    struct job job;
    struct greeting greeting;
    uint8_t frame[FRAME_HEADER_BYTES + LIMIT_MESSAGE_BYTES];
    size_t count;
    struct greeting_answer answer;
    struct message_hello hello;
    struct error error;
};

static const uint8_t boot[BOOT_BYTES] = {1, 2, 3};

static int start(void **state) {
    struct setting_up *here = calloc(1, sizeof *here);
    assert_non_null(here);
    assert_int_equal(random_start(NULL), CANYON_OK);
    job_init(&here->job);
    strcpy(here->job.name, "digits");
    here->job.shards = 8;
    here->job.block = 1024;
    assert_int_equal(job_set_servers(&here->job, "10.0.0.5:1,10.0.0.6:2", 21, ',', NULL), CANYON_OK);
    greeting_init(&here->greeting, &here->job, 1, 3, boot);
    *state = here;
    return 0;
}

static int stop(void **state) {
    struct setting_up *here = *state;
    greeting_answer_finish(&here->answer);
    job_finish(&here->job);
    free(here);
    return 0;
}

static void make_frame(struct setting_up *here, unsigned type, const struct message_hello *hello) {
    struct frame_header header = {.type = (uint16_t)type, .request = 77};
    header.message_bytes = (uint32_t)message_pack_hello(hello, here->frame + FRAME_HEADER_BYTES);
    frame_header_encode(&header, here->frame);
    here->count = FRAME_HEADER_BYTES + header.message_bytes;
}

static enum greeting_verdict judge(struct setting_up *here) {
    struct frame_header header;
    enum greeting_verdict verdict =
        greeting_header(here->frame, FRAME_HEADER_BYTES, &header, &here->answer, &here->error);
    if (verdict != GREETING_GOOD) {
        return verdict;
    }
    assert_int_equal(FRAME_HEADER_BYTES + header.message_bytes, here->count);
    return greeting_message(&here->greeting, &header, here->frame + FRAME_HEADER_BYTES, &here->hello, &here->answer,
                            &here->error);
}

/* The answer is one whole ERROR frame to `request`, with this code. */
static void assert_refused(struct setting_up *here, uint64_t request, enum canyon_status status, const char *part) {
    struct frame_header header;
    struct error told;
    assert_non_null(here->answer.bytes);
    assert_true(here->answer.count >= FRAME_HEADER_BYTES);
    assert_int_equal(frame_header_decode(here->answer.bytes, 0, &header, NULL), CANYON_OK);
    assert_int_equal(header.type, FRAME_ERROR);
    assert_int_equal(header.request, request);
    assert_int_equal(here->answer.count, FRAME_HEADER_BYTES + header.message_bytes);
    assert_int_equal(message_unpack_error(here->answer.bytes + FRAME_HEADER_BYTES, header.message_bytes, &told, NULL),
                     CANYON_OK);
    assert_int_equal(told.status, status);
    assert_string_equal(told.text, here->error.text);
    if (strstr(told.text, part) == NULL) {
        fail_msg("\"%s\" does not contain \"%s\"", told.text, part);
    }
}

static const struct message_hello good = {.protocol = GREETING_PROTOCOL, .thread = 2, .session = {9}, .name = "w0"};

static void test_good_hello_is_welcomed(void **state) {
    struct setting_up *here = *state;
    struct frame_header header;
    struct message_welcome welcome;
    struct error error;
    static const char list[] = "10.0.0.5:1\n10.0.0.6:2";
    make_frame(here, FRAME_HELLO, &good);
    assert_int_equal(judge(here), GREETING_GOOD);
    assert_string_equal(here->hello.name, "w0");
    assert_int_equal(here->hello.session[0], 9);
    assert_int_equal(frame_header_decode(here->answer.bytes, 4096, &header, &error), CANYON_OK);
    assert_int_equal(header.type, FRAME_WELCOME);
    assert_int_equal(header.request, 77);
    const uint8_t *message = here->answer.bytes + FRAME_HEADER_BYTES;
    assert_int_equal(message_unpack_welcome(message, header.message_bytes, &welcome, &error), CANYON_OK);
    assert_int_equal(welcome.protocol, 1);
    assert_int_equal(welcome.thread, 2);
    assert_int_equal(welcome.threads, 3);
    assert_int_equal(welcome.shards, 8);
    assert_int_equal(welcome.block, 1024);
    assert_int_equal(welcome.server, 1);
    assert_string_equal(welcome.job, "digits");
    assert_string_equal(welcome.version, CANYON_VERSION_TEXT);
    assert_memory_equal(welcome.boot, boot, BOOT_BYTES);
    uint8_t digest[JOB_DIGEST_BYTES];
    job_digest(&here->job, digest);
    assert_memory_equal(welcome.digest, digest, JOB_DIGEST_BYTES);
    assert_int_equal(header.payload_bytes, sizeof list - 1);
    assert_memory_equal(message + header.message_bytes, list, sizeof list - 1);
    assert_int_equal(here->answer.count, FRAME_HEADER_BYTES + header.message_bytes + header.payload_bytes);
}

static void test_digest_of_the_job_is_checked(void **state) {
    struct setting_up *here = *state;
    struct message_hello hello = good;
    hello.has_digest = true;
    job_digest(&here->job, hello.digest);
    make_frame(here, FRAME_HELLO, &hello);
    assert_int_equal(judge(here), GREETING_GOOD);
    greeting_answer_finish(&here->answer);
    hello.digest[31] ^= 1;
    make_frame(here, FRAME_HELLO, &hello);
    assert_int_equal(judge(here), GREETING_REFUSED);
    assert_refused(here, 77, CANYON_CONFIGURATION, "server 10.0.0.6:2 is configured differently");
    assert_refused(here, 77, CANYON_CONFIGURATION, "job=digits shards=8 block=1024 servers=10.0.0.5:1,10.0.0.6:2");
}

static void test_thread_must_exist(void **state) {
    struct setting_up *here = *state;
    struct message_hello hello = good;
    hello.thread = 3;
    make_frame(here, FRAME_HELLO, &hello);
    assert_int_equal(judge(here), GREETING_REFUSED);
    assert_refused(here, 77, CANYON_INVALID_ARGUMENT, "thread 3");
    assert_refused(here, 77, CANYON_INVALID_ARGUMENT, "has 3");
}

static void test_protocol_must_be_ours(void **state) {
    struct setting_up *here = *state;
    struct message_hello hello = good;
    hello.protocol = 9;
    make_frame(here, FRAME_HELLO, &hello);
    assert_int_equal(judge(here), GREETING_REFUSED);
    assert_refused(here, 77, CANYON_UNSUPPORTED, "protocol 9, this server protocol 1");
}

static void test_another_version_is_refused_after_its_prefix(void **state) {
    struct setting_up *here = *state;
    struct frame_header header;
    make_frame(here, FRAME_HELLO, &good);
    here->frame[4] = 2;
    for (size_t have = 0; have < 8; ++have) {
        assert_int_equal(greeting_header(here->frame, have, &header, &here->answer, &here->error), GREETING_NEEDS_MORE);
    }
    assert_int_equal(greeting_header(here->frame, 8, &header, &here->answer, &here->error), GREETING_REFUSED);
    assert_refused(here, 0, CANYON_UNSUPPORTED, "2");
}

static void test_first_frame_must_be_hello(void **state) {
    struct setting_up *here = *state;
    make_frame(here, FRAME_PULL, &good);
    assert_int_equal(judge(here), GREETING_REFUSED);
    assert_refused(here, 0, CANYON_PROTOCOL, "PULL");
}

static void test_garbage(void **state) {
    struct setting_up *here = *state;
    struct frame_header header;
    const uint8_t *web = (const uint8_t *)"GET / HTTP/1.1\r\n\r\n";
    assert_int_equal(greeting_header(web, 8, &header, &here->answer, &here->error), GREETING_REFUSED);
    assert_refused(here, 0, CANYON_PROTOCOL, "");
}

static void test_lengths(void **state) {
    struct setting_up *here = *state;
    struct frame_header header = {.type = FRAME_HELLO, .message_bytes = LIMIT_MESSAGE_BYTES + 1, .request = 5};
    frame_header_encode(&header, here->frame);
    assert_int_equal(judge(here), GREETING_REFUSED);
    assert_refused(here, 0, CANYON_TOO_LARGE, "4097");
    greeting_answer_finish(&here->answer);
    header = (struct frame_header){.type = FRAME_HELLO, .payload_bytes = 1, .request = 6};
    frame_header_encode(&header, here->frame);
    assert_int_equal(judge(here), GREETING_REFUSED);
    assert_refused(here, 0, CANYON_PROTOCOL, "1 bytes");
}

static void test_malformed_message(void **state) {
    struct setting_up *here = *state;
    make_frame(here, FRAME_HELLO, &good);
    memset(here->frame + FRAME_HEADER_BYTES, 0xff, here->count - FRAME_HEADER_BYTES);
    assert_int_equal(judge(here), GREETING_REFUSED);
    assert_refused(here, 77, CANYON_PROTOCOL, "");
}

static void test_long_list_is_cut_in_the_text(void **state) {
    struct setting_up *here = *state;
    struct message_hello hello = good;
    char list[4000] = "10.0.0.5:1,10.0.0.6:2";
    for (int i = 0; i < 100; ++i) {
        char one[32];
        snprintf(one, sizeof one, ",10.0.1.%d:7077", i);
        strcat(list, one);
    }
    assert_int_equal(job_set_servers(&here->job, list, strlen(list), ',', NULL), CANYON_OK);
    hello.has_digest = true;
    make_frame(here, FRAME_HELLO, &hello);
    assert_int_equal(judge(here), GREETING_REFUSED);
    assert_refused(here, 77, CANYON_CONFIGURATION, "servers=10.0.0.5:1,10.0.0.6:2,");
    assert_refused(here, 77, CANYON_CONFIGURATION, "...");
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH(test_good_hello_is_welcomed),
        EACH(test_digest_of_the_job_is_checked),
        EACH(test_thread_must_exist),
        EACH(test_protocol_must_be_ours),
        EACH(test_another_version_is_refused_after_its_prefix),
        EACH(test_first_frame_must_be_hello),
        EACH(test_garbage),
        EACH(test_lengths),
        EACH(test_malformed_message),
        EACH(test_long_list_is_cut_in_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
