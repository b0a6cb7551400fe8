/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Where the beam meets the detector, from the mean image.  Layer: match.  doc/math.md
 * (J10).
 *
 * The mean over many orientations depends on |q| alone.  Where the pixel positions have a
 * wrong origin, one side of each ring is brighter where the profile falls, and darker where
 * it rises.  W(q) = W(-q) on a nearly flat Ewald sphere, so that this odd part is free of
 * the unevenness of few orientations. */
#ifndef SPI_MATCH_CENTRE_H
#define SPI_MATCH_CENTRE_H

#include <stdbool.h>

#include "io/images.h"

enum { SPI_CENTRE_MOST_PX = 10 }; /* a larger shift is not found */

struct spi_centre {
    bool known;           /* enough complete rings */
    bool agree;           /* a shift is all that the rings show: (J12) */
    double shift_px[2];   /* of the true origin along q_x and q_y, in pixels */
    double sigma_px[2];   /* standard errors, from part to part of the images */
    double shift_invA[2]; /* as spi_images_move_centre takes it */
};

/** Sums of `parts` parts of the images, sum[parts][n_pixels], n images in all.  SPI_ENOMEM.
 */
SPI_MUSTUSE spi_err spi_centre_estimate(const struct spi_detector *det,
                                        enum spi_image_kind kind, int64_t n, int parts,
                                        const float *sum, struct spi_centre *out);
/** Whether the origin is off by more than noise allows: 6 standard errors and a quarter of
 *  a pixel. */
bool spi_centre_is_off(const struct spi_centre *c);

#endif
