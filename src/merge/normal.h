/** \file
 * Normal equations of merging and their solution.  Layer: merge.  doc/math.md section 2.
 *
 *     (H* w H + lambda t) A = H* w b,   H: type-2 transform, t = sum of weights      (V3)
 *
 * over A real, even, zero beyond |x| > D.  H* w H is Toeplitz: a multiplication by the real
 * symbol Qhat on the doubled grid, Q(x) = sum_j w_j cos(2 pi q_j.x) (V4). */
#ifndef SPI_MERGE_NORMAL_H
#define SPI_MERGE_NORMAL_H

#include "nufft/nufft.h"
#include "solve/cg.h"
#include "solve/lcurve.h"

struct spi_normal {
    int n;          /* voxels per axis of A */
    double dx;      /* A */
    double trace;   /* t */
    float *rhs;     /* [n^3], owned: H* w b inside the support, 0 outside */
    float *symbol;  /* [2n][2n][n+1], owned */
    float *support; /* [n^3], owned: 1 inside |x| <= D, 0 outside */
    float *pad;     /* [2n]^3, owned scratch: one thread at a time */
    float *half;    /* [2n][2n][n+1] complex, owned scratch */
};

/** grid2: two-component fine grid of a plan with 2n modes (spacing dx): components (w b,
 * w). */
SPI_MUSTUSE spi_err spi_normal_init(struct spi_normal *N, int n, double support_A,
                                    const spi_nufft *plan2n, const float *grid2,
                                    double trace);
void spi_normal_clear(struct spi_normal *N);

/** y = support H* w H (support x): an spi_operator on struct spi_normal. */
SPI_MUSTUSE spi_err spi_normal_apply(const void *normal, const float *x, float *y);

/** A (n^3, start on input, result on output) for one lambda (relative to t). */
SPI_MUSTUSE spi_err spi_normal_solve(const struct spi_normal *N, double lambda, int n_iter,
                                     const volatile int *stop, float *A,
                                     struct spi_cg_report *report);

/** The whole L-curve from one Krylov sequence: lambdas[n_lambda] relative to t; A takes the
 * chosen solution; points [n_lambda] sorted by lambda: residual sqrt(|b|_w^2 - drop), norm
 * |A|. data_norm2 = sum_j w_j b_j^2. */
SPI_MUSTUSE spi_err spi_normal_lcurve(const struct spi_normal *N, int n_lambda,
                                      const double *lambdas, int n_iter, double data_norm2,
                                      const volatile int *stop, float *A,
                                      struct spi_lcurve_point *points,
                                      struct spi_lcurve_choice *choice);

/** Grid for diameter D and highest |q|: spacing 1 / (2.08 q_max), n >= 2.1 D / dx, even,
 * good for the FFT.  doc/math.md (V5). */
void spi_merge_grid(double diameter_A, double q_max, int *n, double *dx);

#endif
