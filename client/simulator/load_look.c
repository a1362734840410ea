#include "client/simulator/load_look.h"

#include <string.h>
#include <time.h>

#include "client/simulator/news.h"

#define LOOK_MS 5000u /* a server that is busier than that is looked at in vain */

/* Processor time of other processes, to the nanosecond, where /proc has hundredths of seconds. */
static bool look_at_work(const struct local *local, uint64_t *nanoseconds) {
    for (uint32_t i = 0; i < local_count(local); i++) {
        clockid_t clock;
        struct timespec worked;
        pid_t process = local_process(local, i);
        if (process <= 0 || clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &worked) != 0) {
            return false;
        }
        *nanoseconds += (uint64_t)worked.tv_sec * 1000000000u + (uint64_t)worked.tv_nsec;
    }
    return true;
}

void load_look_take(struct load_look *look, canyon_client *client, const struct local *local) {
    struct canyon_server_statistics *servers = NULL;
    size_t count = 0;
    memset(look, 0, sizeof *look);
    look->taken = canyon_statistics(client, LOOK_MS, &servers, &count) == CANYON_OK;
    look->time = news_clock();
    for (size_t i = 0; i < count; i++) {
        look->taken = look->taken && servers[i].reachable;
        look->bytes_in += servers[i].bytes_in;
        look->bytes_out += servers[i].bytes_out;
        look->values_in += servers[i].values_in;
        look->single_in += servers[i].values_in_single;
        look->values_out += servers[i].values_out;
        look->single_out += servers[i].values_out_single;
    }
    canyon_free(servers);
    look->worked = local != NULL && look_at_work(local, &look->nanoseconds);
}
