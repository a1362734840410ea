#include "client/tools/outcome.h"

#include <stdio.h>

enum outcome outcome_of(enum canyon_status status) {
    enum outcome outcome = OUTCOME_FAILED;
    switch (status) {
    case CANYON_OK:
        outcome = OUTCOME_DONE;
        break;
    case CANYON_TIMEOUT:
    case CANYON_UNAVAILABLE:
    case CANYON_OUTCOME_UNKNOWN:
    case CANYON_CLOSED:
        outcome = OUTCOME_UNREACHABLE;
        break;
    case CANYON_DENIED:
    case CANYON_UNAUTHENTICATED:
        outcome = OUTCOME_DENIED;
        break;
    default:
        break;
    }
    return outcome;
}

enum outcome outcome_report(const char *program, const char *doing, enum canyon_status status) {
    if (status == CANYON_OK) {
        return OUTCOME_DONE;
    }
    const char *text = canyon_error_text();
    fprintf(stderr, "%s: cannot %s: %s\n", program, doing, text[0] != '\0' ? text : canyon_status_name(status));
    if (status == CANYON_UNAVAILABLE) {
        fprintf(stderr, "%s: start canyon-server there, or name another address with --servers HOST:PORT\n", program);
    }
    return outcome_of(status);
}
