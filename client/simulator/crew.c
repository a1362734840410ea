#include "client/simulator/crew.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/simulator/interrupt.h"

#define WAIT_STEP_MS 5

static void close_one(int *descriptor) {
    if (*descriptor >= 0) {
        close(*descriptor);
        *descriptor = -1;
    }
}

void crew_init(struct crew *crew) {
    memset(crew, 0, sizeof *crew);
}

/* The child's side: what it has of the other members is closed, so that their pipes end when they do. */
static _Noreturn void crew_child(struct crew *crew, int parent, crew_task task, void *context, uint32_t index, int news,
                                 int orders) {
    for (size_t i = 0; i < crew->count; i++) {
        close_one(&crew->members[i].news);
        close_one(&crew->members[i].orders);
    }
    _exit(interrupt_child(parent) ? task(context, index, news, orders) : 1);
}

bool crew_add(struct crew *crew, crew_task task, void *context, uint32_t index, char *text, size_t bytes) {
    bool added = false;
    int news[2] = {-1, -1}, orders[2] = {-1, -1};
    if (crew->count == CREW_HIGH) {
        snprintf(text, bytes, "more than %d processes", CREW_HIGH);
        return false;
    }
    if (pipe(news) != 0 || pipe(orders) != 0 || fcntl(news[0], F_SETFL, O_NONBLOCK) != 0) {
        snprintf(text, bytes, "cannot make a pipe: %s", strerror(errno));
        goto out;
    }
    int parent = getpid();
    pid_t process = fork();
    if (process < 0) {
        snprintf(text, bytes, "cannot start a process: %s", strerror(errno));
        goto out;
    }
    if (process == 0) {
        close_one(&news[0]);
        close_one(&orders[1]);
        crew_child(crew, parent, task, context, index, news[1], orders[0]);
    }
    crew->members[crew->count++] = (struct crew_member){.process = process, .news = news[0], .orders = orders[1]};
    news[0] = -1;
    orders[1] = -1;
    added = true;
out:
    close_one(&news[0]);
    close_one(&news[1]);
    close_one(&orders[0]);
    close_one(&orders[1]);
    return added;
}

void crew_order(struct crew *crew, size_t member, char order) {
    assert(member < crew->count);
    if (crew->members[member].orders >= 0) {
        ssize_t written = write(crew->members[member].orders, &order, 1);
        (void)written; /* fails when the member is gone, which its pipe of news tells */
        close_one(&crew->members[member].orders);
    }
}

/* True when it is reaped. */
static bool crew_reap(struct crew_member *member, int options) {
    pid_t got = 0;
    do {
        got = waitpid(member->process, &member->status, options);
    } while (got < 0 && errno == EINTR);
    if (got == 0) {
        return false;
    }
    member->process = 0;
    return true;
}

/* Empties the pipe of a member that may be waiting for room in it. */
static void crew_drain(struct crew_member *member) {
    char bytes[4096];
    while (member->news >= 0 && read(member->news, bytes, sizeof bytes) > 0) {
    }
}

void crew_end(struct crew *crew, size_t index, unsigned grace_ms) {
    assert(index < crew->count);
    struct crew_member *member = &crew->members[index];
    const struct timespec pause = {.tv_nsec = WAIT_STEP_MS * 1000000L};
    close_one(&member->orders);
    for (unsigned waited = 0; member->process != 0 && !crew_reap(member, WNOHANG); waited += WAIT_STEP_MS) {
        if (waited >= grace_ms) {
            kill(member->process, SIGKILL);
            crew_reap(member, 0);
            break;
        }
        crew_drain(member);
        nanosleep(&pause, NULL);
    }
    close_one(&member->news);
}

char *crew_ending(const struct crew *crew, size_t member, char *text, size_t bytes) {
    int status = crew->members[member].status;
    assert(crew->members[member].process == 0);
    if (WIFSIGNALED(status)) {
        snprintf(text, bytes, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        snprintf(text, bytes, "exit code %d", WEXITSTATUS(status));
    }
    return text;
}

void crew_finish(struct crew *crew) {
    for (size_t i = 0; i < crew->count; i++) {
        if (crew->members[i].process != 0) {
            kill(crew->members[i].process, SIGKILL);
        }
    }
    for (size_t i = 0; i < crew->count; i++) {
        crew_end(crew, i, 0);
    }
    crew->count = 0;
}
