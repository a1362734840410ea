/* A thousand logical workers on two servers, in two processes, verified. */
#include "program.h"

#include <jansson.h>

static void a_thousand_workers_lose_and_double_nothing(void **state) {
    struct program program;
    json_error_t error;
    (void)state;
    /* Four tensors of two blocks each: every server thread has some. */
    program_run(&program, NULL, 0,
                WORDS("load", "--local", "2", "--threads", "2", "--workers", "1000", "--processes", "2", "--tensors",
                      "4", "--size", "8K", "--block", "1024", "--verify", "--duration", "2", "--timeout", "60000",
                      "--json"));
    json_t *object = json_loads(program.said, 0, &error);
    assert_non_null(object);
    assert_true(json_is_true(json_object_get(object, "verified")));
    assert_int_equal(json_integer_value(json_object_get(object, "workers")), 1000);
    assert_int_equal(json_integer_value(json_object_get(object, "servers")), 2);
    assert_int_equal(json_integer_value(json_object_get(object, "wrong_blocks")), 0);
    assert_int_equal(json_integer_value(json_object_get(object, "torn_blocks")), 0);
    assert_true(json_number_value(json_object_get(object, "calls")) > 0);
    json_decref(object);
    program_finish(&program);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_workers_lose_and_double_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
