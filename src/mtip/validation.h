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

/** What an experiment was like, as far as it takes resolution away. */
struct spi_conditions {
    int64_t images; /* of the file; 0: nothing is known of them */
    int64_t blank, repeated, round, doublets, unexplained; /* of them, left out */
    double masked;           /* share of the pixels up to q_max that are masked */
    double masked_found;     /* the same, those that the program found */
    double background_ratio; /* counts of the background over the particle's (Q20) */
    double moved_px;  /* how far the file's beam centre was off; 0: it was not moved */
    double panels_px; /* how far its farthest panel was, beside the model (Q30) */
    double drift_px;  /* (J16), (Q31): of the beam; where it was followed, what is left */
};

/** One thing that takes resolution away. */
struct spi_loss {
    const char *what; /* "images", "pixels", "background", "centre", "panels" or "drift" */
    double value;     /* share left out, share masked, ratio, then pixels */
};
enum { SPI_LOSSES_MAX = 6 };

/** Everything that is asked. */
struct spi_validation {
    struct spi_resolution resolution;
    struct spi_outlook outlook;
    double diameter_A;
    double phase_consistency; /* (Q12) */
    int phase_rounds;         /* of starts that were made for it */
    double coverage; /* directions at the claimed resolution that images cross (Q11) */
    double unexplained_variance; /* (Q9) */
    double unexplained_shells;   /* (Q23), asked where more images were left out than ... */
    double left_out_least;       /* ... so many */
    double outlier_images;       /* share of the images (Q10) */
    int64_t left_out;            /* of them, because the map does not explain them (Q22) */
    double isotropic;            /* (Q16) */
    double isotropic_q;          /* 1/A, where */
    struct spi_conditions conditions;
};

/** SPI_ENOCONV with a sentence that says all that is wrong, the likeliest cause first, or
 * SPI_OK. */
SPI_MUSTUSE spi_err spi_validation_check(const struct spi_validation *v,
                                         const struct spi_settings *set);
/** What takes resolution away, where it is more than a trifle and the edge of the detector is
 * not the limit: largest first, in multiples of what would be a trifle.  How many. */
int spi_validation_losses(const struct spi_validation *v,
                          struct spi_loss loss[SPI_LOSSES_MAX]);
/** One sentence: what limits the resolution, and what takes it away. */
void spi_validation_limit(const struct spi_validation *v, char *text, size_t size);

#endif
