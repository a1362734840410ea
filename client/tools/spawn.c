#include "client/tools/spawn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ABOVE_STANDARD 10 /* descriptors are moved here first, so that dup2 to a low one cannot overwrite another */

/* Everything the child needs, made before the fork: afterwards only async-signal-safe calls are allowed. */
struct plan {
    char *const *argv;
    pid_t parent;
    int empty, log, listening, report; /* all of them at ABOVE_STANDARD or higher, or -1 */
};

static void default_signals(void) {
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD, SIGQUIT, SIGUSR1, SIGUSR2};
    sigset_t none;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        signal(signals[i], SIG_DFL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void run_child(const struct plan *plan) {
    default_signals();
    setpgid(0, 0);
    /* The parent may have ended between the fork and prctl: then no signal will ever come. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == plan->parent && dup2(plan->empty, STDIN_FILENO) >= 0 &&
        dup2(plan->log, STDOUT_FILENO) >= 0 && dup2(plan->log, STDERR_FILENO) >= 0 &&
        dup2(plan->listening, SPAWN_LISTENING) >= 0) {
        execv(plan->argv[0], plan->argv);
    }
    int fault = errno;
    ssize_t written = write(plan->report, &fault, sizeof fault);
    (void)written; /* without it the parent sees a process that ended at once: as good */
    _exit(127);
}

static int raise_descriptor(int descriptor) {
    return fcntl(descriptor, F_DUPFD_CLOEXEC, ABOVE_STANDARD);
}

static void close_if_open(int descriptor) {
    if (descriptor >= 0) {
        close(descriptor);
    }
}

static bool fill_plan(struct plan *plan, int listening, int log, int report) {
    int empty = open("/dev/null", O_RDONLY | O_CLOEXEC);
    plan->empty = empty < 0 ? -1 : raise_descriptor(empty);
    plan->log = raise_descriptor(log);
    plan->listening = raise_descriptor(listening);
    plan->report = raise_descriptor(report);
    close_if_open(empty);
    return plan->empty >= 0 && plan->log >= 0 && plan->listening >= 0 && plan->report >= 0;
}

/* 0 when the program runs, else the errno that the child met. The pipe closes on exec. */
static int read_report(int descriptor) {
    int fault = 0;
    ssize_t have;
    do {
        have = read(descriptor, &fault, sizeof fault);
    } while (have < 0 && errno == EINTR);
    return have == (ssize_t)sizeof fault ? fault : 0;
}

bool spawn_server(char *const *argv, int listening, int log, pid_t *process, char *text, size_t bytes) {
    struct plan plan = {.argv = argv, .parent = getpid(), .empty = -1, .log = -1, .listening = -1, .report = -1};
    int report[2] = {-1, -1}, fault = 0;
    pid_t child = -1;
    bool ready = pipe(report) == 0 && fcntl(report[0], F_SETFD, FD_CLOEXEC) == 0 &&
                 fcntl(report[1], F_SETFD, FD_CLOEXEC) == 0 && fill_plan(&plan, listening, log, report[1]);
    if (ready) {
        child = fork();
    }
    if (child == 0) {
        run_child(&plan);
    }
    fault = child < 0 ? errno : 0;
    close_if_open(plan.empty);
    close_if_open(plan.log);
    close_if_open(plan.listening);
    close_if_open(plan.report);
    close_if_open(report[1]);
    if (child > 0) {
        fault = read_report(report[0]);
    }
    close_if_open(report[0]);
    if (child > 0 && fault != 0) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    if (fault != 0) {
        snprintf(text, bytes, "cannot run %s: %s", argv[0], strerror(fault));
        return false;
    }
    *process = child;
    return true;
}

int spawn_listen(unsigned *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    union {
        struct sockaddr_in *in;
        struct sockaddr *any;
    } pointer = {.in = &address};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor >= 0 && (bind(descriptor, pointer.any, length) != 0 || listen(descriptor, 512) != 0 ||
                            getsockname(descriptor, pointer.any, &length) != 0)) {
        int fault = errno;
        close(descriptor);
        descriptor = -1;
        errno = fault;
    }
    *port = ntohs(address.sin_port);
    return descriptor;
}

static bool runnable(const char *path) {
    return access(path, X_OK) == 0;
}

static bool find_beside(const char *name, char *path, size_t bytes) {
    ssize_t length = readlink("/proc/self/exe", path, bytes - 1);
    if (length <= 0 || (size_t)length >= bytes) {
        return false;
    }
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return false;
    }
    size_t room = bytes - (size_t)(slash + 1 - path);
    int written = snprintf(slash + 1, room, "%s", name);
    return written > 0 && (size_t)written < room && runnable(path);
}

static bool find_on_path(const char *name, char *path, size_t bytes) {
    const char *at = getenv("PATH");
    while (at != NULL && *at != '\0') {
        size_t length = strcspn(at, ":");
        int written = snprintf(path, bytes, "%.*s/%s", (int)length, length > 0 ? at : ".", name);
        if (length > 0 && written > 0 && (size_t)written < bytes && runnable(path)) {
            return true;
        }
        at += length;
        at += *at == ':';
    }
    return false;
}

bool spawn_find(const char *name, char *path, size_t bytes) {
    return find_beside(name, path, bytes) || find_on_path(name, path, bytes);
}
