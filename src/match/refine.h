/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Continuous refinement of an image's rotation.  Layer: match.  doc/math.md (Q2)...(Q5).
 *
 * Pixel by pixel (masks, gaps and geometry factors are exact), from the orientation that a
 * search found: Fisher scoring with a trust region climbs the log-likelihood of a row of
 * likelihood/likelihood.h (B4), as
 *     poisson:  sum_p K_p log T_p - N log S,  N = sum K,  S = sum g T        as (B3)
 *     gaussian: C^2 / (2 B) if C > 0, else 0;  C = sum K T v,  B = sum g T^2 v   as (B2)
 * over the three parameters w of M -> exp([w]x) M, M = R^T, T_p = W(M q_p), v = 1 /
 * sigma^2; the image's fluence has been profiled out of both. */
#ifndef SPI_MATCH_REFINE_H
#define SPI_MATCH_REFINE_H

#include "likelihood/likelihood.h"
#include "ring/pixel_list.h"

/** What the images of a set share; all borrowed. */
struct spi_refine {
    const struct spi_pixel_list *pixels;
    const spi_nufft *plan;
    const spi_packed *model;
    const float *signal, *rest; /* [pixels->n] T = signal W + rest; NULL: T = W */
    const float *least;         /* [pixels->n] T is not less than this */
    const struct spi_likelihood *like;
    const float *inv_var; /* [pixels->n] v; NULL: not weighted */
    double cell;          /* rad, Shannon cell 1 / (2 D q_max): the scale of the steps */
};

/** Everything for a model: pixels between the first and the last of R rings, T floored at
 *  10 % of its mean on the ring; ring_mean [R]: of the model; ring_signal [R]: how much of
 *  the model about that mean is signal (Q27), NULL: all; ring_inv_var: [R], read where the
 *  likelihood is weighted; grid: the prepared fine grid, borrowed while
 *  spi_packed_reads_grid(set->model). */
struct spi_refine_set {
    struct spi_pixel_list pixels; /* owned */
    float *signal, *rest;         /* owned */
    float *least, *inv_var;       /* owned */
    spi_packed *model;            /* owned */
    struct spi_refine r;          /* points into this: do not copy */
};
/** Fill the set.  SPI_EINVAL: the rings go beyond the model, or hold no usable pixel. */
SPI_MUSTUSE spi_err spi_refine_set_init(struct spi_refine_set *s,
                                        const struct spi_detector *det,
                                        const struct spi_rings *g, int R,
                                        const double *ring_mean, const float *ring_signal,
                                        const struct spi_likelihood *like,
                                        const float *ring_inv_var, const spi_nufft *plan,
                                        const float *grid);
/** Release what the struct owns. */
void spi_refine_set_clear(struct spi_refine_set *s);

struct spi_refined {
    double quat[4]; /* molecule -> laboratory */
    double score;   /* never below that of the start; the gain of the last, short step is
                     * that of the parabola */
    double fluence; /* N / S or C / B there */
    int evaluations;
};

/** The maximum reached from `start` (a quaternion); image: [n_pixels] of the detector.
 *  Cost: 2 to 3 interpolations with gradient of all pixels.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_refine_image(const struct spi_refine *r, const float *image,
                                     const double start[4], struct spi_refined *out);

/** The model at pixels p ... p + n - 1 (n <= SPI_POINTS) of the list of an image at M
 * (detector -> object): W[0], and W[1..3] its slope along u, their places on the fine grid;
 * filtered, not floored. */
void spi_refine_model(const struct spi_refine *r, int64_t p, int n, const double M[9],
                      float u[3][SPI_POINTS], float W[4][SPI_POINTS]);

/** The log-likelihood at M (detector -> object), its gradient to w and the Fisher matrix
 *  (xx, xy, xz, yy, yz, zz).  K: [pixels->n] the pixels of the list. */
struct spi_refine_point {
    double score, fluence, gradient[3], fisher[6];
};
/** Fill `at` for the rotation M. */
void spi_refine_at(const struct spi_refine *r, const float *K, const double M[9],
                   struct spi_refine_point *at);

/** Score and fluence by direct sums in double; A: the model, n^3 voxels of dx. */
void spi_refine_ref(const struct spi_refine *r, int n, double dx, const float *A,
                    const float *K, const double M[9], double *score, double *fluence);

#endif
