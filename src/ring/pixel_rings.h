/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The radial profile of an image: means over rings one pixel wide.  Layer: ring. */
#ifndef SPI_RING_PIXEL_RINGS_H
#define SPI_RING_PIXEL_RINGS_H

#include "io/images.h"

struct spi_pixel_rings {
    int n;
    double width;  /* 1/A, the least distance of neighbours in a row */
    double *q;     /* [n] mean |q| of the ring's good pixels, owned */
    double *value; /* [n] mean of value over geometry factor, owned */
    double *count; /* [n] good pixels, owned */
};

/** Rings up to the corner of the detector.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_pixel_rings_init(const struct spi_detector *det,
                                         struct spi_pixel_rings *f);
/** Release what the struct owns. */
void spi_pixel_rings_clear(struct spi_pixel_rings *f);
/** The profile of value [n_pixels]. */
void spi_pixel_rings_of(const struct spi_detector *det, const float *value,
                        struct spi_pixel_rings *f);
/** At |q| = q: linear between the two nearest rings that hold pixels. */
double spi_pixel_rings_at(const struct spi_pixel_rings *f, double q);

#endif
