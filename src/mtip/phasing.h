/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Densities of both half sets: rounds of phasing starts until the maps agree as well as the
 * intensities do.  Layer: mtip.  doc/math.md (Q12), (Q13), doc/decisions/015. */
#ifndef SPI_MTIP_PHASING_H
#define SPI_MTIP_PHASING_H

#include "mtip/agreement.h"
#include "phase/phase.h"

/** One round of starts of both halves. */
struct spi_phasing {
    struct spi_phase_result half[2];
    struct spi_pose pose;      /* superposes half 2 on half 1 */
    struct spi_volume moved2;  /* half 2 as superposed, owned */
    struct spi_volume density; /* mean of the two, owned */
    struct spi_fsc fsc;        /* of the two */
    double *own[2];            /* of spi_agreement_faithful, each half, owned */
    double phase_consistency;  /* (Q12) */
    double cutoff;             /* of shrink-wrap in this round (Q13) */
    int rounds;                /* that were made, this one among them */
};

/** The first round that agrees to `phase_consistency_stop` and in which at least half of
 * the starts of either half set agree (P17), else the best of N_phase_rounds: (Q13). */
SPI_MUSTUSE spi_err spi_phasing_run(struct spi_run *r, const struct spi_volume half_A[2],
                                    const struct spi_agreement *a, struct spi_phasing *out);
/** Release what the struct owns. */
void spi_phasing_clear(struct spi_phasing *p);

/** (Q13): the shrink-wrap threshold of a round, from 0. */
double spi_phasing_cutoff(const struct spi_settings *set, int round);

#endif
