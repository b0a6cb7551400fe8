/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The two hot loops of continuous refinement: a real function on a grid with its gradient,
 * and the sums of a likelihood over pixels.  Layer: kernel.  doc/math.md (Q1)...(Q4).
 *
 * Both work on at most SPI_POINTS points at once, one array a component, so that what one
 * loop writes the next reads from cache.
 *
 * spi_interp_grad: grid (cell u = 0 at grid->at) and taps as in kernel/interp.h.
 *     out[0][j] = sum_i phi(i - u_j) grid[i],    out[1 + c][j] = d out[0][j] / d u_c  (Q1)
 * The derivative is that of the tap polynomials.  Horner's rule for three taps, their
 * product and the sum of w^3 of these err by gamma_{w^3 + 9 degree + 8} of the sum of
 * absolute values (with sum |coefficients| for each tap).
 *
 * spi_sums_counts, spi_sums_squares: with T = max(W, least), y = u x dW/du (0 where W <=
 * least) the derivative of T to a small turn of the points, K the image, g the geometry
 * factor and v the inverse variance:
 *                      counts         squares
 *     fit     +=     sum K log T     sum K T v
 *     model   +=     sum g T         sum g T^2 v
 *     K1      +=     sum K y / T     sum K y v                                       (Q3)
 *     g1      +=     sum g y         sum g T y v
 *     g2      +=     sum g y y'/ T   sum g y y' v       (xx, xy, xz, yy, yz, zz)
 * Sums of SPI_POINTS terms are float, the rest double; with the operations of a term (the
 * logarithm errs by less than 2^-22 (1 + |log T|)) gamma_{SPI_POINTS + 16} of the sum of
 * absolute values: of K (1 + |log T|), and of the two products of each y. */
#ifndef SPI_KERNEL_REFINE_H
#define SPI_KERNEL_REFINE_H

#include <stdbool.h>

#include "kernel/interp.h"

enum { SPI_POINTS = 256 };

/** Rows are read SPI_TAPS_MAX wide, and one row more than w. */
void spi_interp_grad(const struct spi_taps *taps, const struct spi_rows_in *grid, int n,
                     const float u[3][SPI_POINTS], float out[4][SPI_POINTS]);
/** The formula in double; mag: the sums of absolute values. */
void spi_interp_grad_ref(const struct spi_taps *taps, const struct spi_rows_in *grid, int n,
                         const float u[3][SPI_POINTS], double out[4][SPI_POINTS],
                         double mag[4][SPI_POINTS]);

struct spi_likelihood_sums {
    double fit, model, K1[3], g1[3], g2[6];
};

/** K, g, least, v: [n]; v is read by the squares only.  W: as spi_interp_grad leaves it. */
typedef void spi_sums_fn(int n, const float *K, const float *g, const float *least,
                         const float *v, const float u[3][SPI_POINTS],
                         const float W[4][SPI_POINTS], struct spi_likelihood_sums *sums);
spi_sums_fn spi_sums_counts, spi_sums_squares;
/** In double; mag takes the sums of absolute values. */
typedef void spi_sums_ref_fn(int n, const float *K, const float *g, const float *least,
                             const float *v, const float u[3][SPI_POINTS],
                             const float W[4][SPI_POINTS], struct spi_likelihood_sums *sums,
                             struct spi_likelihood_sums *mag);
spi_sums_ref_fn spi_sums_counts_ref, spi_sums_squares_ref;

#endif
