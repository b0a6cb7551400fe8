/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Correlation of images with templates over the rings, harmonic by harmonic.
 * Layer: kernel.  doc/math.md (R6), (R8).
 *
 *     C_m = sum_r conj(c_rm) L_rm
 *
 * in the order of r: the result of a pair is the same bits whichever function made it. */
#ifndef SPI_KERNEL_CORRELATE_H
#define SPI_KERNEL_CORRELATE_H

enum {
    SPI_LANES = 16, /* pairs, or harmonics, side by side in memory */
    SPI_GROUP = 12, /* images of one tile */
};

/** The record of an image or template: the harmonics m < M of R rings in blocks of 16.
 * Ring r has harmonic m if r >= first[m].  Block k holds, for each ring from first[16 k]
 * on, the real parts of its harmonics 16 k ... 16 k + 15, then their imaginary parts; those
 * that the ring does not have are 0. */
struct spi_band {
    int R, M;
    int *first; /* [M], owned */
    int *off;   /* [ceil(M / 16) + 1] float offset of block k, multiples of 32, owned */
    int floats; /* of a record */
};

/** Place of the real part of harmonic m of ring r; the imaginary part is SPI_LANES on. */
static inline int spi_band_at(const struct spi_band *b, int r, int m)
{
    int k = m / SPI_LANES;

    return b->off[k] + 2 * SPI_LANES * (r - b->first[k * SPI_LANES]) + m % SPI_LANES;
}

/** Floats of a panel and a group: for each harmonic the rings that have it; and of the
 * correlations of SPI_LANES pairs, [M][2][SPI_LANES]: real parts, imaginary parts. */
long spi_panel_floats(const struct spi_band *b);
/** Floats of a group of SPI_GROUP images. */
long spi_group_floats(const struct spi_band *b);
/** Floats of the correlations of SPI_LANES pairs. */
static inline long spi_pairs_floats(const struct spi_band *b)
{
    return 2L * SPI_LANES * b->M + SPI_LANES; /* not a multiple of 4 KB */
}

/** SPI_GROUP images, interleaved: group[m][r][image][re, im].  A NULL image is all 0. */
void spi_group_pack(const struct spi_band *b, const float *const image[SPI_GROUP],
                    float *group);

/** The formula in double: re[m], im[m], and mag[m], a sum of absolute values.  A sum of 2 k
 *  products in any order: |error| <= gamma_{2k} mag. */
void spi_correlate_ref(const struct spi_band *b, const float *c, const float *L, double *re,
                       double *im, double *mag);

#endif
