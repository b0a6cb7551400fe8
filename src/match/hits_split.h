/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * An image and its own rings, for who looks at single images.  Layer: match. */
#ifndef SPI_MATCH_HITS_SPLIT_H
#define SPI_MATCH_HITS_SPLIT_H

#include <complex.h>

#include "match/hits.h"

/** Scratch of an image. */
struct spi_hits_work {
    double *counts, *weight; /* [n_rings] mean and geometry of the rings */
    float *even, *rest;      /* [n] E and K - E */
    float complex *grid;     /* [side][side] */
};

/** The parts of spi_hits_work_bytes of memory. */
struct spi_hits_work spi_hits_parts(const struct spi_hits *h, void *memory);
/** E: the image's own mean on each pixel's ring; false: the image is empty. */
bool spi_hits_split(const struct spi_hits *h, const float *K,
                    const struct spi_hits_work *w);

#endif
