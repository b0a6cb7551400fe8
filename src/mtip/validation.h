/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Validation of a result without ground truth: the tests that it has to pass, and the words
 * for what limits its resolution (mtip/resolution.h).  Layer: mtip.  doc/decisions/018,
 * doc/math.md (Q9) to (Q17). */
#ifndef SPI_MTIP_VALIDATION_H
#define SPI_MTIP_VALIDATION_H

#include "base/settings.h"
#include "mtip/outlook.h"
#include "mtip/resolution.h"

/** Everything that is asked. */
struct spi_validation {
    struct spi_resolution resolution;
    struct spi_outlook outlook;
    double diameter_A;
    double phase_consistency; /* (Q12) */
    int phase_rounds;         /* of starts that were made for it */
    double coverage; /* directions at the claimed resolution that images cross (Q11) */
    double unexplained_variance; /* (Q9) */
    double unexplained_shells;   /* (Q23), asked where images were left out */
    double outlier_images;       /* share of the images (Q10) */
    int64_t left_out;            /* of them, because the map does not explain them (Q22) */
    double isotropic;            /* (Q16) */
    double isotropic_q;          /* 1/A, where */
};

/** SPI_ENOCONV with a sentence that says all that is wrong, the likeliest cause first, or
 * SPI_OK. */
SPI_MUSTUSE spi_err spi_validation_check(const struct spi_validation *v,
                                         const struct spi_settings *set);
/** One sentence: what limits the resolution. */
void spi_validation_limit(const struct spi_validation *v, char *text, size_t size);

#endif
