/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Convolution with an even kernel on a zero-padded cube.  Layer: math.  doc/math.md (V4).
 *
 *     y(i) = sum_j Q(i - j) x(j),   i, j in n^3,  Q given on [-n, n-1]^3
 *
 * by transforms of length 2n along each axis in turn, so that rows and planes that are zero
 * (going in) or not wanted (coming out) are not transformed: 3.5 passes over the doubled
 * cube instead of 6, each on one plane, which stays in cache.  Made in float or in double;
 * x and y are double.  Planes and columns may be done by different threads: the bits do not
 * change.
 *
 *     spi_convolve_planes(c, x, 0, n); spi_convolve_columns(c, 0, 2 * n);
 *     spi_convolve_back(c, y, 0, n);                              is spi_convolve(c, x, y)
 */
#ifndef SPI_MATH_CONVOLVE_H
#define SPI_MATH_CONVOLVE_H

#include <stdbool.h>

#include "base/error.h"

typedef struct spi_convolve spi_convolve;

/** Q [2n]^3, centred (Q(0) at index n), or NULL: the kernel 0.  f64: transforms in double.
 */
SPI_MUSTUSE spi_err spi_convolve_new(int n, bool f64, const double *Q, spi_convolve **out);
/** Another one of the same kernel (borrowed: free this one first) with scratch of its own.
 */
SPI_MUSTUSE spi_err spi_convolve_share(const spi_convolve *c, spi_convolve **out);
/** Release the object; NULL is allowed. */
void spi_convolve_free(spi_convolve *c);

/** Transform of the kernel += value where |k| > k_max, k in steps of the doubled cube. */
void spi_convolve_add_beyond(spi_convolve *c, double k_max, double value);

/** y = Q * x, both [n]^3; x == y is allowed. */
SPI_MUSTUSE spi_err spi_convolve_apply(spi_convolve *c, const double *x, double *y);
/** Its three parts, for z planes from..to-1 of n, columns of 2n, z planes of n. */
SPI_MUSTUSE spi_err spi_convolve_planes(spi_convolve *c, const double *x, int from, int to);
/** The second part of spi_convolve_apply. */
SPI_MUSTUSE spi_err spi_convolve_columns(spi_convolve *c, int from, int to);
/** The third part of spi_convolve_apply. */
SPI_MUSTUSE spi_err spi_convolve_back(spi_convolve *c, double *y, int from, int to);

#endif
