/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Kinds of images without a model: those of the particle, and those of something else.
 * Layer: match.  doc/math.md (J23).
 *
 * The rings of an image and the structure along them do not change when the particle turns
 * about the beam, and change little by little when it turns otherwise: all images of a
 * particle are one cloud of such numbers, and images of something else are another. */
#ifndef SPI_MATCH_KINDS_H
#define SPI_MATCH_KINDS_H

#include "match/hits.h"

enum { SPI_KIND_SHELLS = 12, SPI_KIND_NUMBERS = 2 * SPI_KIND_SHELLS, SPI_KINDS_MAX = 8 };

/** What images of a detector share. */
struct spi_kind_shells {
    int n;
    int8_t *shell;                 /* [n of the hits' pixels] -1: none; owned */
    double light[SPI_KIND_SHELLS]; /* sums of the geometry factor */
    double pairs[SPI_KIND_SHELLS]; /* ... of its products of neighbours */
};

/** Shells of particles of this diameter on the pixels of `h`, which is of the same detector.
 * SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_kind_shells_init(struct spi_kind_shells *s,
                                         const struct spi_hits *h,
                                         const struct spi_detector *det, double diameter_A);
/** Release what the struct owns. */
void spi_kind_shells_clear(struct spi_kind_shells *s);

/** What the kind of an image is told by: counts of each shell, then the products of
 * neighbours less their rings.  K [n_pixels]: counts; work: spi_hits_work_bytes. */
void spi_kinds_image(const struct spi_kind_shells *s, const struct spi_hits *h,
                     const float *K, void *work, float numbers[SPI_KIND_NUMBERS]);

/** Kinds that the images show. */
struct spi_kinds {
    int n;                       /* 1: nothing but the particle was found */
    double share[SPI_KINDS_MAX]; /* of the images, the particle first */
};

/** p [n]: how probable it is that an image is of the kind that most images are of, from
 * numbers [n][SPI_KIND_NUMBERS]; NAN: it has no counts.  The result depends on the seed and
 * not on the threads.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_kinds_find(const struct spi_kind_shells *s, int64_t n,
                                   const float *numbers, uint64_t seed, float *p,
                                   struct spi_kinds *kinds);

#endif
