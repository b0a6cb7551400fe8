/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Interpolation of Fourier transforms of real functions from a half grid.  Layer: kernel.
 * doc/math.md (S6).
 *
 * The grid holds `comp` complex values at each point (z, y, x), C order, interleaved; x
 * from -x0 upwards, y and z from -c0.  For point j, u = M q_j in grid units; where u_x < 0
 * the point -u is read instead and the result conjugated, G(-u) = conj G(u).
 *
 *     F_j += sum_c factor_jc sum_i phi(i - u_j) G_c(i)
 *
 * over the w^3 nearest grid points.  Error of the float code against _ref: a sum of w^3
 * products of three taps and a value, and then comp products: gamma_{w^3 + comp + 8} times
 * the sum of absolute values; plus the polynomial taps (below 1/10 of the window's error).
 */
#ifndef SPI_KERNEL_INTERP_COMPLEX_H
#define SPI_KERNEL_INTERP_COMPLEX_H

#include <stdint.h>

#include "kernel/window.h"

struct spi_half_space_grid {
    int nx, n;         /* points on x; on y and on z */
    int x0, c0;        /* index of coordinate 0 on x; on y and z */
    int comp;          /* 2 or 4 */
    const float *data; /* [n][n][nx][comp][2], borrowed */
};

/** F[n][2] is added to.  All taps must lie on the grid (asserted).  w = 4, 6 or 8. */
void spi_interp_complex(const struct spi_window *win,
                        const struct spi_half_space_grid *grid, const double M[9],
                        int64_t n, const double (*q)[3], const float *factor,
                        float (*F)[2]);

/** The formula in double with the exact window; mag[n] takes the sums of absolute values.
 */
void spi_interp_complex_ref(const struct spi_window *win,
                            const struct spi_half_space_grid *grid, const double M[9],
                            int64_t n, const double (*q)[3], const float *factor,
                            double (*F)[2], double *mag);

#endif
