/* The command line of canyon-sim load: what it means, and what it must not mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/simulator/load_options.h"
#include "client/simulator/load_words.h"

#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

static enum arguments_verdict parse(struct load_options *options, const char *const *words) {
    static char name[] = "load";
    char *argv[40] = {name};
    int argc = 1;
    for (; words[argc - 1] != NULL; argc++) {
        argv[argc] = (char *)(uintptr_t)words[argc - 1]; /* only read */
    }
    return load_options_parse(options, argc, argv);
}

#define PARSE(options, ...) parse(options, (const char *const[]){__VA_ARGS__, NULL})

static void without_words_it_is_the_one_workload(void **state) {
    struct load_options options;
    (void)state;
    assert_int_equal(parse(&options, (const char *const[]){NULL}), ARGUMENTS_RUN);
    const struct load_plan *plan = &options.plan;
    assert_true(options.canonical && !options.json && !plan->verify);
    assert_int_equal(plan->pace.workers, 4);
    assert_int_equal(plan->pace.in_flight, 1);
    assert_true(plan->pace.rate <= 0.0);
    assert_int_equal(plan->pace.mix[LOAD_PUSH_PULL], 100);
    assert_int_equal(plan->tensors, 4);
    assert_int_equal(plan->elements, 1 << 20);
    assert_int_equal(plan->duration, 8 * SECOND);
    assert_true(plan->warmup == 800 * MS);
    assert_string_equal(plan->optimizer, "adam");
    assert_string_equal(plan->codec, "f32");
    assert_int_equal(options.where.block, 65536);
    assert_true(plan->processes >= 1 && plan->processes <= 4);
    assert_false(plan->table);
}

static void words_mean_what_they_say(void **state) {
    struct load_options options;
    (void)state;
    assert_int_equal(PARSE(&options, "--local", "3", "--threads", "2", "-w", "10", "-p", "3", "--clients", "2", "-k",
                           "5", "--size", "12K", "--mode", "mixed", "--mix", "10/20/70", "-o", "sgd:lr=0.5", "--rate",
                           "12.5", "-d", "7", "--straggle", "3:1.5", "-t", "0.25", "--warmup", "0", "--seed", "77",
                           "--json", "--insecure-plaintext"),
                     ARGUMENTS_RUN);
    const struct load_plan *plan = &options.plan;
    assert_true(!options.canonical && options.json && options.where.keys.plaintext);
    assert_int_equal(options.where.local, 3);
    assert_int_equal(options.where.threads, 2);
    assert_int_equal(plan->pace.workers, 10);
    assert_int_equal(plan->processes, 3);
    assert_int_equal(load_plan_workers(plan, 0), 4);
    assert_int_equal(load_plan_workers(plan, 1), 3);
    assert_int_equal(load_plan_workers(plan, 2), 3);
    assert_int_equal(plan->clients, 2);
    assert_int_equal(plan->tensors, 5);
    assert_int_equal(plan->elements, 3072);
    assert_int_equal(load_plan_call_bytes(plan), 5 * 12288);
    assert_int_equal(plan->pace.mix[LOAD_PUSH_PULL], 10);
    assert_int_equal(plan->pace.mix[LOAD_PUSH], 20);
    assert_int_equal(plan->pace.mix[LOAD_PULL], 70);
    assert_string_equal(plan->optimizer, "sgd:lr=0.5");
    assert_true(plan->pace.rate == 12.5);
    assert_int_equal(plan->pace.in_flight, 7);
    assert_int_equal(plan->pace.stragglers, 3);
    assert_int_equal(plan->pace.straggle, 1500000);
    assert_int_equal(plan->duration, SECOND / 4);
    assert_int_equal(plan->warmup, 0);
    assert_int_equal(plan->seed, 77);
    assert_int_equal(PARSE(&options, "--think", "2.5", "-t", "100"), ARGUMENTS_RUN);
    assert_int_equal(plan->pace.think, 2500000);
    assert_int_equal(plan->warmup, SECOND); /* never more by itself */
    for (unsigned k = 0; k < LOAD_KINDS; k++) {
        assert_int_equal(PARSE(&options, "--mode", load_kind_name((enum load_kind)k)), ARGUMENTS_RUN);
        assert_int_equal(plan->pace.mix[k], 100);
        assert_int_equal(load_plan_pushes(plan), k != LOAD_PULL);
        assert_int_equal(load_plan_pulls(plan), k != LOAD_PUSH);
    }
    /* Verifying brings its own optimizer. */
    assert_int_equal(PARSE(&options, "--verify"), ARGUMENTS_RUN);
    assert_string_equal(plan->optimizer, "sgd:lr=1");
    assert_int_equal(PARSE(&options, "--verify", "-o", "sgd"), ARGUMENTS_RUN);
    assert_string_equal(plan->optimizer, "sgd:lr=1");
}

