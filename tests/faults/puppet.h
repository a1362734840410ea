/* Workers in processes of their own that make one call at a time, as the test tells them: so that one can be stopped,
 * or killed, in the middle of any.
 *
 * Start them before the test has threads, its proxies' among them (process.h), and tell them to connect later. One
 * process may be told that only once. */
#ifndef TESTS_FAULTS_PUPPET_H
#define TESTS_FAULTS_PUPPET_H

#include <sys/types.h>

#include "canyon.h"
#include "tests/faults/subject.h"
#include "tests/integration/harness.h"

enum puppet_call {
    PUPPET_CONNECT, /* to `servers`, and opens what it needs: all kinds of subject, of `sizes` */
    PUPPET_CLOCK,
    PUPPET_PUSH,
    PUPPET_PULL,
    PUPPET_CLOSE /* and the process ends */
};

struct puppet_order {
    enum puppet_call call;
    enum subject_kind kind; /* of a push or pull */
    float value;            /* of a push */
    uint32_t timeout_ms;    /* [PATIENCE_MS] */
};

/* In memory that the test shares. */
struct puppet;

struct puppet_answer {
    enum canyon_status status;
    char text[512]; /* of an error */
    uint64_t clock; /* of PUPPET_CLOCK, and as it was last */
    uint64_t took_ms;
    float weights[SUBJECT_MOST]; /* of PUPPET_PULL */
};

struct puppet *puppet_start(const char *name, bool plaintext, const uint32_t sizes[SUBJECT_KINDS]);
/* Where PUPPET_CONNECT connects to. */
void puppet_aim(struct puppet *puppet, const char *servers);
pid_t puppet_pid(const struct puppet *puppet);

/* Begins a call; waits for its end; both. The answer is valid until the next one. */
void puppet_begin(struct puppet *puppet, struct puppet_order order);
bool puppet_is_done(const struct puppet *puppet);
const struct puppet_answer *puppet_end(struct puppet *puppet);
const struct puppet_answer *puppet_do(struct puppet *puppet, struct puppet_order order);

/* SIGSTOP, returning when it stands still; and SIGCONT. */
void puppet_pause(struct puppet *puppet);
void puppet_resume(struct puppet *puppet);

/* SIGKILL, unless it has ended, and what it had is given back. */
void puppet_kill(struct puppet *puppet);
/* PUPPET_CLOSE; it must end well. */
void puppet_stop(struct puppet *puppet);

#endif
