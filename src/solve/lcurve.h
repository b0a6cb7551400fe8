/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The L-curve: how much regularisation a least-squares problem needs.  Layer: solve.
 *
 * Points are (log residual norm, log solution norm) for a set of lambdas (Hansen and
 * O'Leary, SIAM J. Sci. Comput. 14 (1993) 1487; doc/math.md (L9)-(L12)). */
#ifndef SPI_SOLVE_LCURVE_H
#define SPI_SOLVE_LCURVE_H

#include "base/error.h"

struct spi_lcurve_point {
    double lambda;    /* > 0, each once, in any order */
    double residual;  /* norm of the misfit, >= 0 */
    double norm;      /* norm of the solution, >= 0 */
    double curvature; /* filled by spi_lcurve_choose, NAN at the ends of the curve */
};

enum spi_lcurve_how {
    SPI_LCURVE_CORNER,  /* a corner: largest curvature, and the curve turns by 22.5 degrees
                         */
    SPI_LCURVE_PLATEAU, /* no corner, but a plateau: its largest lambda */
    SPI_LCURVE_SMALLEST /* neither: the smallest lambda */
};

struct spi_lcurve_choice {
    int index; /* of the chosen point, after sorting */
    enum spi_lcurve_how how;
};

/** Sort the n points by rising lambda, fill in their curvature and choose one.
 *  A corner is the inner point of largest positive curvature (L10) at which the curve as a
 *  whole turns (L11).  Without one: the largest lambda that costs nothing, which is to say
 *  up to which the residual has not risen by more than `rise` (0.03: three per cent) and
 *  the norm has not fallen by more than `fall`, relative to those of the smallest lambda
 *  (L12); if only the smallest lambda is such, that one.  Points that are not finite, or
 *  have a residual or a norm of zero, take no part in the search for a corner and are never
 *  chosen unless all are so.  SPI_EINVAL: n < 1, a lambda that is not positive or appears
 *  twice, rise or fall < 0. */
SPI_MUSTUSE spi_err spi_lcurve_choose(int n, struct spi_lcurve_point *p, double rise,
                                      double fall, struct spi_lcurve_choice *choice);

/** "lambda,residual,norm,curvature,chosen" and one line a point; `choice` may be NULL.
 *  *text is released by the caller with free(). */
SPI_MUSTUSE spi_err spi_lcurve_csv(int n, const struct spi_lcurve_point *p,
                                   const struct spi_lcurve_choice *choice, char **text);

/** Word for a choice: "corner", "plateau" or "smallest lambda". */
const char *spi_lcurve_how_text(enum spi_lcurve_how how);

#endif