static void a_table_has_words_of_its_own(void **state) {
    const size_t item = sizeof(struct canyon_item);
    struct load_options options;
    (void)state;
    assert_int_equal(PARSE(&options, "--table"), ARGUMENTS_RUN);
    const struct load_plan *plan = &options.plan;
    assert_true(plan->table && !options.canonical && plan->exponent == 1.05);
    assert_int_equal(plan->tensors, 1);
    assert_int_equal(plan->dim, 16);
    assert_int_equal(plan->rows, 1000000);
    assert_int_equal(plan->batch, 4096);
    assert_int_equal(plan->elements, 65536);
    assert_int_equal(load_plan_call_bytes(plan), 4 * 65536);
    assert_string_equal(plan->distribution, "zipf:1.05");
    assert_string_equal(plan->optimizer, "adam");
    assert_int_equal(PARSE(&options, "--table", "--dim", "3", "--rows", "281474976710656", "-b", "7", "--distribution",
                           "uniform", "-o", "adam:steps=shard", "--codec", "int8:stochastic/bf16"),
                     ARGUMENTS_RUN);
    assert_true(plan->exponent <= 0.0);
    assert_int_equal(plan->rows, UINT64_C(1) << 48);
    assert_int_equal(plan->elements, 21);
    assert_int_equal(PARSE(&options, "--table", "--verify", "--rows", "10"), ARGUMENTS_RUN);
    assert_string_equal(plan->optimizer, "sgd:lr=1");
    /* Places of 4,096 rows of 16 and their ids; and, of rows, the larger of drawing by Zipf's law and of verifying. */
    assert_int_equal(PARSE(&options, "--table", "-w", "10", "-p", "2", "-d", "3", "--rows", "1000"), ARGUMENTS_RUN);
    assert_int_equal(load_plan_memory(plan), (10 * 3 + 2) * 262144 + 30 * (32768 + item) + 28 * 1000);
    assert_int_equal(PARSE(&options, "--table", "-w", "10", "-p", "2", "-d", "3", "--rows", "1000", "--verify"),
                     ARGUMENTS_RUN);
    assert_int_equal(load_plan_memory(plan), 2 * 30 * 262144 + 30 * (32768 + item) + (24 + 8) * 1000);
}

