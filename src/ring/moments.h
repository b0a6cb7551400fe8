/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Mean and variance of each ring over angles and images.  Layer: ring.  doc/math.md section
 * 3.
 *
 * A ring sample's intensity is its value over its live weight.  Samples of a live weight
 * below a fifth of their ring's mean tell none: they lie at the edge of a mask, or behind
 * it.  A ring that a mask hides whole has no such sample: its mean and variance are 0. */
#ifndef SPI_RING_MOMENTS_H
#define SPI_RING_MOMENTS_H

#include "ring/ring.h"

/** Of ring r: sum[r], sum2[r] += sign times the intensities of the samples of an image, and
 * their squares; sign -1 takes an image out again. */
void spi_ring_moments_add_one(const struct spi_ring_map *map, const struct spi_rings *g,
                              int r, double sign, const float *samples, double *sum,
                              double *sum2);
/** mean, variance [R] of scale times the intensities of n images. */
void spi_ring_moments(const struct spi_ring_map *map, const struct spi_rings *g, int R,
                      double n, double scale, const double *sum, const double *sum2,
                      double *mean, double *variance);

#endif
