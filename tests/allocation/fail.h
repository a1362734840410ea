/* Makes one allocation fail: the n-th that the code under test asks for while armed.
 *
 * A test runs its scenario with n = 1, 2, 3 ... until nothing failed: then every allocation of it has failed once. The
 * program's own calls of malloc and its kin are wrapped by the linker (tests.cmake), so those of Canyon are counted and
 * those inside system libraries are not. Thread-safe: whichever thread asks n-th gets nothing. */
#ifndef CANYON_TESTS_ALLOCATION_FAIL_H
#define CANYON_TESTS_ALLOCATION_FAIL_H

#include <stdbool.h>
#include <stddef.h>

/* Starts counting from zero, disarmed; the `nth` counted allocation will fail. */
void fail_begin(size_t nth);

/* Only what is asked for between arm and disarm counts. */
void fail_arm(void);
void fail_disarm(void);

/* Whether the n-th was asked for, and how many were. */
bool fail_happened(void);
size_t fail_count(void);

/* Where the failed allocation was asked for, as the text of an address, for messages. */
const char *fail_place(void);

/* Runs `scenario` with 1, 2, 3 ... until it reports that nothing failed; prints how many allocations that were. The
 * scenario calls fail_begin(nth) itself. `most` is an endless loop's end. */
void fail_each(const char *name, void (*scenario)(size_t nth), size_t most);

#endif
