/* An initializer makes a tensor's first values, the same ones however the tensor is cut into blocks and spread over
 * servers.
 *
 * A random value depends on three things only: the initializer's seed, the tensor's name and the index of the element.
 * Its source is one call of Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * 2011) with key      = seed                                     (low word first) counter  = element index, hash_64 of
 * the name       (two words each, low word first) whose four 32-bit words x0..x3 give two numbers of 53 bits u = ((x1 *
 * 2^32 + x0) >> 11) / 2^53    in [0, 1) v = ((x3 * 2^32 + x2) >> 11) / 2^53    in [0, 1) and from these, in double and
 * rounded to float once at the end, uniform  a + (b - a) * u, where a and b are first rounded to float; a result that
 * rounds to b becomes the float below b, so that the interval [a, b) is kept normal   a + b * sqrt(-2 ln(1 - u)) *
 * cos(2 pi v)   (Box-Muller; |deviation| < 8.6) xavier   uniform on [-r, r) with r = a * sqrt(6 / (fan_in + fan_out))
 * (Glorot and Bengio 2010, eq. 16) kaiming  normal with mean 0 and deviation a / sqrt(fan_in)                     (He
 * et al. 2015, eq. 10 for a = sqrt 2) Logarithm and cosine are detmath's, so the bits are the same on every machine.
 *
 * Fans follow PyTorch: for a shape [out, in, kernel...], fan_in = in * kernel..., fan_out = out * kernel...; a
 * tensor of one dimension, where PyTorch has no rule, uses its length for both, a scalar 1.
 *
 * Pure functions without state: any thread may call them. */
#ifndef CANYON_SERVER_INITIALIZER_H
#define CANYON_SERVER_INITIALIZER_H

#include <stddef.h>
#include <stdint.h>

#include "common/status.h"
#include "common/tensor.h"

/* Known kind, and numbers that make sense for it once rounded to float: a constant, a mean or a bound is finite,
 * uniform has a < b, a deviation is not negative, a gain is above zero. The numbers a kind does not use are ignored.
 * INVALID_ARGUMENT names the number, its value and the range. */
enum canyon_status initializer_check(const struct initializer *initializer, struct error *error);

/* Writes elements first_element .. first_element + count - 1 of the tensor into `values`. The spec has passed
 * initializer_check and holds a valid shape. Kinds ZEROS and VALUES give zeros (the creator assigns VALUES later).
 * Every value is finite: a normal one beyond float's range becomes the largest float of its sign. */
void initializer_fill(const struct tensor_spec *spec, uint64_t first_element, size_t count, float *values);

/* How an initializer reads for one tensor or table: the distribution, with its fans worked out. */
struct initializer_recipe {
    enum { RECIPE_FILL, RECIPE_UNIFORM, RECIPE_NORMAL } kind;
    uint64_t seed, name;
    double a, b; /* value; bounds; mean and deviation */
};

void initializer_recipe_of(const struct tensor_spec *spec, struct initializer_recipe *recipe);

/* Writes the `dim` first values of a table's row (initializer_row.c). They depend on the table (its seed and name) and
 * the id only: element i has word i mod 4, x, of the Philox call whose key is the seed and whose counter is the id (two
 * words, low word first), i / 4, and the low word of hash_64 of the name. From it u = (x + 1/2) / 2^32, within (0, 1):
 * 32 bits are more than a float has, and a table makes rows while somebody waits.
 *
 * Uniform is as above. Normal makes two elements of two numbers u and v, those of elements 2k and 2k + 1: they are a +
 * b
 * * sqrt(-2 ln u) times cos(2 pi v), and times sin(2 pi v); |deviation| < 6.8. Xavier and kaiming take a row for a
 * tensor of one dimension. Zeros are zeros; there is no VALUES for tables. Every value is finite, as above. */
void initializer_row(const struct initializer_recipe *recipe, uint64_t id, size_t dim, float *values);

/* For both: rounded to float, below `high`; rounded to float, finite. */
float initializer_round_below(double value, double high);
float initializer_round_finite(double value);

/* The fans of a shape, as described above. Doubles, because only ratios of them are used and no product can overflow.
 */
void initializer_fans(const struct shape *shape, double *fan_in, double *fan_out);

/* Philox4x32 with 10 rounds: replaces the counter by its random words. Here for the initializer and its test. */
void initializer_philox(const uint32_t key[2], uint32_t counter[4]);

#endif
