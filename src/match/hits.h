/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What an image shows without a model: whether it has structure along its rings, and
 * lengths beyond the particle's.  Layer: match.  doc/math.md (J17)...(J22).
 *
 * A droplet and an empty shot are round; two particles in one image have lengths that one
 * does not have.  Neither orientations nor other images enter. */
#ifndef SPI_MATCH_HITS_H
#define SPI_MATCH_HITS_H

#include <stdbool.h>
#include <stddef.h>

#include "io/images.h"

/** What images of a detector share. */
struct spi_hits {
    int64_t n;               /* pixels looked at: good, 1/D ... q_max, owned arrays [n] */
    int32_t *pixel;          /* in the image */
    int32_t *bin, *ring;     /* the ring it is in; that whose mean |q| is next below it */
    float *above, *geometry; /* share of the ring above; geometry factor */
    int32_t *cell;           /* place on the grid of (J18); -1: beyond */
    int n_rings;
    int64_t n_near, n_pairs;
    int32_t (*pair)[2]; /* [n_pairs] neighbours, owned; the first n_near: those of (J17) */
    int side;           /* of the grid; 0: it does not reach far enough for (J18) */
    uint8_t *zone;      /* [side][side] 1: lengths of the particle, 2: beyond; owned */
    double n_inner, n_beyond;
};

/** One image. */
struct spi_hit {
    float structure, sigma; /* (J17): contrast^2 along rings, its standard deviation */
    float far, far_sigma;   /* the same beyond its pairs, up to q_max */
    float beyond, sigmas;   /* (J18): share of lengths beyond; the excess over noise in its
                             * standard deviations.  0: not measured */
};

/** Particles of this diameter, up to q_max.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_hits_init(struct spi_hits *h, const struct spi_detector *det,
                                  double diameter_A, double q_max);
/** Release what the struct owns. */
void spi_hits_clear(struct spi_hits *h);
/** Bytes of scratch memory that an image needs. */
size_t spi_hits_work_bytes(const struct spi_hits *h);
/** K [n_pixels]: counts of an image. */
SPI_MUSTUSE spi_err spi_hits_image(const struct spi_hits *h, const float *K, void *work,
                                   struct spi_hit *out);

/** (J20): how much of an image's structure along its rings a model leaves unexplained, and
 * the standard deviation of that by noise.  K, T [n_pixels]: counts of the image, and what
 * the model has there, in any unit; background of both that is the same on each ring drops
 * out.  work: twice spi_hits_work_bytes.  *share NAN: the model has no structure there. */
void spi_hits_unexplained(const struct spi_hits *h, const float *K, const float *T,
                          void *work, double *share, double *sigma);

/** (J21): how far the rings of an image are from those of the model, as a share: the squares
 * of relative differences, each ring weighted by its counts, less what counting makes;
 * arguments as above. */
double spi_hits_rings(const struct spi_hits *h, const float *K, const float *T, void *work);

/** Whether an image is round for certain where `typical` is the structure of images of the
 * particle (J19). */
bool spi_hits_round(const struct spi_hit *hit, double typical);

/** Structure along the rings of many images together, (J22). */
struct spi_hits_sum {
    int64_t n;
    double near, near_sigma; /* of the pairs of (J17); the error, from images that differ */
    double far, far_sigma;   /* of those beyond */
};

/** Of n images; those without counts do not take part. */
struct spi_hits_sum spi_hits_add_up(int64_t n, const struct spi_hit *hit);
/** SPI_ENOCONV: images differ, but not along their rings (J22).  contrast2: of the images
 * about their mean. */
SPI_MUSTUSE spi_err spi_hits_check(const struct spi_hits_sum *all, double contrast2);

enum spi_hit_kind { SPI_HIT_PARTICLE, SPI_HIT_ROUND, SPI_HIT_DOUBLET };

/** (J19): kind [n] of images, judged beside each other; images without counts (sigma 0) are
 * left as they are.  *typical: the structure of images of the particle. */
SPI_MUSTUSE spi_err spi_hits_judge(int64_t n, const struct spi_hit *hit, uint8_t *kind,
                                   double *typical);

#endif
