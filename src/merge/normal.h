/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Normal equations of merging and their solution.  Layer: merge.  doc/math.md section 2.
 *
 *     (H* w H + lambda t + corner term) A = H* w b + lambda t x0                (V3), (V10)
 *
 * H: type-2 transform, t = sum of weights; over A real, even, zero beyond |x| > D: the
 * unknowns of merge/even_vector.h.  H* w H is Toeplitz, a convolution with the kernel
 * Q(x) = sum_j w_j cos(2 pi q_j.x) (V4); or it is applied directly, by an operator of the
 * caller (mtip/merging.h).  Vectors are double, products float or double. */
#ifndef SPI_MERGE_NORMAL_H
#define SPI_MERGE_NORMAL_H

#include "math/convolve.h"
#include "merge/even_vector.h"
#include "nufft/nufft.h"
#include "solve/cg.h"
#include "solve/lcurve.h"

struct spi_normal {
    struct spi_even_vector u;
    double dx;              /* A */
    double trace;           /* t */
    double *rhs;            /* [u.count], owned: E^T H* w b, less A x0 of a prior */
    double *x0;             /* [u.count] of the prior, NULL: 0; owned */
    double drop0;           /* of the misfit by x0 */
    spi_convolve *toeplitz; /* H* w H and the corner term, owned */
    double *cube;           /* [n^3], owned scratch: one product at a time */
    int threads; /* of a loop of a product (base/parallel.h); 0 or 1: the caller's */
    struct spi_operator op; /* on unknowns; .self is this struct: it must not move */
};

/** From the sums themselves: b = H* w b [n^3]; Q [2n]^3, the Toeplitz kernel, or NULL: the
 *  caller sets op (toeplitz is then only the corner term).  f64: products in double.
 *  SPI_EINVAL: the weights add to nothing. */
SPI_MUSTUSE spi_err spi_normal_new(struct spi_normal *N, int n, double dx, double support_A,
                                   const double *b, const double *Q, double trace,
                                   bool f64);
/** b and Q (owned by the caller) from the two-component fine grid of a plan with 2n modes:
 *  (w b, w). */
SPI_MUSTUSE spi_err spi_normal_collect(const spi_nufft *plan2n, const float *grid2, int n,
                                       double **b, double **Q);
/** From such a grid, of spacing dx. */
SPI_MUSTUSE spi_err spi_normal_init(struct spi_normal *N, int n, double support_A,
                                    const spi_nufft *plan2n, const float *grid2,
                                    double trace);
/** Release what the struct owns. */
void spi_normal_clear(struct spi_normal *N);
/** y = E^T Q * (E x), the Toeplitz product: what op applies unless the caller sets it. */
SPI_MUSTUSE spi_err spi_normal_product(const struct spi_normal *N, const double *x,
                                       double *y);
/** A copy with scratch of its own, for another thread, whose product is the Toeplitz one;
 *  borrows all else: clear it first. */
SPI_MUSTUSE spi_err spi_normal_share(const struct spi_normal *N, struct spi_normal *out);
/** Release what spi_normal_share made. */
void spi_normal_unshare(struct spi_normal *N);

/** + weight t |W(q)|^2 for |q| > q_max on the grid of the Toeplitz product (V10). */
void spi_normal_damp_corners(struct spi_normal *N, double weight, double q_max);
/** lambda t |A - A0|^2 instead of |A|^2; after damp_corners.  A0 [n^3]. */
SPI_MUSTUSE spi_err spi_normal_prior(struct spi_normal *N, const float *A0);

/** A (n^3, start on input, result on output) for one lambda (relative to t). */
SPI_MUSTUSE spi_err spi_normal_solve(const struct spi_normal *N, double lambda,
                                     const struct spi_cg_options *opt, float *A,
                                     struct spi_cg_report *report);

/** The same for the unknowns themselves: d [u.count], A = E (x0 + d). */
SPI_MUSTUSE spi_err spi_normal_cg(const struct spi_normal *N, double lambda,
                                  const struct spi_cg_options *opt, double *d,
                                  struct spi_cg_report *report);
/** An L-curve: x [n_lambda][u.count] and report [n_lambda] for each lambda (relative to t),
 *  from one Krylov sequence.  The published way makes them one by one with spi_normal_cg.
 */
SPI_MUSTUSE spi_err spi_normal_krylov(const struct spi_normal *N, int n_lambda,
                                      const double *lambdas,
                                      const struct spi_cg_options *opt, double *x,
                                      struct spi_cg_report *report);
/** Choose from it: A [n^3] takes the chosen solution, *chosen its report; points [n_lambda]
 *  sorted by lambda: residual sqrt(|b|_w^2 - drop), norm |A - x0|. data_norm2 = sum_j w_j
 *  b_j^2. */
SPI_MUSTUSE spi_err spi_normal_choose(const struct spi_normal *N, int n_lambda,
                                      const double *lambdas, double data_norm2,
                                      const double *x, const struct spi_cg_report *report,
                                      float *A, struct spi_lcurve_point *points,
                                      struct spi_lcurve_choice *choice,
                                      struct spi_cg_report *chosen);

/** Grid for diameter D and highest |q|: spacing 1 / (2.08 q_max), n >= 2.1 D / dx, even,
 * good for the FFT.  doc/math.md (V5). */
void spi_merge_grid(double diameter_A, double q_max, int *n, double *dx);

#endif
