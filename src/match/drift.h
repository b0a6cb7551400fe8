/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * How the beam's centre moves over the file, from images beside their model.  Layer: match.
 * doc/math.md (Q31). */
#ifndef SPI_MATCH_DRIFT_H
#define SPI_MATCH_DRIFT_H

#include "match/geometry.h"

enum { SPI_DRIFT_BLOCKS = 40 }; /* at most */

/** What one image says. */
struct spi_drift_image {
    int64_t image; /* its number in the file */
    int32_t half;  /* 0 or 1: its half set */
    int32_t unused;
    struct spi_geometry_centre centre;
};

/** Where the beam is in blocks of images, from its mean place. */
struct spi_drift {
    int n;                          /* blocks; 0: too little is known */
    double image[SPI_DRIFT_BLOCKS]; /* the middle of each, in the order of the file */
    double px[SPI_DRIFT_BLOCKS][2]; /* along q_x and q_y, pixels */
    double sigma_px;                /* of a block */
    double range_px;                /* between the two that are farthest apart */
    double gain; /* of log-likelihood, each half set at what the other one says */
};

/** From n images in the order of the file. */
void spi_drift_find(int64_t n, const struct spi_drift_image *images, struct spi_drift *out);
/** Where the beam is in an image: linear between the blocks' middles. */
void spi_drift_at(const struct spi_drift *d, int64_t image, double px[2]);

#endif
