/* What a command line program's exit code means: the same five numbers in every Canyon program. */
#ifndef CANYON_TOOLS_OUTCOME_H
#define CANYON_TOOLS_OUTCOME_H

#include "canyon.h"

enum outcome {
    OUTCOME_DONE = 0,        /* the operation was done */
    OUTCOME_FAILED = 1,      /* it was understood and tried, and failed; the text on standard error says why */
    OUTCOME_USAGE = 2,       /* the command line is wrong; nothing was tried */
    OUTCOME_UNREACHABLE = 3, /* a server that was needed did not answer, or not before the deadline */
    OUTCOME_DENIED = 4,      /* a key is missing, not the expected one, not accepted, or not allowed to do that */
};

/* The exit code that fits what a call of the library returned. */
enum outcome outcome_of(enum canyon_status status);

/* Writes "PROGRAM: cannot DOING: TEXT" to standard error, where TEXT is canyon_error_text() of this thread, with a hint
 * on what to do when no server answered. Returns outcome_of(status), so that a command ends with
 * `return outcome_report("canyon", "pull 'w1'", status)`. */
enum outcome outcome_report(const char *program, const char *doing, enum canyon_status status);

#endif
