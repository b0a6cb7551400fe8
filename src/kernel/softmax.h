/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Posterior weights from log-likelihoods.  Layer: kernel.  doc/math.md (M4). */
#ifndef SPI_KERNEL_SOFTMAX_H
#define SPI_KERNEL_SOFTMAX_H

#include <stdint.h>

/** Largest of n values. */
float spi_max(int64_t n, const float *x);
/** Index of the largest, the lowest of equals. */
int64_t spi_arg_max(int64_t n, const float *x);
/** Sum of those of n values that are below the limit. */
float spi_sum_below(int64_t n, const float *x, float limit);
/** value[i] = -infinity for all directions at least so near: axis . (x, y, z)_i >= cosine.
 */
void spi_drop_near(int64_t n, const float *x, const float *y, const float *z,
                   const float axis[3], float cosine, float *value);
/** Of n < 65536 weights those >= least, in order: their places and values (room for n +
 *  15); returns how many.  sum, sum_S: added to them, of the kept w_i and w_i S_i (S NULL:
 *  1), float sums of n terms. */
int spi_keep_weights(int n, const float *w, float least, const float *S, uint16_t *place,
                     float *kept, double *sum, double *sum_S);
/** The literal twin. */
int spi_keep_weights_ref(int n, const float *w, float least, const float *S,
                         uint16_t *place, float *kept, double *sum, double *sum_S);
/** For tiles of `lanes` directions, sums of their weights (M8): mass = sum e w, mass_S =
 * sum e wS; and over all tiles sum e (wx + x w). */
void spi_tile_masses(int64_t tiles, int lanes, const float *e, const float *x,
                     const float *w, const float *wx, const float *wS, float *mass,
                     float *mass_S, double *sum_x);
/** x_i *= scale. */
void spi_scale(int64_t n, float scale, float *x);

#endif
