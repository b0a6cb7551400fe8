/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * How much a pixel weighs in merging.  Layer: merge.  doc/math.md (V6), (V13). */
#ifndef SPI_MERGE_WEIGHTS_H
#define SPI_MERGE_WEIGHTS_H

#include "ring/pixel_list.h"

enum spi_pixel_weights {
    SPI_WEIGHTS_Q,       /* kappa = |q| / q_max: density compensation, the list's own */
    SPI_WEIGHTS_POISSON, /* 1 / mean intensity at |q|: the inverse variance of photons */
    SPI_WEIGHTS_NONE     /* 1 */
};

/** Set l->kappa.  For SPI_WEIGHTS_POISSON: counts [l->n] summed over images whose fluences
 *  sum to `fluence`; shells are 1 / (2 D) thick, and none is taken as darker than 1e-3 of
 * the mean.  counts may else be NULL.  SPI_EINVAL: no counts at all. */
SPI_MUSTUSE spi_err spi_pixel_list_weigh(struct spi_pixel_list *l,
                                         enum spi_pixel_weights how, double diameter_A,
                                         const double *counts, double fluence);
/** kappa *= weight [pixels of an image], and pixels of weight 0 leave the list. SPI_EINVAL:
 *  none is left. */
SPI_MUSTUSE spi_err spi_pixel_list_scale(struct spi_pixel_list *l, const float *weight);

#endif
