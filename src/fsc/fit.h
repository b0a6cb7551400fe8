/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Local refinement of a rigid motion by Gauss and Newton on samples of two spectra.
 * Layer: fsc.  doc/math.md (F9).
 *
 * Both spectra are sampled on the shells' points and standardised shell by shell (unit
 * norm; the mean removed too, except for complex values), so that the score is the weighted
 * mean of the shells' correlations. */
#ifndef SPI_FSC_FIT_H
#define SPI_FSC_FIT_H

#include <stddef.h>

#include "fsc/align.h"
#include "fsc/shells.h"
#include "fsc/spectrum.h"

enum spi_fit_kind {
    SPI_FIT_REAL,    /* intensity maps: rotation */
    SPI_FIT_POWER,   /* |F|^2 of complex spectra: rotation */
    SPI_FIT_COMPLEX, /* F: rotation and shift, hand as given */
};

struct spi_fit {
    enum spi_fit_kind kind;
    int parts;                       /* floats of one standardised value */
    const struct spi_shells *shells; /* borrowed */
    const struct spi_spectrum *map;  /* borrowed */
    double cell_q;             /* 1/D: a turn by cell_q / (2 q) is one Shannon angle */
    float *ref;                /* [points][parts], owned */
    float *v, *moved[3], *raw; /* work, owned */
    double *rho, *ref_norm, *v_norm; /* [shells], owned */
    double *ref_mean, *v_mean;       /* [shells], owned: what was removed; 0 if complex */
    double *moved_norm, *moved_mean; /* [3][shells], owned: of `moved` */
    double *weight;                  /* [shells], owned: at first the number of points */
};

/** Sample `ref` at the points of `shells`; `map` and `shells` are borrowed.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_fit_init(enum spi_fit_kind kind, const struct spi_spectrum *ref,
                                 const struct spi_spectrum *map,
                                 const struct spi_shells *shells, double diameter_A,
                                 struct spi_fit *fit);
/** Release what the struct owns. */
void spi_fit_clear(struct spi_fit *fit);

/** The same fit with scratch of its own, so that another thread can ask for scores
 * (spi_fit_score only); not to be cleared.  scratch: spi_fit_scratch_bytes, aligned. */
struct spi_fit spi_fit_with(const struct spi_fit *fit, void *scratch);
/** Bytes of the scratch. */
size_t spi_fit_scratch_bytes(const struct spi_fit *fit);

/** SPI_EINVAL unless R is a rotation to 1e-3 and the shift (NULL: none) is finite. */
SPI_MUSTUSE spi_err spi_fit_check_pose(const char *where, const double R[9],
                                       const double *shift_A);

/** Weighted mean over the first n_shells shells of their correlations at `pose`; these stay
 *  in fit->rho. */
double spi_fit_score(struct spi_fit *fit, int n_shells, const struct spi_pose *pose);

/** The plain correlation over those shells at the last score: amplitudes not standardised.
 */
double spi_fit_plain(const struct spi_fit *fit, int n_shells);

/** Improve `pose` on the first n_shells shells; returns the score.  Ends after `steps`, or
 * when a step is below `tol` of a Shannon angle (rotation) and of 1/(2 pi q) (shift). */
double spi_fit_refine(struct spi_fit *fit, int n_shells, int steps, double tol,
                      struct spi_pose *pose);

/** Weights of maximum likelihood for equal noise in both maps, points rho / (1 - rho^2),
 * from the correlations at `pose`; and back to the number of points. */
void spi_fit_weigh(struct spi_fit *fit, int n_shells, const struct spi_pose *pose);
/** Set the weights to the numbers of points again. */
void spi_fit_unweigh(struct spi_fit *fit);

#endif
