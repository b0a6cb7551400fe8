/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * From log-likelihoods to weights: annealed soft assignment.  Layer: match.
 * doc/math.md section 4.
 *
 *     P_k(n, a) = exp(beta LL_k(n, a)) / sum,  0 < beta <= 1                         (M4)
 *
 * beta is common to all images: the geometric mean of exp(entropy) over some of them equals
 * a target perplexity (M5); beta = 1 is expectation maximisation. */
#ifndef SPI_MATCH_POSTERIOR_H
#define SPI_MATCH_POSTERIOR_H

#include "match/score.h"

enum { SPI_IMAGES_FOR_BETA = 16 }; /* the first of the scores */

/** beta in [1e-9, 1] for a target perplexity, good to 1 %, from `guess` (<= 0: none); 1 if
 *  even beta = 1 is softer than asked. */
float spi_posterior_beta(const struct spi_scores *s, double perplexity, float guess);

/** One image, one direction: entries first ... first+count-1 of angle and weight. */
struct spi_posterior_pair {
    int32_t image, dir;
    int64_t first;
    int32_t count;
};

/** What matching says of a block of images. */
struct spi_best {
    int32_t dir;
    float angle;   /* rad, refined by a parabola through the best and its neighbours; modulo
                    * 2 pi (just below 0 is possible) */
    float score;   /* LL there */
    float entropy; /* of the weights (M4), nats */
    float margin;  /* LL minus the best LL of a direction farther than two cells */
};

struct spi_posterior {
    int64_t n_pairs, n_entries;
    struct spi_posterior_pair
        *pair;       /* [n_pairs], in the order of images, then rows; owned */
    uint16_t *angle; /* [n_entries], owned */
    float *weight;   /* [n_entries], sums to 1 for each image that has any; owned */
    int n_images;
    struct spi_best *best; /* [n_images], owned */
    float *model_sum;      /* [n_images] sum_na P S_{n,a}: for the fluence; owned */
};

/** Sparse posterior: weights below 1e-3 / perplexity are dropped, the rest is renormalised
 *  (of rows only, where spi_score_peaks kept few: spi_posterior_drop).
 *  S[direction row][a]: expected counts at fluence 1 (NULL: model_sum is 1).  Pair images
 * are 0 ... n_images-1 of the block. */
SPI_MUSTUSE spi_err spi_posterior_make(const struct spi_scores *s,
                                       const struct spi_views *views, float beta,
                                       double perplexity, const float *S,
                                       const int32_t *row, struct spi_posterior *out);
/** The same where most orientations count: instead of pairs, `soft` gets the scales of its
 * weights.  Tiles of directions with the least weight are dropped, at most 5e-3 of it
 * altogether. */
SPI_MUSTUSE spi_err spi_posterior_soft(const struct spi_scores *s,
                                       const struct spi_views *views, float beta,
                                       struct spi_soft *soft, struct spi_posterior *out);
/** Release what the struct owns. */
void spi_posterior_clear(struct spi_posterior *p);
/** How far below the best LL a direction may be and still have a weight that is kept; all
 *  that is farther adds less than 1e-3 / perplexity to the sum of n orientations. */
double spi_posterior_drop(float beta, double perplexity, double n);

/** The `keep` best directions of each image, at least 1.5 cells apart, best first;
 *  dirs[n_images][keep], -1 where there are fewer. */
SPI_MUSTUSE spi_err spi_best_directions(const struct spi_scores *s,
                                        const struct spi_views *views, int keep,
                                        int32_t *dirs);

#endif
