/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What of the mean image is not the same all around the beam: a background that stays while
 * the particles turn.  Layer: mtip.  doc/math.md (Q21). */
#ifndef SPI_MTIP_UNEVEN_H
#define SPI_MTIP_UNEVEN_H

#include "io/images.h"

/** mean: of two independent parts of the images, [2][n_pixels] counts; share: their numbers
 * of images.  out [n_pixels]: the uneven part of an image's counts, whose mean on each ring
 * is zero; *found: it is there for certain, and more than a trifle.  Judged are pixels from
 * q_from (1/A) on, of good pixels up to q_to. */
SPI_MUSTUSE spi_err spi_uneven_find(const struct spi_detector *det,
                                    const float *const mean[2], const double share[2],
                                    double q_from, double q_to, float *out, bool *found);
/** out = known less its mean on each ring. */
SPI_MUSTUSE spi_err spi_uneven_of(const struct spi_detector *det, const float *known,
                                  float *out);

/** Where the detector has bad pixels value [n_pixels] becomes its ring's mean. */
SPI_MUSTUSE spi_err spi_uneven_fill(const struct spi_detector *det, float *value);

#endif
