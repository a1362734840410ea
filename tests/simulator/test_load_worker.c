/* Schedules and logical workers on a virtual clock: nothing here knows the time of day. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/simulator/counter.h"
#include "client/simulator/load_agenda.h"
#include "client/simulator/load_pace.h"
#include "client/simulator/load_worker.h"
#include "common/histogram.h"

#define MS    UINT64_C(1000000)
#define START (1000000 * MS) /* no run begins at 0 */

static void an_open_loop_is_due_evenly(void **state) {
    const struct load_pace pace = {.workers = 4, .in_flight = 1, .rate = 1000, .mix = {100, 0, 0}};
    (void)state;
    /* 1,000 a second of all: one every millisecond, the workers in turn. */
    for (uint64_t call = 0; call < 4000; call++) {
        assert_int_equal(load_pace_due(&pace, (uint32_t)(call % 4), call / 4), call * MS);
    }
    assert_int_equal(load_pace_due_before(&pace, 0, 0), 0);
    assert_int_equal(load_pace_due_before(&pace, 0, 1), 1);
    assert_int_equal(load_pace_due_before(&pace, 3, 3 * MS), 0);
    assert_int_equal(load_pace_due_before(&pace, 3, 3 * MS + 1), 1);
    assert_int_equal(load_pace_due_before(&pace, 2, 1000 * MS), 250);
}

/* At rates that are no divisors of anything the counts still add up, far into a run. */
static void due_calls_are_counted_as_they_come(void **state) {
    static const double rates[] = {0.3, 7.7, 12345.678, 1e6};
    (void)state;
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        const struct load_pace pace = {.workers = 7, .in_flight = 1, .rate = rates[r]};
        for (uint64_t i = 0; i < 200; i++) {
            uint64_t time = counter_bits(5, r, i) % (100000 * MS), sum = 0;
            for (uint32_t w = 0; w < 7; w++) {
                uint64_t count = load_pace_due_before(&pace, w, time);
                assert_true(count == 0 || load_pace_due(&pace, w, count - 1) < time);
                assert_true(load_pace_due(&pace, w, count) >= time);
                sum += count;
            }
            double exact = (double)time * 1e-9 * rates[r];
            assert_true((double)sum >= exact - 1.0 && (double)sum <= exact + 1.0);
        }
    }
}

static void a_call_that_cannot_begin_waits_and_none_is_left_out(void **state) {
    const struct load_pace pace = {.workers = 1, .in_flight = 2, .rate = 100, .mix = {100, 0, 0}};
    struct load_worker worker;
    (void)state;
    load_worker_init(&worker, &pace, 0, START);
    assert_int_equal(load_worker_due(&worker), START);
    assert_int_equal(load_worker_begin(&worker, START).intended, START);
    assert_int_equal(load_worker_due(&worker), START + 10 * MS);
    assert_int_equal(load_worker_begin(&worker, START + 10 * MS).intended, START + 10 * MS);
    assert_int_equal(load_worker_due(&worker), LOAD_NEVER); /* two are under way */
    /* The servers stall for a second; a hundred calls are due meanwhile, each with its own time. */
    load_worker_end(&worker, START + 1000 * MS);
    for (uint64_t number = 2; number < 100; number++) {
        assert_int_equal(load_worker_due(&worker), START + number * 10 * MS); /* long due */
        struct load_call call = load_worker_begin(&worker, START + 1000 * MS);
        assert_int_equal(call.number, number);
        assert_int_equal(call.intended, START + number * 10 * MS);
        load_worker_end(&worker, START + 1000 * MS);
    }
    assert_int_equal(load_worker_due(&worker), START + 1000 * MS); /* it has caught up */
}

