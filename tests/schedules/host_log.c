#include "tests/schedules/host_state.h"

#include <stdlib.h>
#include <string.h>

#include "server/command.h"

void host_watch(struct host *host) {
    (void)host;
}
void host_replay(struct host *host, struct handler *const *handlers) {
    (void)host;
    (void)handlers;
}
void host_forget(struct host *host) {
    (void)host;
}
void host_settle(struct host *host) {
    (void)host;
}
void host_check_log(struct host *host) {
    (void)host;
}
