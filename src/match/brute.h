/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Matching as published: every image against every orientation, pixel by pixel.  Layer:
 * match. doc/math.md section 4.  Chang et al., arXiv:2109.05339 (2021).
 *
 * With T_p = W(R^T q_p) the model at the pixels (by NUFFT, curved), g_p their geometry
 * factor and K_p the image:
 *
 *     published:  score = - sum_p (K_p - g_p T_p)^2 / 2                               (B1)
 *     gaussian:   score = C^2 / (2 B) where C > 0, else 0;                            (B2)
 *                 C = sum_p K_p T_p / sigma_p^2,  B = sum_p g_p T_p^2 / sigma_p^2
 *     poisson:    score = sum_p K_p log(T_p / S),  S = sum_p g_p T_p                  (B3)
 *
 * as rows of likelihood/likelihood.h.  (B2) is the squared distance with the best scale of
 * each pair, up to a constant of the image; it and (B3) are what (M2) and (M1) are on rings.
 * In (B3) T is floored at 2 % of the mean of its shell of |q|, as on rings.
 *
 * Cost: N images x M orientations x P pixels by sgemm, and M x P interpolations; model
 * images are made a few at a time.  It is the twin and the rival of the ring method. */
#ifndef SPI_MATCH_BRUTE_H
#define SPI_MATCH_BRUTE_H

#include "likelihood/likelihood.h"
#include "ring/pixel_list.h"

/** What all comparisons share. */
struct spi_brute {
    const struct spi_likelihood *like;
    const struct spi_pixel_list *pixels; /* borrowed */
    const float
        *inv_var; /* [pixels->n] 1 / sigma_p^2, borrowed; NULL: 1, or not weighted */
    int n_shells;
    int32_t *shell; /* [pixels->n] shell of |q|, owned */
};
/** shell_q: thickness of the shells of (B3), 1/A. */
SPI_MUSTUSE spi_err spi_brute_init(struct spi_brute *b, const struct spi_likelihood *like,
                                   const struct spi_pixel_list *pixels,
                                   const float *inv_var, double shell_q);
/** Release what the struct owns. */
void spi_brute_clear(struct spi_brute *b);

/** A block of images, packed to the pixels that take part. */
struct spi_brute_images {
    int64_t n;
    float *row;            /* [n][pixels->n], owned */
    double *count, *norm2; /* [n] sum of K, of K^2, owned */
};
/** images: [n][n_pixels]. */
SPI_MUSTUSE spi_err spi_brute_images_init(struct spi_brute_images *im,
                                          const struct spi_pixel_list *pixels, int64_t n,
                                          int64_t n_pixels, const float *images);
/** Release what the struct owns. */
void spi_brute_images_clear(struct spi_brute_images *im);

/** The best orientation of an image so far; begin with spi_brute_best_none. */
struct spi_brute_best {
    int64_t at; /* index of the orientation, -1: none; of equal scores the lowest */
    float score;
    float fluence; /* sum of K / S there: 1 if the image is as bright as the model */
};
extern const struct spi_brute_best spi_brute_best_none;

/** Compare all images with the orientations first ... first+n-1; quat: of the first of
 * these, and so on.  best[im->n] is improved.  group_best (may be NULL): [im->n][n_groups],
 * the best score of each group of `group` consecutive orientations, improved; begin with
 * -INFINITY; the first is that of orientation `first` (orientation i is in group i / group).
 * grid: prepared fine grid of the model's plan.  Ranges of orientations may run side by side
 * on arrays of their own: spi_brute_reduce. */
SPI_MUSTUSE spi_err spi_brute_match(const struct spi_brute *b, const spi_nufft *plan,
                                    const float *grid, int64_t first, int64_t n,
                                    const double (*quat)[4],
                                    const struct spi_brute_images *im,
                                    struct spi_brute_best *best, int group,
                                    int64_t n_groups, float *group_best);
/** best = the better of best and other. */
void spi_brute_reduce(int64_t n, const struct spi_brute_best *other,
                      struct spi_brute_best *best);

/** Score of direction `dir` minus the best of those farther than two cells, as in struct
 * spi_best; group_best: [views->nd] of one image.  0 if there is none. */
float spi_brute_margin(const struct spi_views *views, const float *group_best, int64_t dir);

/** (B4) by direct sums in double: one image against one orientation; A: the model,
 * n^3 voxels of dx; T [pixels->n]: the model at the pixels, an output too. */
void spi_brute_ref(const struct spi_brute *b, int n, double dx, const float *A,
                   const double quat[4], const float *image, double *T, double *score);

#endif
