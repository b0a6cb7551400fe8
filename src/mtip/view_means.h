/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * How bright the rings of the models are in the view of each image.  Layer: mtip. */
#ifndef SPI_MTIP_VIEW_MEANS_H
#define SPI_MTIP_VIEW_MEANS_H

#include "mtip/run.h"

struct spi_view_means {
    int R;
    int32_t *row; /* [images of the file], owned: -1: no view is known */
    double *mean; /* [rows][R], owned: of the model of the image's half set */
};

/** Of the views that the last generation gave the images that make the models; A: the models
 * of the two half sets, R: rings.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_view_means_find(const struct spi_run *r,
                                        const struct spi_volume *const A[2], int R,
                                        struct spi_view_means *m);
/** Release what the struct owns. */
void spi_view_means_clear(struct spi_view_means *m);
/** mean [R] of image k; NULL: its view is not known. */
const double *spi_view_means_of(const struct spi_view_means *m, int64_t k);

#endif
