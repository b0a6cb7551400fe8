/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What a detector's electronics make of photons: value = pedestal + gain (photons + noise z),
 * z normal (S21).  Layer: io.  doc/math.md (X2), (X3). */
#ifndef SPI_IO_ELECTRONICS_H
#define SPI_IO_ELECTRONICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct spi_electronics {
    double pedestal; /* in the unit of the file: no photon */
    double gain;     /* of a photon; 0: not known */
    double noise;    /* standard deviation, photons */
};

/** Find the peaks of 0, 1, 2 ... photons in values of many pixels, image by image.  gain 0:
 * there are no peaks, they move from image to image, or the values are too few to tell.  A
 * noise above about 0.35 photons leaves no peaks.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_electronics_find(int64_t n, const float *value,
                                         struct spi_electronics *out);

/** Photons that a reading of x photons stands for, where the pixel holds `expected` on
 * average and its counts are geometric (speckles): their mean given x (X2). */
double spi_electronics_photons(double x, double expected, double noise);

#endif
