/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * How far the two half sets agree, shell by shell: intensities, and phases beside them.
 * Layer: mtip.  doc/math.md (F14), (Q12), doc/decisions/015. */
#ifndef SPI_MTIP_AGREEMENT_H
#define SPI_MTIP_AGREEMENT_H

#include "mtip/run.h"

/** The intensities of the half sets after the last merge. */
struct spi_agreement {
    double R[9];         /* rotates half 2 onto half 1 */
    double q_min, q_max; /* 1/A */
    struct spi_intensity_shells shells;
};

/** `initial`: a rotation from which the best one is found. */
SPI_MUSTUSE spi_err spi_agreement_init(const struct spi_run *r,
                                       const struct spi_volume half_A[2],
                                       const double *initial, struct spi_agreement *a);
/** Release what the struct owns. */
void spi_agreement_clear(struct spi_agreement *a);
/** A curve over its shells (cc, contrast, or one of the caller's), linear between them; NAN
 *  outside q_min..q_max. */
double spi_agreement_at(const struct spi_agreement *a, const double *curve, double q);

/** Correlation of the intensity of a density with that of the autocorrelation from which it
 *  was phased, in the shells of `a`: [a->shells.n], owned by the caller (free). */
SPI_MUSTUSE spi_err spi_agreement_faithful(const struct spi_run *r,
                                           const struct spi_volume *A,
                                           const struct spi_volume *density,
                                           const struct spi_agreement *a, double **out);
/** (Q12): what the half maps agree to, with each other (f) and with their own intensities
 *  (own, of spi_agreement_faithful), as a share of what the agreement of the intensities
 *  allows. */
double spi_agreement_phase_consistency(const struct spi_agreement *a,
                                       const struct spi_fsc *f, const double *const own[2],
                                       double q_end);

#endif
