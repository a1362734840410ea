/* What the machine, and the system, give this process. */
#ifndef CANYON_SERVER_MACHINE_H
#define CANYON_SERVER_MACHINE_H

#include <stdint.h>

/* Bytes of physical memory; 0 when that is not known. */
uint64_t machine_memory(void);

/* Raises the limit on open files as far as the system lets it; returns what it is then. */
uint64_t machine_descriptors(void);

#endif
