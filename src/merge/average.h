/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Averaged images of all view directions at once, summed block of images by block, where
 * most orientations have weight.  Layer: merge.  doc/math.md (V1), (V2), (M8) to (M10).
 *
 * The averages of SPI_LANES neighbouring rows lie side by side: accumulation is the
 * transpose of matching, with the same layout and the same number of operations.
 */
#ifndef SPI_MERGE_AVERAGE_H
#define SPI_MERGE_AVERAGE_H

#include "kernel/lanes.h"
#include "ring/ring.h"

struct spi_average {
    const struct spi_rings *rings; /* borrowed */
    struct spi_band band;          /* the rings that are merged */
    struct spi_angular angular;
    int64_t tiles;
    int images;          /* at most, in a block */
    float *sum;          /* [tiles][spi_sums_floats(band)], owned */
    float *P, *work, *h; /* of a block; owned */
};

/** Zero averages of `rows` directions over the first R rings, for blocks of at most
 * `images` images. */
SPI_MUSTUSE spi_err spi_average_init(struct spi_average *a, const struct spi_rings *rings,
                                     int R, int Na, int64_t rows, int images);
/** Release what the struct owns. */
void spi_average_clear(struct spi_average *a);

/** Harmonics, ring-major, of image i of the next block. */
void spi_average_image(struct spi_average *a, int i, const float complex *h);
/** Add the block of n images, of fluence phi[i].  Weights scale q, in tiles of SPI_LANES
 * rows: q [tiles][n][Na][lane], scale [tiles][n][lane], all 0 where an image has none. */
void spi_average_add(struct spi_average *a, int n, const float *phi, const uint16_t *q,
                     const float *scale);
/** a += b for the rows of one tile. */
void spi_average_join(struct spi_average *a, const struct spi_average *b, int64_t tile);
/** num, ring-major (V1), and sum_k phi_k P^_k, [band.M] (V2), of a row. */
void spi_average_get(const struct spi_average *a, int64_t row, float complex *num,
                     float complex *Hhat);

#endif
