/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What more images would bring, from what fewer images do.  Layer: mtip.  doc/math.md
 * (Q17). */
#ifndef SPI_MTIP_OUTLOOK_H
#define SPI_MTIP_OUTLOOK_H

#include "mtip/agreement.h"

struct spi_outlook {
    bool known;          /* false: the images are not what limits the result */
    double half_A;       /* resolution of the intensities with half of the images, merged */
    double twice_A;      /* and expected with twice as many images */
    double four_times_A; /* with four times as many */
};

/** The intensities' correlation c of the half sets, and that with half of each half set
 * (fewer), in the same shells: the signal over noise c / (1 - c) of each shell grows with
 * the number of images as it did from one to the other, at most in proportion.  SPI_ENOMEM.
 */
SPI_MUSTUSE spi_err spi_outlook_find(const struct spi_intensity_shells *all,
                                     const struct spi_intensity_shells *fewer,
                                     double diameter_A, double q_max,
                                     struct spi_outlook *out);

#endif
