/* The text of the last failure: per thread, and only of failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "client/error.h"
#include "client/include/canyon.h"

static void *other_thread(void *user) {
    int *fine = user;
    *fine = strcmp(canyon_error_text(), "") == 0;
    last_error_format(CANYON_BUSY, "the other thread");
    *fine = *fine && strcmp(canyon_error_text(), "the other thread") == 0;
    return NULL;
}

static void test_text_is_of_this_thread(void **state) {
    (void)state;
    pthread_t thread;
    int fine = 0;
    assert_int_equal(last_error_format(CANYON_NOT_FOUND, "no %s", "w"), CANYON_NOT_FOUND);
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &fine), 0);
    pthread_join(thread, NULL);
    assert_true(fine);
    assert_string_equal(canyon_error_text(), "no w");
}

static void test_success_keeps_the_last_failure(void **state) {
    (void)state;
    struct error error = {.status = CANYON_OK, .text = "stale"};
    last_error_format(CANYON_NOT_FOUND, "a failure");
    assert_int_equal(last_error_set(&error), CANYON_OK);
    assert_string_equal(canyon_error_text(), "a failure");
}

static void test_long_texts_are_cut(void **state) {
    (void)state;
    char text[2 * ERROR_TEXT_BYTES];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    last_error_format(CANYON_INTERNAL, "%s", text);
    assert_int_equal(strlen(canyon_error_text()), ERROR_TEXT_BYTES - 1);
}

static void test_names_and_version(void **state) {
    (void)state;
    assert_string_equal(canyon_status_name(CANYON_STATE_LOST), "STATE_LOST");
    assert_string_equal(canyon_status_name((enum canyon_status)9999), "UNKNOWN_STATUS");
    assert_true(strlen(canyon_version()) >= 5);
}

/* Calls with NULL or uninitialised structs say so instead of crashing. */
static void test_nonsense_is_an_error_with_a_text(void **state) {
    (void)state;
    struct canyon_options options;
    struct canyon_tensor_spec spec;
    canyon_client *client = NULL;
    canyon_tensor *tensor = NULL;
    canyon_future *future = NULL;
    memset(&options, 0, sizeof options);
    assert_int_equal(canyon_connect(NULL, &client), CANYON_INVALID_ARGUMENT);
    assert_int_equal(canyon_connect(&options, &client), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(canyon_error_text(), "canyon_options_init"));
    canyon_options_init(&options);
    assert_int_equal(canyon_connect(&options, &client), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(canyon_error_text(), "servers"));
    options.servers = "no port here";
    assert_int_equal(canyon_connect(&options, &client), CANYON_INVALID_ARGUMENT);
    options.size = sizeof options + 1;
    assert_int_equal(canyon_connect(&options, &client), CANYON_UNSUPPORTED);
    canyon_tensor_spec_init(&spec);
    assert_int_equal(canyon_tensor_create(NULL, &spec, 0, &tensor), CANYON_INVALID_ARGUMENT);
    assert_int_equal(canyon_push(NULL, NULL, 0), CANYON_INVALID_ARGUMENT);
    assert_int_equal(canyon_step_async(NULL, NULL, 0, 0, &future), CANYON_INVALID_ARGUMENT);
    assert_int_equal(canyon_future_wait(NULL, 0), CANYON_INVALID_ARGUMENT);
    assert_int_equal(canyon_future_done(NULL), 0);
    canyon_close(NULL);
    canyon_tensor_close(NULL);
    canyon_future_release(NULL);
    canyon_free(NULL);
}

/* A program built with an older header has a shorter struct: nothing behind it is touched, and it is accepted. */
static void test_options_of_an_older_header(void **state) {
    (void)state;
    struct canyon_options options;
    canyon_client *client = NULL;
    size_t size = offsetof(struct canyon_options, window_bytes);
    memset(&options, 0xa5, sizeof options);
    canyon_options_init_sized(&options, size);
    assert_int_equal(options.size, size);
    assert_int_equal(options.timeout_ms, 10000);
    for (size_t i = size; i < sizeof options; i++)
        assert_int_equal(((const unsigned char *)&options)[i], 0xa5);
    options.servers = "no port here";
    assert_int_equal(canyon_connect(&options, &client), CANYON_INVALID_ARGUMENT);
    assert_non_null(strstr(canyon_error_text(), "options.servers"));
}

static void test_optimizer_text_goes_into_the_spec(void **state) {
    (void)state;
    struct canyon_tensor_spec spec;
    canyon_tensor_spec_init(&spec);
    assert_int_equal(spec.size, sizeof spec);
    assert_string_equal(spec.optimizer, "sgd");
    assert_int_equal(canyon_tensor_spec_optimizer(&spec, "adam:lr=0.5,beta1=0.25"), CANYON_OK);
    assert_string_equal(spec.optimizer, "adam");
    assert_int_equal(spec.setting_count, 2);
    assert_string_equal(spec.settings[1].name, "beta1");
    assert_true(spec.settings[1].value == 0.25);
    assert_int_equal(canyon_tensor_spec_optimizer(&spec, "adam:lr=abc"), CANYON_INVALID_ARGUMENT);
    assert_string_equal(spec.optimizer, "adam");
    assert_int_equal(spec.setting_count, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_of_this_thread),
        cmocka_unit_test(test_success_keeps_the_last_failure),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_names_and_version),
        cmocka_unit_test(test_nonsense_is_an_error_with_a_text),
        cmocka_unit_test(test_options_of_an_older_header),
        cmocka_unit_test(test_optimizer_text_goes_into_the_spec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
