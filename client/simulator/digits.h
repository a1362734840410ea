/* Real data to learn from: 8 x 8 images of handwritten digits, see data/LICENSE-digits.md.
 *
 * The file is part of the program. Its reader believes nothing: a line is 64 pixels from 0 to 16 and a label from 0 to
 * 9, separated by single commas, and anything else is an error that names the line and the number. */
#ifndef CANYON_SIMULATOR_DIGITS_H
#define CANYON_SIMULATOR_DIGITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGITS_PIXELS     64   /* of an image, row by row */
#define DIGITS_CLASSES    10   /* labels are 0 to 9 */
#define DIGITS_SHADES     16   /* the darkest pixel */
#define DIGITS_COUNT      1797 /* images that the program holds */
#define DIGITS_TEXT_BYTES 256  /* room enough for every error text */

struct digits {
    size_t count;
    float *pixels;   /* count rows of DIGITS_PIXELS, each divided by DIGITS_SHADES: 0 to 1 */
    uint8_t *labels; /* count */
};

/* Reads `bytes` bytes of comma separated text. On success `digits` is to be finished; otherwise it is zeroed and `text`
 * says what was wrong. Memory taken is proportional to `bytes`. */
bool digits_parse(const char *csv, size_t bytes, struct digits *digits, char *text, size_t text_bytes);

/* The same for the images inside the program; also checks that there are DIGITS_COUNT of them. */
bool digits_load(struct digits *digits, char *text, size_t text_bytes);

/* Frees and zeroes. Safe on a zeroed one and on NULL. */
void digits_finish(struct digits *digits);

#endif
