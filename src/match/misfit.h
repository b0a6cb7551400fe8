/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * How much of an image its model explains.  Layer: match.  doc/math.md (Q9), (Q10).
 *
 * What makes an image, and its model slice, different from plain rings is summed over pairs
 * of neighbouring pixels: noise that is independent from pixel to pixel drops out whatever
 * its distribution, so that photons, analogue values and ADU are judged alike. */
#ifndef SPI_MATCH_MISFIT_H
#define SPI_MATCH_MISFIT_H

#include <stdint.h>

#include "likelihood/likelihood.h"
#include "ring/pixel_list.h"

/** What all images share. */
struct spi_misfit_pairs {
    int64_t n;        /* pairs of neighbouring pixels of a list */
    int32_t (*of)[2]; /* [n] places in the list, owned */
    int32_t *shell;   /* [n] owned */
    int n_shells;
    double *q; /* [n_shells] 1/A, middle of the shell, owned */
};

/** Sums over the pairs of one shell; they add up over shells and images.  With the even
 * part E = phi g mean(T), the image's structure I = K - E and the model's M = phi g T - E,
 * each times 1 / sqrt(variance): */
struct spi_misfit {
    double even2;    /* sum E E' */
    double image2;   /* sum I I' */
    double cross;    /* sum (I M' + M I') / 2 */
    double model2;   /* sum M M' */
    double variance; /* of `left` by noise: sum (I - M)^2 (I' - M')^2 */
};

/** A pixel value that neither the particle nor noise makes. */
struct spi_outlier {
    int64_t image;
    int32_t pixel; /* in the image */
    float value, expected;
    double times; /* value over what is the most that could be */
};

enum { SPI_OUTLIERS = 8 }; /* the worst ones are kept */

struct spi_outliers {
    int64_t n;      /* pixels that were left out */
    int64_t images; /* in so many images */
    int kept;
    struct spi_outlier worst[SPI_OUTLIERS]; /* worst first */
};

/** Pairs within rows and columns of each panel, in shells of 1 / (2 D). */
SPI_MUSTUSE spi_err spi_misfit_pairs_init(struct spi_misfit_pairs *p,
                                          const struct spi_pixel_list *l,
                                          const struct spi_detector *det, double q_min,
                                          double q_max, double diameter_A);
/** Release what the struct owns. */
void spi_misfit_pairs_clear(struct spi_misfit_pairs *p);

/** Image K against model values T at the pixels of list l; mean: the model's mean on the
 * pixel's ring; like: tells the noise of such images (spi_likelihood_of); inv_var: where it
 * is weighted, 1 / variance of a ring sample.  phi is the fluence of greatest likelihood.  A
 * pixel above 12 times its ring's mean (or 3 times the model) and 8 standard deviations of
 * noise is left out and noted in `o` (image: its number).  one: [p->n_shells], overwritten.
 * work: [3 * l->n]. */
void spi_misfit_image(const struct spi_misfit_pairs *p, const struct spi_pixel_list *l,
                      const struct spi_likelihood *like, const float *K, const float *T,
                      const float *mean, const float *inv_var, int64_t image, float *work,
                      struct spi_misfit *one, struct spi_outliers *o);

/** to += from, n shells. */
void spi_misfit_add(int n, const struct spi_misfit *from, struct spi_misfit *to);
/** The sum over n shells. */
struct spi_misfit spi_misfit_sum(int n, const struct spi_misfit *shells);
/** (image2 - 2 cross + model2) / model2: 0 for the right model, 1 for a model whose
 * structure is not there, 2 for an image of something else; NAN where the model has no
 * structure. */
double spi_misfit_share(const struct spi_misfit *m);
/** (Q23): the mean of the shares of those shells in which the images show structure clearly,
 * each from 0 to 1 and each counting alike; NAN: there is no such shell. */
double spi_misfit_share_of_shells(int n, const struct spi_misfit *shells);
/** Standard deviation of spi_misfit_share by noise. */
double spi_misfit_sigma(const struct spi_misfit *m);
/** The worst of both, worst first; counts add up. */
void spi_outliers_add(const struct spi_outliers *from, struct spi_outliers *to);

#endif
