/* Mathematics that gives the same bits everywhere: the few transcendental functions used below the shard, in double.
 *
 * libm's own change their last bits with the CPU's instructions and with its version; these use + - * / and operations
 * on bits only, so that equal commands give equal weights on every machine. An error of "n ulp" is the distance to the
 * true value in units of the result's last place.
 *
 * Pure functions: any thread may call them. */
#ifndef CANYON_SERVER_DETMATH_H
#define CANYON_SERVER_DETMATH_H

/* The natural logarithm of a positive finite x, subnormal ones included. Error below 1.5 ulp; log(1) is exactly 0. */
double detmath_log(double x);

/* e to the power x, for x up to 709. Error below 1.5 ulp, 0 below about -745.2; exp(0) is exactly 1. */
double detmath_exp(double x);

/* sin(2 pi x) and cos(2 pi x) for 0 <= x < 1: x counts turns, so that nothing is lost in reducing it. Error below 1.5
 * ulp each; exact (0, 1 or -1) at whole quarters. */
void detmath_sincos_turns(double x, double *sine, double *cosine);

#endif
