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

/** How the averages lie in memory: [tiles][spi_average_floats]. */
struct spi_average {
    const struct spi_rings *rings; /* borrowed */
    struct spi_band band;          /* the rings that are merged */
    struct spi_angular angular;
    int64_t tiles; /* of SPI_LANES rows */
};

/** Images of one block, in the order of harmonics, and scratch. */
struct spi_average_block {
    const struct spi_average *a; /* borrowed */
    float *P, *work, *h;         /* owned */
};

/** Averages of `rows` directions over the first R rings. */
SPI_MUSTUSE spi_err spi_average_init(struct spi_average *a, const struct spi_rings *rings,
                                     int R, int Na, int64_t rows);
/** Release what the struct owns. */
void spi_average_clear(struct spi_average *a);
/** Floats of the sums of one tile. */
int64_t spi_average_floats(const struct spi_average *a);

/** A block of at most `images` images. */
SPI_MUSTUSE spi_err spi_average_block_init(struct spi_average_block *b,
                                           const struct spi_average *a, int images);
/** Release what the block owns. */
void spi_average_block_clear(struct spi_average_block *b);
/** Harmonics, ring-major, of image i of the block. */
void spi_average_image(struct spi_average_block *b, int i, const float complex *h);
/** sum (all tiles) += the first n images of the block, of fluence phi[i].  Weights scale q,
 * in tiles of SPI_LANES rows: q [tiles][n][Na][lane], scale [tiles][n][lane], all 0 where an
 * image has none. */
void spi_average_add(const struct spi_average_block *b, int n, const float *phi,
                     const uint16_t *q, const float *scale, float *sum);
/** num, ring-major (V1), and sum_k phi_k P^_k, [band.M] (V2), of a row of `sum`. */
void spi_average_get(const struct spi_average *a, const float *sum, int64_t row,
                     float complex *num, float complex *Hhat);

#endif
