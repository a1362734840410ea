/* Numbers as text, the same in every locale: a program that set a locale with a decimal comma reads "0.1" all the same.
 */
#ifndef CANYON_COMMON_NUMBER_H
#define CANYON_COMMON_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NUMBER_TEXT_BYTES 32

/* The shortest of %.1g to %.17g that reads back as the same value, into `text` (NUMBER_TEXT_BYTES suffice); returns it.
 */
char *number_text(double value, char *text, size_t bytes);

/* Reads `text` as a whole as one floating-point number; false when it is empty, has blanks around it or anything behind
 * it, or overflows. "inf" and "nan" are read: whether they are welcome is the caller's affair. */
bool number_parse(const char *text, double *value);

/* Reads decimal digits only (no sign, no blank) up to `limit`; false for anything else. */
bool number_parse_u64(const char *text, uint64_t limit, uint64_t *value);

#endif
