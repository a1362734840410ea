#include "server/detmath.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

static uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double of_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* x = mantissa * 2^exponent with the mantissa between sqrt(1/2) and sqrt(2), where the series of the logarithm is
 * shortest. */
static double split(double x, int *exponent) {
    static const double root2 = 0x1.6a09e667f3bcdp+0;
    int shift = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        shift = -54;
    }
    const uint64_t bits = bits_of(x);
    double mantissa = of_bits((bits & 0xfffffffffffffu) | 0x3ff0000000000000u); /* in [1, 2) */
    shift += (int)(bits >> 52) - 1023;
    if (mantissa >= root2) {
        mantissa *= 0.5;
        shift++;
    }
    *exponent = shift;
    return mantissa;
}

/* With f = mantissa - 1 (exact) and s = f / (2 + f), ln(1 + f) = 2 s + 2 s^3/3 + 2 s^5/5 ... Since 2 s = f - s f, it is
 * written f - s (f - R) with R = 2 s^2/3 + 2 s^4/5 ...: the rounding of s then weighs on a small correction only. |s| <
 * 0.1716, so eleven terms reach 1e-19. ln 2 comes in two parts, the first short enough that its product with the
 * exponent is exact. */
double detmath_log(double x) {
    static const double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
    static const double coefficients[] = {2.0 / 23.0, 2.0 / 21.0, 2.0 / 19.0, 2.0 / 17.0, 2.0 / 15.0, 2.0 / 13.0,
                                          2.0 / 11.0, 2.0 / 9.0,  2.0 / 7.0,  2.0 / 5.0,  2.0 / 3.0};
    assert(x > 0.0 && isfinite(x));
    int exponent;
    const double f = split(x, &exponent) - 1.0;
    const double s = f / (2.0 + f);
    const double z = s * s;
    double series = 0.0;
    for (size_t i = 0; i < sizeof coefficients / sizeof coefficients[0]; i++)
        series = (series + coefficients[i]) * z;
    return exponent * ln2_high + (f - (s * (f - series) - exponent * ln2_low));
}

/* x = k ln 2 + r with |r| <= ln 2 / 2; the series of e^r reaches 1e-18 with its term of r^14. The product of k and the
 * first part of ln 2 is exact. A power of two below the normal doubles is reached in two steps, of which only the last
 * one rounds. */
double detmath_exp(double x) {
    static const double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
    static const double per_ln2 = 0x1.71547652b82fep+0;
    assert(x <= 709.0);
    if (x < -746.0)
        return 0.0;
    const int k = (int)(x * per_ln2 + (x < 0.0 ? -0.5 : 0.5));
    const double high = x - k * ln2_high, low = k * ln2_low;
    const double r = high - low;
    double series = 1.0 / 87178291200.0; /* 1 / 14! */
    static const double factorials[] = {6227020800.0, 479001600.0, 39916800.0, 3628800.0, 362880.0, 40320.0,
                                        5040.0,       720.0,       120.0,      24.0,      6.0,      2.0};
    for (size_t i = 0; i < sizeof factorials / sizeof factorials[0]; i++)
        series = series * r + 1.0 / factorials[i];
    /* What r lost in its own rounding counts as much as the last bit of the sum. */
    const double result = 1.0 + (r + (r * r * series + ((high - r) - low)));
    if (k >= -1021)
        return result * of_bits((uint64_t)(k + 1023) << 52);
    return result * of_bits((uint64_t)(k + 1023 + 60) << 52) * 0x1p-60;
}

/* sin(2 pi r), |r| <= 1/8, by its series in r. The leading term 2 pi r is most of the result and must not round twice:
 * both of its factors are split, the product of the high halves is exact, and the rest is added last. */
static double sine_of(double r, double z) {
    static const double two_pi_high = 0x1.921fb50000000p+2, two_pi_low = 0x1.110b4611a6263p-24;
    static const double coefficients[] = {/* (2 pi)^n / n! for n = 19, 17 ... 3, with their signs */
                                          -0x1.8a404211f9547p-7, 0x1.aaec32af93359p-4,  -0x1.6fadb9f155744p-1,
                                          0x1.e8f434d018d63p+1,  -0x1.e3074fde8871fp+3, 0x1.50783487ee782p+5,
                                          -0x1.32d2cce62bd86p+6, 0x1.466bc6775aae2p+6,  -0x1.4abbce625be53p+5};
    double series = 0.0;
    for (size_t i = 0; i < sizeof coefficients / sizeof coefficients[0]; i++)
        series = (series + coefficients[i]) * z;
    const double high = of_bits(bits_of(r) & ~UINT64_C(0x7ffffff));
    const double low = r - high;
    return high * two_pi_high + (low * two_pi_high + r * (two_pi_low + series));
}

static double cosine_of(double z) {
    static const double coefficients[] = {/* (2 pi)^n / n! for n = 18, 16 ... 2, with their signs */
                                          -0x1.2a0c591af8314p-5, 0x1.20c62c2f2d7f5p-2,  -0x1.b6e24f44b128fp+0,
                                          0x1.f9d38a3763cc3p+2,  -0x1.a6d1f2a204a8cp+4, 0x1.e1f506891babbp+5,
                                          -0x1.55d3c7e3cbffap+6, 0x1.03c1f081b5ac4p+6,  -0x1.3bd3cc9be45dep+4};
    double series = 0.0;
    for (size_t i = 0; i < sizeof coefficients / sizeof coefficients[0]; i++)
        series = (series + coefficients[i]) * z;
    return 1.0 + series;
}

void detmath_sincos_turns(double x, double *sine, double *cosine) {
    assert(x >= 0.0 && x < 1.0);
    const int quarter = (int)(x * 4.0 + 0.5); /* the nearest quarter turn, 0 to 4 */
    const double r = x - quarter * 0.25;      /* exact, at most an eighth of a turn */
    const double z = r * r;
    const double s = sine_of(r, z), c = cosine_of(z);
    switch (quarter & 3) {
    case 0:
        *sine = s;
        *cosine = c;
        break;
    case 1:
        *sine = c;
        *cosine = -s;
        break;
    case 2:
        *sine = -s;
        *cosine = -c;
        break;
    default:
        *sine = -c;
        *cosine = s;
        break;
    }
}
