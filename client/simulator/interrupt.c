#include "client/simulator/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Set by interrupt_start alone, before any signal can be handled: a handler has no other way to find them. */
static volatile sig_atomic_t received;
static int descriptors[2] = {-1, -1};

static void handle(int signal_number) {
    int kept = errno;
    if (received == 0) {
        received = signal_number;
        ssize_t written = write(descriptors[1], "!", 1);
        (void)written; /* the pipe is empty before the first byte, so it cannot be full */
    }
    errno = kept;
}

static bool set_action(int signal_number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    return sigaction(signal_number, &action, NULL) == 0;
}

bool interrupt_start(void) {
    if (pipe(descriptors) != 0) {
        return false;
    }
    for (size_t i = 0; i < 2; i++) {
        if (fcntl(descriptors[i], F_SETFD, FD_CLOEXEC) != 0 || fcntl(descriptors[i], F_SETFL, O_NONBLOCK) != 0) {
            return false;
        }
    }
    return set_action(SIGINT, handle) && set_action(SIGTERM, handle) && set_action(SIGHUP, handle) &&
           set_action(SIGPIPE, SIG_IGN);
}

int interrupt_signal(void) {
    return received;
}

int interrupt_descriptor(void) {
    return descriptors[0];
}

bool interrupt_child(int parent) {
    return set_action(SIGINT, SIG_IGN) && set_action(SIGHUP, SIG_IGN) && set_action(SIGTERM, SIG_DFL) &&
           prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
}

int interrupt_exit_code(void) {
    return 128 + received;
}
