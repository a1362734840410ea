/* Worker processes of a test: forked before they connect, ended with the test, and the memory they share with it.
 *
 * Fork while no client is open in this process: a client does not survive it. A worker's body uses the check macros of
 * harness.h; a check that fails there ends the worker with exit code 1. */
#ifndef TESTS_INTEGRATION_PROCESS_H
#define TESTS_INTEGRATION_PROCESS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Runs in the child; its return value is the exit code. */
typedef int (*process_body)(void *user);

pid_t process_start(process_body body, void *user);

/* Waits for it; the exit code, or 128 + the signal. Fails the test when it does not end in time. */
int process_wait(pid_t process, uint32_t wait_ms);

/* SIGKILL, and waits until it is gone. */
void process_kill(pid_t process);

/* For harness.c: ends what is left, and forgets everything in a child. */
void process_end_all(void);

/* Zeroed memory that children forked later share with this process. Given back by shared_free, or at the end. */
void *shared_alloc(size_t bytes);
void shared_free(void *memory, size_t bytes);

/* A counter in shared memory that processes and threads wait for. */
struct gate {
    _Atomic uint32_t arrived;
};

void gate_arrive(struct gate *gate);

/* Waits until `count` have arrived; fails the test after PATIENCE_MS. */
void gate_wait(struct gate *gate, uint32_t count);

#endif
