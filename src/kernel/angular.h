/** \file
 * From harmonics to in-plane angles.  Layer: kernel.  doc/math.md (R7).
 *
 *     f(a) = C_0 + 2 Re sum_{0 < m < M} C_m exp(2 pi i m a / Na),  a = 0 ... Na - 1
 *
 * Na even, Na >= 2 M.  As a matrix product with the even/odd split
 *     E_a = sum_m Re C_m cos_ma,  O_a = sum_m Im C_m sin_ma,  f(+-a) = E_a +- O_a
 * for a = 0 ... Na/2: half the products of a plain table. */
#ifndef SPI_KERNEL_ANGULAR_H
#define SPI_KERNEL_ANGULAR_H

#include <stdint.h>

/** cos_table, sin_table: [M][Na/2 + 1], with the factors 2 (m > 0) and -2 included. */
void spi_angular_tables(int M, int Na, float *cos_table, float *sin_table);

/** n functions at once: re, im are [M][n] (harmonic-major), out is [n][Na]; E and O are
 *  scratch of n * (Na/2 + 1) floats each. */
void spi_angular(int M, int Na, const float *cos_table, const float *sin_table, int64_t n,
                 const float *re, const float *im, float *E, float *O, float *out);

/** One function, straight from the formula, in double inside. */
void spi_angular_one(int M, int Na, const float *re, const float *im, float *out);

/** The formula in double; mag: the sum of absolute values.  spi_angular: rounded tables,
 * two sums of M products, one sum: |error| <= gamma_{M + 3} mag. */
void spi_angular_ref(int M, int Na, const float *re, const float *im, double *out,
                     double *mag);

#endif
