/* Processes of a run: news, orders, endings, and that none is left behind. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/simulator/crew.h"

#define RECORDS 1000

static struct crew crew;
static char text[CREW_TEXT_BYTES];

/* The next record, however long it takes; false at the end. */
static bool next_news(size_t member, struct news *news) {
    for (;;) {
        enum news_state state = news_read(&crew.members[member].reader, crew.members[member].news, news);
        if (state != NEWS_LATER) {
            return state == NEWS_READ;
        }
        struct pollfd wait = {.fd = crew.members[member].news, .events = POLLIN};
        assert_true(poll(&wait, 1, 20000) == 1);
    }
}

static int tell_many(void *context, uint32_t index, int news, int orders) {
    struct news record = {.kind = NEWS_STEP};
    (void)context;
    (void)orders;
    for (uint64_t i = 0; i < RECORDS; i++) {
        record.staleness_sum = i * 10 + index;
        memset(record.text, 'x', sizeof record.text); /* not even terminated */
        if (!news_write(news, &record)) {
            return 1;
        }
    }
    return 0;
}

static int obey(void *context, uint32_t index, int news, int orders) {
    char order = 0;
    (void)index;
    (void)news;
    *(int *)context = 5; /* the child's own copy */
    return read(orders, &order, 1) == 1 ? order : 99;
}

static int sleep_on(void *context, uint32_t index, int news, int orders) {
    (void)context;
    (void)index;
    (void)news;
    (void)orders;
    for (;;) {
        pause();
    }
    return 0;
}

static void assert_no_child_is_left(void) {
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void all_records_arrive_in_order(void **state) {
    struct news news;
    (void)state;
    crew_init(&crew);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(crew_add(&crew, tell_many, NULL, i, text, sizeof text));
    }
    for (uint64_t i = 0; i < RECORDS; i++) {
        for (uint32_t m = 0; m < 3; m++) {
            assert_true(next_news(m, &news));
            assert_true(news.staleness_sum == i * 10 + m);
            assert_int_equal(strlen(news.text), NEWS_TEXT_BYTES - 1);
        }
    }
    for (uint32_t m = 0; m < 3; m++) {
        assert_false(next_news(m, &news));
        crew_end(&crew, m, 10000);
        assert_string_equal(crew_ending(&crew, m, text, sizeof text), "exit code 0");
    }
    crew_finish(&crew);
    assert_no_child_is_left();
}

static void orders_and_their_end_arrive(void **state) {
    int number = 1;
    (void)state;
    crew_init(&crew);
    assert_true(crew_add(&crew, obey, &number, 0, text, sizeof text));
    assert_true(crew_add(&crew, obey, &number, 1, text, sizeof text));
    crew_order(&crew, 0, 7);
    crew_end(&crew, 0, 10000);
    assert_string_equal(crew_ending(&crew, 0, text, sizeof text), "exit code 7");
    crew_end(&crew, 1, 10000); /* closes its orders: end of file */
    assert_string_equal(crew_ending(&crew, 1, text, sizeof text), "exit code 99");
    crew_end(&crew, 1, 10000);
    assert_int_equal(number, 1);
    crew_finish(&crew);
    assert_no_child_is_left();
}

static void who_does_not_go_is_killed(void **state) {
    (void)state;
    crew_init(&crew);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(crew_add(&crew, sleep_on, NULL, i, text, sizeof text));
    }
    crew_end(&crew, 2, 20);
    assert_non_null(strstr(crew_ending(&crew, 2, text, sizeof text), "signal 9"));
    kill(crew.members[1].process, SIGTERM); /* SIGTERM ends a member */
    crew_end(&crew, 1, 10000);
    assert_non_null(strstr(crew_ending(&crew, 1, text, sizeof text), "signal 15"));
    crew_finish(&crew);
    assert_no_child_is_left();
    crew_finish(&crew);
}

/* A member that is stuck writing news nobody reads still ends. */
static void full_pipes_do_not_hold_up_an_end(void **state) {
    (void)state;
    crew_init(&crew);
    assert_true(crew_add(&crew, tell_many, NULL, 0, text, sizeof text));
    crew_end(&crew, 0, 20000);
    assert_string_equal(crew_ending(&crew, 0, text, sizeof text), "exit code 0");
    crew_finish(&crew);
    assert_no_child_is_left();
}

/* The parent is killed with SIGKILL: the members go as well. Their pipe of news tells, as its write end is theirs. */
static void members_do_not_outlive_their_parent(void **state) {
    int ends[2];
    char byte = 0;
    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid_t parent = fork();
    assert_true(parent >= 0);
    if (parent == 0) {
        crew_init(&crew);
        close(ends[0]);
        bool added = crew_add(&crew, sleep_on, NULL, 0, text, sizeof text);
        ssize_t written = write(ends[1], added ? "y" : "n", 1);
        (void)written;
        for (;;) {
            pause();
        }
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    struct pollfd wait = {.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 10000), 1); /* end of file: the member had the other end, too */
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_records_arrive_in_order),         cmocka_unit_test(orders_and_their_end_arrive),
        cmocka_unit_test(who_does_not_go_is_killed),           cmocka_unit_test(full_pipes_do_not_hold_up_an_end),
        cmocka_unit_test(members_do_not_outlive_their_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
