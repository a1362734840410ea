/* The deterministic functions against libm in long double, whose own error is some 2^11 times smaller than what is
 * measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>

#include "server/detmath.h"

#define SAMPLES 1500000
#define BOUND   1.5 /* ulp, as detmath.h promises */

struct generator {
    uint64_t state;
};

/* SplitMix64. The seed is printed; CANYON_SEED replays it. */
static uint64_t generator_next(struct generator *generator) {
    uint64_t z = generator->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static struct generator generator_seeded(void) {
    const char *text = getenv("CANYON_SEED");
    struct generator generator = {text != NULL ? strtoull(text, NULL, 0) : 20220101u};
    printf("seed %llu (CANYON_SEED replays it)\n", (unsigned long long)generator.state);
    return generator;
}

static double generator_unit(struct generator *generator) {
    return (double)(generator_next(generator) >> 11) * 0x1p-53;
}

/* |value - truth| in units of the last place of the double nearest to the truth. */
static double error_ulp(double value, long double truth) {
    const double nearest = fabs((double)truth);
    const double unit = nearest < DBL_MIN ? 0x1p-1074 : nextafter(nearest, (double)INFINITY) - nearest;
    return (double)(fabsl((long double)value - truth) / (long double)unit);
}

static void log_one(double x, double *worst) {
    const double error = error_ulp(detmath_log(x), logl((long double)x));
    if (!(error < BOUND))
        fail_msg("log(%a) is %a, off by %.3f ulp", x, detmath_log(x), error);
    *worst = fmax(*worst, error);
}

static void log_is_within_its_bound(void **state) {
    (void)state;
    struct generator generator = generator_seeded();
    double worst = 0.0;
    for (int i = 0; i < SAMPLES; i++) {
        const double u = generator_unit(&generator);
        log_one(1.0 - u, &worst);       /* what the initializer asks for */
        log_one(0.5 + 1.5 * u, &worst); /* where cancellation would show */
        log_one(1.0 + (u - 0.5) * ldexp(1.0, -(i % 50)), &worst);
        uint64_t bits = generator_next(&generator) & INT64_MAX; /* any positive double */
        double x;
        memcpy(&x, &bits, sizeof x);
        if (x > 0.0 && isfinite(x))
            log_one(x, &worst);
    }
    printf("log: largest error %.3f ulp\n", worst);
}

static void exp_is_within_its_bound(void **state) {
    (void)state;
    struct generator generator = generator_seeded();
    double worst = 0.0;
    for (int i = 0; i < SAMPLES; i++) {
        const double u = generator_unit(&generator);
        const double values[] = {u - 0.5, -700.0 * u, 709.0 * u, (u - 0.5) * ldexp(1.0, -(i % 50)), -708.0 - 38.0 * u};
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            const double error = error_ulp(detmath_exp(values[v]), expl((long double)values[v]));
            if (!(error < BOUND))
                fail_msg("exp(%a) is %a, off by %.3f ulp", values[v], detmath_exp(values[v]), error);
            worst = fmax(worst, error);
        }
    }
    printf("exp: largest error %.3f ulp\n", worst);
    assert_true(detmath_exp(0.0) == 1.0 && detmath_exp(-1e300) == 0.0 && detmath_exp(-746.5) == 0.0);
}

static void log_of_special_values(void **state) {
    (void)state;
    const double root2 = sqrt(2.0);
    const double values[] = {DBL_TRUE_MIN,
                             3 * DBL_TRUE_MIN,
                             DBL_MIN,
                             nextafter(DBL_MIN, 0),
                             DBL_MAX,
                             0.5,
                             2.0,
                             0x1p-53,
                             nextafter(1, 0),
                             nextafter(1, 2),
                             root2,
                             root2 / 2,
                             10.0,
                             nextafter(root2, 0),
                             nextafter(root2, 2),
                             nextafter(root2 / 2, 0),
                             nextafter(root2 / 2, 1),
                             2.718281828459045};
    double worst = 0.0;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        log_one(values[i], &worst);
    for (int exponent = -1074; exponent < 1024; exponent++)
        log_one(ldexp(1.0, exponent), &worst);
    assert_true(detmath_log(1.0) == 0.0);
    assert_false(signbit(detmath_log(1.0)));
}

/* sin and cos of 2 pi x in long double, from exact reductions to an eighth of a turn: sin(2 pi x) repeats with its sign
 * turned after half a turn, mirrors about a quarter, and is the cosine of what is missing to a quarter. */
static long double sine_turns(long double x) {
    const long double two_pi = 6.283185307179586476925286766559005768L;
    if (x >= 0.5L)
        return -sine_turns(x - 0.5L);
    if (x > 0.25L)
        return sine_turns(0.5L - x);
    if (x > 0.125L)
        return cosl(two_pi * (0.25L - x));
    return sinl(two_pi * x);
}

static long double cosine_turns(long double x) {
    return sine_turns(x >= 0.75L ? x - 0.75L : x + 0.25L);
}

static void sincos_one(double x, double *worst) {
    double sine, cosine;
    detmath_sincos_turns(x, &sine, &cosine);
    const double error =
        fmax(error_ulp(sine, sine_turns((long double)x)), error_ulp(cosine, cosine_turns((long double)x)));
    if (!(error < BOUND))
        fail_msg("sine and cosine of %a turns are %a and %a, off by %.3f ulp", x, sine, cosine, error);
    *worst = fmax(*worst, error);
}

static void sincos_is_within_its_bound(void **state) {
    (void)state;
    struct generator generator = generator_seeded();
    double worst = 0.0;
    for (int i = 0; i < SAMPLES; i++) {
        const double u = generator_unit(&generator);
        sincos_one(u, &worst);
        const double near = i % 8 * 0.125 + (u - 0.5) * ldexp(1.0, -(i / 8 % 50)); /* about the eighths */
        if (near >= 0.0 && near < 1.0)
            sincos_one(near, &worst);
    }
    printf("sine, cosine: largest error %.3f ulp\n", worst);
}

static void sincos_of_special_values(void **state) {
    (void)state;
    static const double exact[4][2] = {{0.0, 1.0}, {1.0, 0.0}, {0.0, -1.0}, {-1.0, 0.0}};
    double sine, cosine, worst = 0.0;
    for (int quarter = 0; quarter < 4; quarter++) {
        detmath_sincos_turns(quarter * 0.25, &sine, &cosine);
        assert_true(sine == exact[quarter][0] && cosine == exact[quarter][1]);
    }
    sincos_one(nextafter(1.0, 0.0), &worst);
    for (int exponent = -1000; exponent < 0; exponent++) { /* below, products reach the subnormals */
        sincos_one(ldexp(1.0, exponent), &worst);
        sincos_one(nextafter(ldexp(1.0, exponent), 0.0), &worst);
        sincos_one(nextafter(ldexp(1.0, exponent), 1.0), &worst);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_is_within_its_bound),  cmocka_unit_test(exp_is_within_its_bound),
        cmocka_unit_test(log_of_special_values),    cmocka_unit_test(sincos_is_within_its_bound),
        cmocka_unit_test(sincos_of_special_values),
    };
    return cmocka_run_group_tests_name("detmath", tests, NULL, NULL);
}
