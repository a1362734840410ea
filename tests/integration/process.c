#include "tests/integration/process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/integration/harness.h"

#define PROCESSES 64

/* The children that were not waited for. Only the test's own thread touches it. */
static pid_t processes[PROCESSES];

static void remember(pid_t from, pid_t to) {
    for (size_t i = 0; i < PROCESSES; i++) {
        if (processes[i] == from) {
            processes[i] = to;
            return;
        }
    }
    check_fail("process %d is not in the table of %d", (int)from, PROCESSES);
}

pid_t process_start(process_body body, void *user) {
    fflush(NULL);
    pid_t parent = getpid();
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        for (size_t i = 0; i < PROCESSES; i++)
            processes[i] = 0;
        int code = body(user);
        fflush(NULL);
        _exit(code);
    }
    remember(0, child);
    return child;
}

static int exit_code(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int process_wait(pid_t process, uint32_t wait_ms) {
    uint64_t end = now_ms() + wait_ms;
    int status = 0;
    pid_t got;
    while ((got = waitpid(process, &status, WNOHANG)) == 0 && now_ms() < end)
        sleep_ms(2);
    if (got != process)
        check_fail("process %d did not end in %u ms", (int)process, wait_ms);
    remember(process, 0);
    return exit_code(status);
}

void process_kill(pid_t process) {
    check(kill(process, SIGKILL) == 0);
    check(waitpid(process, NULL, 0) == process);
    remember(process, 0);
}

void process_end_all(void) {
    for (size_t i = 0; i < PROCESSES; i++) {
        if (processes[i] > 0) {
            kill(processes[i], SIGKILL);
            waitpid(processes[i], NULL, 0);
            processes[i] = 0;
        }
    }
}

void *shared_alloc(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED);
    return memory;
}

void shared_free(void *memory, size_t bytes) {
    check(munmap(memory, bytes) == 0);
}

void gate_arrive(struct gate *gate) {
    atomic_fetch_add(&gate->arrived, 1);
}

void gate_wait(struct gate *gate, uint32_t count) {
    uint64_t end = now_ms() + PATIENCE_MS;
    while (atomic_load(&gate->arrived) < count) {
        if (now_ms() >= end)
            check_fail("%u of %u came to the gate in %u ms", atomic_load(&gate->arrived), count, PATIENCE_MS);
        sleep_ms(1);
    }
}