/* After a failure, in both loops; the schedule stays what it was. */
static void nothing_begins_while_a_worker_is_held(void **state) {
    const struct load_pace open = {.workers = 1, .in_flight = 4, .rate = 100, .mix = {100, 0, 0}};
    const struct load_pace closed = {.workers = 1, .in_flight = 4, .mix = {100, 0, 0}};
    struct load_worker worker;
    (void)state;
    load_worker_init(&worker, &open, 0, START);
    load_worker_begin(&worker, START);
    load_worker_hold(&worker, START + 105 * MS);
    load_worker_hold(&worker, START + 50 * MS); /* the later one counts */
    load_worker_end(&worker, START + 5 * MS);
    for (uint64_t number = 1; number <= 4; number++) {
        assert_int_equal(load_worker_due(&worker), START + 105 * MS);
        assert_int_equal(load_worker_begin(&worker, START + 105 * MS).intended, START + number * 10 * MS);
    }
    load_worker_end(&worker, START + 500 * MS);
    load_worker_end(&worker, START + 500 * MS);
    load_worker_begin(&worker, START + 500 * MS);
    assert_int_equal(load_worker_due(&worker), START + 105 * MS); /* number 6 was due at 60 */

    load_worker_init(&worker, &closed, 0, START);
    load_worker_begin(&worker, START);
    load_worker_hold(&worker, START + 105 * MS);
    load_worker_end(&worker, START + 5 * MS);
    for (int place = 0; place < 4; place++) {
        assert_int_equal(load_worker_due(&worker), START + 105 * MS);
        load_worker_begin(&worker, START + 105 * MS);
    }
    assert_int_equal(load_worker_due(&worker), LOAD_NEVER);
}

static void a_closed_loop_keeps_its_calls_under_way_and_thinks(void **state) {
    const struct load_pace pace = {.workers = 2, .in_flight = 3, .think = 5 * MS, .mix = {100, 0, 0}};
    struct load_worker worker;
    (void)state;
    load_worker_init(&worker, &pace, 1, START);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(load_worker_due(&worker), START + 5 * MS / 2); /* thinkers do not all begin at once */
        struct load_call call = load_worker_begin(&worker, START + 3 * MS);
        assert_int_equal(call.number, i);
        assert_int_equal(call.intended, START + 3 * MS);
    }
    assert_int_equal(load_worker_due(&worker), LOAD_NEVER);
    load_worker_end(&worker, START + 10 * MS);
    load_worker_end(&worker, START + 12 * MS);
    assert_int_equal(load_worker_due(&worker), START + 15 * MS);
    load_worker_begin(&worker, START + 15 * MS);
    assert_int_equal(load_worker_due(&worker), START + 17 * MS);
    load_worker_begin(&worker, START + 17 * MS);
    assert_int_equal(load_worker_due(&worker), LOAD_NEVER);
    for (uint64_t i = 0; i < 1000; i++) { /* around the ring many times */
        load_worker_end(&worker, START + (20 + i) * MS);
        assert_int_equal(load_worker_due(&worker), START + (25 + i) * MS);
        load_worker_begin(&worker, START + (25 + i) * MS);
    }
}

static void stragglers_are_late_by_what_they_should(void **state) {
    struct load_pace pace = {.workers = 3, .in_flight = 1, .stragglers = 2, .straggle = 20 * MS, .mix = {100, 0, 0}};
    struct load_worker worker;
    (void)state;
    for (uint32_t w = 0; w < 3; w++) {
        uint64_t delay = w < 2 ? 20 * MS : 0;
        pace.rate = 0.0;
        load_worker_init(&worker, &pace, w, START);
        assert_int_equal(load_worker_due(&worker), START + delay);
        load_worker_begin(&worker, START + delay);
        load_worker_end(&worker, START + 50 * MS);
        assert_int_equal(load_worker_due(&worker), START + 50 * MS + delay);
        pace.rate = 300.0; /* in an open loop the latency counts from the time the others have */
        load_worker_init(&worker, &pace, w, START);
        uint64_t intended = START + load_pace_due(&pace, w, 0);
        assert_int_equal(load_worker_due(&worker), intended + delay);
        assert_int_equal(load_worker_begin(&worker, intended + delay).intended, intended);
    }
}

static void the_mix_is_what_was_asked_for(void **state) {
    const struct load_pace pace = {.workers = 3, .in_flight = 1, .seed = 9, .mix = {50, 30, 20}};
    const struct load_pace only = {.workers = 3, .in_flight = 1, .seed = 9, .mix = {0, 0, 100}};
    unsigned counts[LOAD_KINDS] = {0};
    (void)state;
    for (uint64_t i = 0; i < 30000; i++) {
        counts[load_pace_kind(&pace, (uint32_t)(i % 3), i / 3)]++;
        assert_int_equal(load_pace_kind(&only, (uint32_t)(i % 3), i / 3), LOAD_PULL);
    }
    /* Ten standard deviations of a fair draw. */
    assert_true(abs((int)counts[LOAD_PUSH_PULL] - 15000) < 870);
    assert_true(abs((int)counts[LOAD_PUSH] - 9000) < 800);
    assert_true(abs((int)counts[LOAD_PULL] - 6000) < 700);
}

