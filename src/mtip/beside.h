/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What an image holds beside its model.  Layer: mtip.  doc/math.md (Q18), (Q24).
 *
 * Pixel p of image k has same[p] + times[k] even[p] counts that are not the model's times
 * the image's fluence; they are taken out before the image meets the model. */
#ifndef SPI_MTIP_BESIDE_H
#define SPI_MTIP_BESIDE_H

#include <stddef.h>
#include <stdint.h>

/** All are borrowed. */
struct spi_beside {
    const float *same;  /* [n_pixels] counts in each image; NULL: none */
    const float *even;  /* [n_pixels] counts of which an image has `times`; NULL: none */
    const float *times; /* [n_images]; NULL: once */
};

/** How much of `even` image k has. */
static inline float spi_beside_times(const struct spi_beside *b, int64_t k)
{
    return b->even ? (b->times ? b->times[k] : 1) : 0;
}

/** Counts beside the model at a pixel; times: of the image. */
static inline float spi_beside_at(const struct spi_beside *b, float times, int64_t pixel)
{
    return (b->same ? b->same[pixel] : 0) + (b->even ? times * b->even[pixel] : 0);
}

#endif