static void nonsense_is_refused(void **state) {
    static const char *const wrong[][9] = {
        {"--dim", "8"},
        {"--rows", "8"},
        {"--batch", "8"},
        {"--distribution", "uniform"},
        {"--table", "--tensors", "2"},
        {"--table", "--size", "4K"},
        {"--table", "--dim", "0"},
        {"--table", "--dim", "16385"},
        {"--table", "--rows", "0"},
        {"--table", "--rows", "268435457"}, /* by Zipf's law */
        {"--table", "--rows", "281474976710657", "--distribution", "uniform"},
        {"--table", "--rows", "268435457", "--distribution", "uniform", "--verify"},
        {"--table", "--batch", "0"},
        {"--table", "--batch", "1048577"},
        {"--table", "--distribution", "zipf"},
        {"--table", "--distribution", "normal"},
        {"--table", "--codec", "topk:0.1"},
        {"--table", "--codec", "bf16:feedback"},
        {"--table", "--codec", "bf16", "--verify"},
        {"--table", "--optimizer", "adam", "--verify"},
        {"--table", "--mode", "pull", "--verify"},
        {"--table", "--workers", "16384", "--in-flight", "64", "--batch", "1048576"},
        {"--rate", "fast"},
        {"--rate", "0"},
        {"--rate", "-3"},
        {"--rate", "1e99"},
        {"--rate", "5", "--think", "1"},
        {"--mix", "50/25/25"},
        {"--mode", "mixed", "--mix", "50/25/26"},
        {"--mode", "mixed", "--mix", "50/50"},
        {"--mode", "mixed", "--mix", "100/0/0/0"},
        {"--mode", "shove"},
        {"--size", "0"},
        {"--size", "6"},
        {"--size", "4.0000001K"},
        {"--size", "4k"},
        {"--size", "4KB"},
        {"--size", "2000G"},
        {"--size", "nan"},
        {"--straggle", "3"},
        {"--straggle", "3:"},
        {"--straggle", ":3"},
        {"--straggle", "5:1"}, /* of four workers */
        {"--straggle", "1:-1"},
        {"--codec", "morse"},
        {"--codec", "f3"},
        {"--codec", "f32x"},
        {"--codec", "f32/"},
        {"--codec", "f32/topk:0.1"},
        {"--codec", "f32/f32/f32"},
        {"--codec", "int8/int8", "--verify"},
        {"--codec", "topk:0.5", "--verify"},
        {"--optimizer", ":lr"},
        {"--workers", "0"},
        {"--workers", "2", "--processes", "3"},
        {"--in-flight", "65"},
        {"--duration", "0"},
        {"--duration", "inf"},
        {"--verify", "--mode", "pull"},
        {"--verify", "--optimizer", "adam"},
        {"--verify", "--optimizer", "sgd:lr=1,momentum=0.9"},
        {"--servers", "a:1", "--local", "2"},
        {"--servers", "a:1", "--threads", "2"},
        {"--key", "file"},
        {"--workers", "16384", "--in-flight", "64", "--tensors", "1024", "--size", "1G"}, /* no machine has that */
        {"word"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *const *words = wrong[i]; /* the last is NULL */
        struct load_options options;
        if (parse(&options, words) != ARGUMENTS_WRONG) {
            fail_msg("accepted: %s %s", words[0], words[1] != NULL ? words[1] : "");
        }
    }
}

static void sizes_are_numbers_with_units(void **state) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"4", 4},
                {"65536", 65536},
                {"64K", 65536},
                {"4M", 4194304},
                {"1.5G", 1610612736},
                {"0.5K", 512},
                {"1024G", UINT64_C(1) << 40}};
    static const char *const bad[] = {
        "", "K", "M4", "4 K", "4T", "-1", "0.3", "1e300", "99999999999999999999999999999999999"};
    uint64_t bytes = 0;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(load_words_bytes(good[i].text, &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (load_words_bytes(bad[i], &bytes)) {
            fail_msg("'%s' was taken for %llu", bad[i], (unsigned long long)bytes);
        }
    }
}

static void memory_is_counted_in_places(void **state) {
    const size_t item = sizeof(struct canyon_item);
    struct load_options options;
    struct load_plan *plan = &options.plan;
    (void)state;
    assert_int_equal(PARSE(&options, "-w", "10", "-p", "2", "-d", "3", "-k", "2", "--size", "4K"), ARGUMENTS_RUN);
    assert_int_equal(load_plan_memory(plan),
                     (10 * 3 + 2) * 8192 + 30 * 2 * item); /* weights of each place, a gradient a process */
    assert_int_equal(PARSE(&options, "-w", "10", "-p", "2", "-d", "3", "-k", "2", "--size", "4K", "--verify"),
                     ARGUMENTS_RUN);
    assert_int_equal(load_plan_memory(plan), 2 * 10 * 3 * 8192 + 30 * 2 * item);
    assert_int_equal(PARSE(&options, "-w", "10", "-p", "2", "-k", "2", "--size", "4K", "-m", "push"), ARGUMENTS_RUN);
    assert_int_equal(load_plan_memory(plan), 2 * 8192 + 10 * 2 * item);
    /* Small tensors in many places: what they are listed in is most of it. */
    assert_int_equal(PARSE(&options, "-w", "1000", "-p", "2", "-d", "2", "-k", "1024", "--size", "4", "-m", "push"),
                     ARGUMENTS_RUN);
    assert_int_equal(load_plan_memory(plan), 2 * 4096 + 2000 * 1024 * item);
    plan->pace.workers = 16384;
    plan->pace.in_flight = 64;
    plan->pace.mix[LOAD_PULL] = 1;
    plan->elements = UINT64_C(1) << 38;
    plan->tensors = 1024;
    assert_true(load_plan_memory(plan) == UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_words_it_is_the_one_workload), cmocka_unit_test(words_mean_what_they_say),
        cmocka_unit_test(a_table_has_words_of_its_own),         cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(sizes_are_numbers_with_units),         cmocka_unit_test(memory_is_counted_in_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
