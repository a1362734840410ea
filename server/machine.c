#include "server/machine.h"

#include <sys/resource.h>
#include <unistd.h>

#define DESCRIPTORS_LEAST 1024 /* what every system gives */

uint64_t machine_memory(void) {
    long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && bytes > 0 ? (uint64_t)pages * (uint64_t)bytes : 0;
}

uint64_t machine_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return DESCRIPTORS_LEAST;
    }
    rlim_t now = limit.rlim_cur;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        now = setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : now;
    }
    return (uint64_t)now;
}
