/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Conjugate gradients on a linear operator, for one shift or for all at once.
 * Layer: solve.
 *
 * Solves (A + shift I) x = b, A symmetric and positive (semi)definite, known only by its
 * product (Hestenes and Stiefel, J. Res. NBS 49 (1952) 409; doc/math.md (L1)-(L3)).  The
 * multi-shift form gives every shift from one Krylov sequence, so from one product a step
 * (Jegerlehner, hep-lat/9612014; Frommer, Computing 70 (2003) 87; (L4)-(L6)).
 *
 * Vectors are double [n], sums in a fixed order: the result depends neither on the number
 * of threads nor on what runs beside it.  How small a true residual can become is decided
 * by the precision of the product alone, `unit` (bound: (L7)). */
#ifndef SPI_SOLVE_CG_H
#define SPI_SOLVE_CG_H

#include <stdint.h>

#include "base/error.h"

/** y = A x, x and y double [n], never the same memory.  An error of `apply` ends the solver
 *  and is handed up unchanged. */
struct spi_operator {
    int64_t n;
    spi_err (*apply)(const void *self, const double *x, double *y);
    const void *self; /* borrowed */
    double unit;      /* relative error of a product: 2^-24 if made in float */
};

struct spi_cg_options {
    int n_iter;               /* at most this many products, >= 0 */
    double tol;               /* stop at |b - (A + shift) x| <= tol |b|, >= 0 */
    double enough;            /* > 0: stop once drop (below) has reached this (L13) */
    const volatile int *stop; /* NULL or a flag: nonzero ends the run with SPI_ECANCEL */
};

enum spi_cg_end {
    SPI_CG_CONVERGED,   /* the residual is small enough */
    SPI_CG_DISCREPANCY, /* the misfit is: drop >= enough (of many shifts: the smallest's) */
    SPI_CG_ITERATIONS,  /* n_iter steps done; x is the last iterate */
    SPI_CG_CURVATURE,   /* p.(A + shift) p is not positive: x is the last good iterate */
    SPI_CG_STOPPED,     /* the flag was set */
};

/** What a solution is worth.  Residuals are those of the recurrence; the true ones differ
 * by no more than (L7).  With A = H* w H and b = H* w y (least squares), the weighted
 * misfit is |y - H x|_w^2 = |y|_w^2 - drop. */
struct spi_cg_report {
    enum spi_cg_end end;
    int n_iter;           /* steps that went into x */
    double shift;         /* as given */
    double norm_b;        /* |b| */
    double norm_x;        /* |x| */
    double residual;      /* |b - (A + shift) x| / |b|; 0 for b = 0 */
    double data_residual; /* |b - A x| / |b|: abscissa of an L-curve; 0 for b = 0 */
    double drop;          /* 2 b.x - x.A x, (L8) */
};

/** Plain CG.  x [n]: start on input (zeros: cold start), solution on output; always finite.
 *  For b = 0 the solution is x = 0.  SPI_EINVAL: options out of range, or b, x, or a
 * product is not finite; SPI_ECANCEL: stopped (x and the report hold the last iterate). Not
 * having converged is no error: see report->end.  Memory: 3 vectors. */
SPI_MUSTUSE spi_err spi_cg(const struct spi_operator *A, double shift, const double *b,
                           const struct spi_cg_options *opt, double *x,
                           struct spi_cg_report *report);

/** Multi-shift CG from x = 0.  shifts [n_shifts] in any order; x [n_shifts][n] and
 *  report [n_shifts] in the same order.  Converged shifts are frozen.  Where A + (smallest
 *  shift) is not positive the next larger shift takes over as the seed.  Errors as
 *  spi_cg.  Memory: 2 + n_shifts vectors beside x. */
SPI_MUSTUSE spi_err spi_cg_shifts(const struct spi_operator *A, int n_shifts,
                                  const double *shifts, const double *b,
                                  const struct spi_cg_options *opt, double *x,
                                  struct spi_cg_report *report);

/** Word for an end: "converged", "discrepancy", "steps", "curvature" or "stopped". */
const char *spi_cg_end_text(enum spi_cg_end end);

#endif
