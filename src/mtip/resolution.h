/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The resolution up to which a result stands, and what limits it.  Layer: mtip.
 * doc/decisions/018, doc/math.md (Q15), (Q16). */
#ifndef SPI_MTIP_RESOLUTION_H
#define SPI_MTIP_RESOLUTION_H

#include "fsc/align.h"
#include "mtip/agreement.h"
#include "mtip/contrast.h"

/** Below this q D a particle is nearly a ball: few shells, little structure in them. */
#define SPI_BALL_QD 2.5
/** (Q16): less contrast is that of a background two thirds as large as what the particle
 * scatters, or larger. */
#define SPI_CONTRAST_LEVEL 0.6

enum spi_limit {
    SPI_LIMIT_EDGE,      /* the detector, or the q_max that was asked for */
    SPI_LIMIT_IMAGES,    /* the intensities of the half sets agree no further */
    SPI_LIMIT_PHASES,    /* they do, but the phased maps agree no further */
    SPI_LIMIT_BACKGROUND /* beyond, much of the intensity is the same in all directions */
};

struct spi_resolution {
    double edge_A;        /* 1 / q_max */
    double intensities_A; /* of the half sets, (Q15); infinite: they do not agree */
    double maps_A;        /* of the half maps, with each other and with their intensities */
    double background_A;  /* where the contrast ends that a particle has, (Q16) */
    double claimed_A;     /* the coarsest of them: what the result is good to */
    enum spi_limit limit;
};

/** Where a curve over shells ends: 1/q (A) at which it falls below `level` for two shells
 * in a row, from the first shell on that lies at q_from or beyond; 1/q_max when it stays
 * above and, drawn on to q_max, would; infinite when it begins below. */
double spi_curve_end_A(int n, const double *q, const double *value, double level,
                       double q_from, double q_max);

/** (Q15): where the correlation of two half sets' intensities ends. */
double spi_resolution_of_intensities_A(int n, const double *q, const double *cc,
                                       double diameter_A, double q_max);
/** (Q15).  own: of spi_agreement_faithful; c: of the images. */
SPI_MUSTUSE spi_err spi_resolution_find(const struct spi_agreement *a,
                                        const struct spi_fsc *f, const double *const own[2],
                                        const struct spi_contrast *c, double diameter_A,
                                        struct spi_resolution *out);

/** (Q16): the share of the intensity that is the same in all directions and that no
 * particle of this diameter can have, largest over the shells
 * from q D = 2.5 to q_end in which the half sets agree.  Orientations that are
 * wrong lower the contrast of the merge, not that of the images: the larger of both counts.
 * *at: the shell, 0 when there is none. */
double spi_isotropic_share(const struct spi_agreement *a, const struct spi_contrast *c,
                           double diameter_A, double q_end, double *at);

#endif
