/* Idle memory: pages of a buffer that is kept, but whose contents nobody needs any more, go back to the system.
 *
 * The buffer stays the caller's and can be written at any time; the pages come back as they are touched, with zeroes in
 * them. For buffers that thousands of connections hold and few use at a time. */
#ifndef CANYON_COMMON_IDLE_MEMORY_H
#define CANYON_COMMON_IDLE_MEMORY_H

#include <stddef.h>

/* Lets go of the whole pages within [bytes, bytes + count): their contents are lost, what lies beside them is not. Any
 * thread that owns the buffer; safe on NULL with count 0. */
void idle_memory_release(void *bytes, size_t count);

#endif
