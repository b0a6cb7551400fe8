/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * How wide speckles are along rings: the angular correlation of the images.  Layer: match.
 * doc/math.md (J9).
 *
 * Two pixels of one ring, a distance k apart in reciprocal space, have intensities that
 * correlate like |S(k)|^2, the transform of the particle's shape.  The pairs of a ring far
 * from the beam tell this for small k, also where the pixels at small |q| are missing or
 * full, and a smooth background does not change it. */
#ifndef SPI_MATCH_SPECKLE_H
#define SPI_MATCH_SPECKLE_H

#include "io/images.h"

typedef struct spi_speckle spi_speckle;

/** ring [n_pixels]: the ring of each pixel, dq wide, the first at |q| = 0; -1: none. */
SPI_MUSTUSE spi_err spi_speckle_new(const struct spi_detector *det,
                                    enum spi_image_kind kind, const int32_t *ring,
                                    int n_rings, double dq, spi_speckle **out);
/** Release the object; NULL is allowed. */
void spi_speckle_free(spi_speckle *s);
/** One image, [n_pixels] as in _new. */
SPI_MUSTUSE spi_err spi_speckle_add(spi_speckle *s, const float *image);

/** Correlation at k[i] = (i + 1) dq, i < n, of the rings with |q| > q_low, with its
 * variance from ring to ring; it falls to 0 where speckles end.  k is the mean of the
 * pairs. SPI_EINVAL: fewer than 6 rings. */
SPI_MUSTUSE spi_err spi_speckle_curve(const spi_speckle *s, double q_low, int n, double *k,
                                      double *value, double *variance);

#endif
