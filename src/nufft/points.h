/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Points of a detector in patches: what points.c makes and patches.c reads.  Layer: nufft;
 * only this folder. */
#ifndef SPI_NUFFT_POINTS_H
#define SPI_NUFFT_POINTS_H

#include "nufft/nufft.h"
#include "nufft/plan.h"

struct patch {
    int32_t first, n; /* points first ... first + n - 1 in patch order */
    double centre[3]; /* fine-grid units, laboratory */
};

struct spi_points {
    const spi_nufft *plan; /* borrowed */
    int64_t n;
    int n_patches;
    double radius;                /* of the largest patch, fine-grid units */
    struct patch *patch;          /* [n_patches], owned */
    float (*d)[3][SPI_PATCH_MAX]; /* [n_patches] offsets from the centre, owned */
    float *centre[3];             /* [n_patches] again, for sorting, owned */
    float *u[3];    /* [n] in patch order, fine-grid units, laboratory, owned */
    int32_t *order; /* [n] point at each place of patch order, owned; NULL: in order */
};

#endif