static void the_agenda_agrees_with_looking_at_all(void **state) {
    enum { MEMBERS = 37 };
    struct load_agenda agenda;
    uint64_t times[MEMBERS], first = 0;
    (void)state;
    assert_true(load_agenda_init(&agenda, MEMBERS));
    load_agenda_first(&agenda, &first);
    assert_int_equal(first, LOAD_NEVER);
    memset(times, 0xff, sizeof times);
    for (uint64_t i = 0; i < 20000; i++) {
        uint32_t member = counter_below(1, 1, i, MEMBERS);
        times[member] = counter_below(1, 2, i, 10) == 0 ? LOAD_NEVER : counter_bits(1, 3, i) % 1000;
        load_agenda_set(&agenda, member, times[member]);
        uint64_t least = LOAD_NEVER;
        for (uint32_t m = 0; m < MEMBERS; m++) {
            least = times[m] < least ? times[m] : least;
        }
        member = load_agenda_first(&agenda, &first);
        assert_int_equal(first, least);
        assert_int_equal(times[member], least);
    }
    load_agenda_finish(&agenda);
    assert_true(load_agenda_init(&agenda, 1));
    load_agenda_set(&agenda, 0, 5);
    assert_int_equal(load_agenda_first(&agenda, &first), 0);
    assert_int_equal(first, 5);
    load_agenda_finish(&agenda);
}

/* ---- coordinated omission ---- */

/* A server of one place that takes 1 ms for a call, but does nothing from 1,000 to 2,000 ms. */
static uint64_t server_ends(uint64_t begun, uint64_t *free_at) {
    uint64_t from = begun > *free_at ? begun : *free_at;
    from = from >= START + 1000 * MS && from < START + 2000 * MS ? START + 2000 * MS : from;
    *free_at = from + MS;
    return *free_at;
}

/* Three seconds of one worker against that server; latencies counted from the intended times. */
static void simulate(const struct load_pace *pace, struct histogram *latencies) {
    struct load_worker worker;
    uint64_t free_at = 0, now = START;
    histogram_init(latencies);
    load_worker_init(&worker, pace, 0, START);
    while ((now = load_worker_due(&worker) > now ? load_worker_due(&worker) : now) < START + 3000 * MS) {
        struct load_call call = load_worker_begin(&worker, now);
        now = server_ends(now, &free_at);
        histogram_record(latencies, now - call.intended);
        load_worker_end(&worker, now);
    }
}

static void a_stall_is_seen_by_all_who_were_due_in_it(void **state) {
    static struct histogram open, closed;
    struct load_pace pace = {.workers = 1, .in_flight = 1, .rate = 100, .mix = {100, 0, 0}};
    (void)state;
    simulate(&pace, &open);
    pace.rate = 0.0;
    pace.think = 9 * MS;
    simulate(&pace, &closed);
    /* 300 calls were due. Those due at 1000, 1010, ... 1990 ms found the server stalled: the first waited a second, the
     * last 10 ms and its turn among a hundred, 100 ms. On the way back to normal, at 900 calls a second above the rate,
     * 12 more waited. So a third of all took longer than 100 ms, and half of those longer than 550 ms. */
    assert_int_equal(open.count, 300);
    assert_true(histogram_quantile(&open, 0.60) < 2 * MS);
    assert_true(histogram_quantile(&open, 0.67) > 100 * MS);
    assert_true(histogram_quantile(&open, 0.83) > 500 * MS);
    assert_true(histogram_quantile(&open, 0.99) > 950 * MS);
    assert_int_equal(open.max, 1001 * MS);
    /* The closed loop made one slow call, and none of those that it would have made: it cannot see the stall in its
     * p99, which is why there is an open one. */
    assert_true(closed.count > 190 && closed.count < 205);
    assert_true(histogram_quantile(&closed, 0.99) < 2 * MS);
    assert_int_equal(closed.max, 1001 * MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_loop_is_due_evenly),
        cmocka_unit_test(due_calls_are_counted_as_they_come),
        cmocka_unit_test(a_call_that_cannot_begin_waits_and_none_is_left_out),
        cmocka_unit_test(nothing_begins_while_a_worker_is_held),
        cmocka_unit_test(a_closed_loop_keeps_its_calls_under_way_and_thinks),
        cmocka_unit_test(stragglers_are_late_by_what_they_should),
        cmocka_unit_test(the_mix_is_what_was_asked_for),
        cmocka_unit_test(the_agenda_agrees_with_looking_at_all),
        cmocka_unit_test(a_stall_is_seen_by_all_who_were_due_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
