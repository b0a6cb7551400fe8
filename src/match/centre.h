/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Where the beam meets the detector, from the mean image and from single images.  Layer:
 * match.  doc/math.md (J10) to (J16).
 *
 * The mean over many orientations depends on |q| alone.  Where the pixel positions have a
 * wrong origin, one side of each ring is brighter where the profile falls, and darker where
 * it rises.  W(q) = W(-q) on a nearly flat Ewald sphere, so that this odd part is free of
 * the unevenness of few orientations.  A background that is not radial spoils the mean image;
 * the two sides of single images (match/friedel.h) do not see it. */
#ifndef SPI_MATCH_CENTRE_H
#define SPI_MATCH_CENTRE_H

#include <stdbool.h>

#include "io/images.h"
#include "match/friedel.h"

enum { SPI_CENTRE_MOST_PX = 10 }; /* a larger shift is not found */

/** What measured it. */
enum spi_centre_by { SPI_CENTRE_BY_MEAN, SPI_CENTRE_BY_PAIRS, SPI_CENTRE_BY_BOTH };

struct spi_centre {
    bool known;   /* something measured it */
    bool agree;   /* a shift is all that is wrong: (J12), or the pairs say it */
    bool partial; /* the mean image has incomplete rings only */
    bool far;     /* farther than SPI_CENTRE_MOST_PX */
    enum spi_centre_by by;
    double shift_px[2];   /* of the true origin along q_x and q_y, in pixels */
    double sigma_px[2];   /* standard errors, from part to part of the images */
    double shift_invA[2]; /* as spi_images_move_centre takes it */
    int n_blocks;         /* of images in the order of the file that measured it; or 0 */
    double block_px[SPI_FRIEDEL_BLOCKS][2]; /* what each of them says */
    double drift_px; /* (J16): how far it moves over the file; 0: it does not */
};

/** From sums of `parts` parts of the images, sum[parts][n_pixels], n images in all.
 * SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_centre_estimate(const struct spi_detector *det,
                                        enum spi_image_kind kind, int64_t n, int parts,
                                        const float *sum, struct spi_centre *out);
/** (J15): what the mean image and the pairs of single images say together; *c is that of the
 * mean image before. */
void spi_centre_combine(struct spi_centre *c, const struct spi_friedel_result *pairs);
/** Whether the origin is off by more than noise allows: 4 standard errors and 0.08 pixels
 * where single images measured it, 6 and 0.15 by the mean image alone. */
bool spi_centre_is_off(const struct spi_centre *c);

#endif
