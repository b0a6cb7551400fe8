/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Log-likelihood of every image at every orientation.  Layer: match.  doc/math.md
 * section 4.
 *
 * A row of likelihood/likelihood.h says what it is of an image and a slice (B4), for example
 *
 *     poisson:  LL(k; n, a) = sum_rj K'_rj log T_n(phi_j + a) - N_k log S_{n,a}       (M1)
 *               (multinomial: the fluence is profiled out)
 *     gaussian: LL(k; n, a) = C^2 / (2 B_{n,a}), 0 where C < 0;                       (M2)
 *               C = sum_rj K'_rj T_n(phi_j + a) / sigma_r^2 (the fluence is profiled out)
 */
#ifndef SPI_MATCH_SCORE_H
#define SPI_MATCH_SCORE_H

#include "likelihood/likelihood.h"
#include "ring/ring.h"

/** Log-likelihoods of a block of images against directions.  Rows: LL of pair i (image k
 * owns pairs first[k] ... first[k+1]-1, at least one) at angle a is LL[i * Na + a]. */
struct spi_scores {
    int n_images, Na;
    int64_t *first;      /* [n_images + 1], owned */
    int32_t *dir;        /* [pairs], owned; NULL: pair i of an image is direction i */
    const int32_t *name; /* borrowed: what direction i of dir and top really is; NULL: i */
    float *LL;           /* [pairs][Na], owned */
    float *row_top;      /* [pairs] the largest LL of each row, owned */
    int64_t nd;          /* top: directions */
    float *top; /* [n_images][nd] the largest LL of every direction, where only some have
                 * rows, else NULL; owned */
};

struct spi_score_input {
    const struct spi_band *band;
    struct spi_views views;
    const struct spi_likelihood *like;
    const float *templates; /* [directions][band->floats] */
    const float *table;     /* [directions][Na] */
    int n_images;
    const float *records; /* [n_images][band->floats], harmonic-major */
    const float *counts;  /* [n_images] N_k on the rings of the band */
};

/** Every image against all nd directions. */
SPI_MUSTUSE spi_err spi_score_all(const struct spi_score_input *in, struct spi_scores *out);
/** The same, but rows only of the directions whose best is at most `drop` below the image's
 * best: what is not of interest never goes to memory. */
SPI_MUSTUSE spi_err spi_score_peaks(const struct spi_score_input *in, double drop,
                                    struct spi_scores *out);

/** Weights of all orientations of a block of images, 16 bits each, in tiles of SPI_LANES
 * directions (M8): the dense mode, in which most orientations have weight.  Padding beyond
 * the last direction is zero. */
struct spi_soft {
    int n_images, Na;
    int64_t tiles;
    uint16_t *q; /* [tiles][n_images][Na][SPI_LANES] 65535 exp(beta (LL - top)); owned */
    float *w, *wx, *wS; /* [n_images][tiles][SPI_LANES] sums over the angles; owned */
    float *scale; /* [tiles][n_images][SPI_LANES] P = scale q (spi_posterior_soft); owned */
};
/** Room for n_images. */
SPI_MUSTUSE spi_err spi_soft_init(struct spi_soft *s, int n_images, int64_t nd, int Na);
/** Release what the struct owns. */
void spi_soft_clear(struct spi_soft *s);
/** Every image against every direction: q and sums, of at most as many images as there is
 * room for.  S [directions][Na].  out: the largest LL of every direction, and rows of the
 * best. */
SPI_MUSTUSE spi_err spi_score_soft(const struct spi_score_input *in, float beta,
                                   const float *S, struct spi_soft *soft,
                                   struct spi_scores *out);

/** Image k against directions dir[first[k]] ... dir[first[k+1]-1] (view indices); row[view
 *  index] is its place in `templates` and `table`, NULL: the index itself. */
SPI_MUSTUSE spi_err spi_score_some(const struct spi_score_input *in, const int64_t *first,
                                   const int32_t *dir, const int32_t *row,
                                   struct spi_scores *out);
/** Release what the struct owns. */
void spi_scores_clear(struct spi_scores *s);

/** (B4) from the samples themselves, in double: templates T and image samples on the rings,
 * one pair, all angles. */
void spi_score_ref(const struct spi_rings *g, int R, int Na,
                   const struct spi_likelihood *like, const float *T, const float *live,
                   const float *inv_var, const float *samples, double *LL);

#endif
