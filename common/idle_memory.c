#include "common/idle_memory.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void idle_memory_release(void *bytes, size_t count) {
    const long size = sysconf(_SC_PAGESIZE);
    if (size <= 0 || count < (size_t)size) {
        return;
    }
    const uintptr_t page = (uintptr_t)size, begin = (uintptr_t)bytes, end = begin + count;
    const uintptr_t first = (begin + page - 1) / page * page, last = end / page * page;
    if (first < last) {
        /* Locked pages stay, which is no fault. */
        (void)madvise((uint8_t *)bytes + (first - begin), last - first, MADV_DONTNEED);
    }
}
