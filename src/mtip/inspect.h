/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * All images looked at again, each beside its model at its orientation.  Layer: mtip.
 * doc/math.md (Q9), (Q10). */
#ifndef SPI_MTIP_INSPECT_H
#define SPI_MTIP_INSPECT_H

#include "io/orient.h"
#include "match/misfit.h"
#include "mtip/run.h"

struct spi_inspection {
    int64_t images;              /* that were looked at */
    double unexplained_variance; /* (Q9) of all of them but the outliers */
    double unexplained_shells;   /* (Q23) of these */
    double outlier_images; /* fraction of images with more than half unexplained (Q10) */
    int n_shells;
    double *q;                /* [n_shells] 1/A, owned */
    struct spi_misfit *shell; /* [n_shells] sums over all images, owned */
    struct spi_outliers outliers;
    uint8_t *outlier; /* [n] 1: more than half of its structure is unexplained (Q10); of a
                   * doubtful image: it does not show the particle (Q22); owned */
};

/** o->misfit [n] (made by the caller) becomes the share (Q9) of each image beside A[half -
 * 1], NAN where there is no image; o->particle [n] the probability (Q26), which stays where
 * an image is not looked at.  Runs as tasks; does not depend on the number of
 * workers. */
SPI_MUSTUSE spi_err spi_inspect_images(struct spi_run *r,
                                       const struct spi_volume *const A[2],
                                       struct spi_orientations *o,
                                       struct spi_inspection *in);
/** Release what the struct owns. */
void spi_inspection_clear(struct spi_inspection *in);

#endif
