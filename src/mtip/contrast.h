/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * How much images differ from their mean image: is there a particle in them at all?
 * Layer: mtip.  doc/math.md (Q14).
 *
 * Asked before anything is reconstructed.  Neither orientations nor a model enter. */
#ifndef SPI_MTIP_CONTRAST_H
#define SPI_MTIP_CONTRAST_H

#include "mtip/data.h"

/** Shells of 1/(2D) from q D = 2.5 on (the last shell at least). */
struct spi_contrast {
    int n;
    double *q;        /* [n] 1/A, owned */
    double *square;   /* [n] contrast^2, owned: some 0.9 for a particle alone */
    double all;       /* of all these shells together */
    double sigma;     /* standard deviation of `all` by noise */
    int64_t n_images; /* that were looked at */
};

/** From some 1,000 images, spread evenly over the file; q up to q_max (1/A). */
SPI_MUSTUSE spi_err spi_contrast_measure(const struct spi_data *d, double q_max,
                                         struct spi_contrast *c);
/** Release what the struct owns. */
void spi_contrast_clear(struct spi_contrast *c);

/** SPI_ENOCONV when the images differ from their mean image by noise only, or by less than
 *  `least` in the square. */
SPI_MUSTUSE spi_err spi_contrast_check(const struct spi_contrast *c, double least);

#endif
