/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the survey has seen of each pixel.  Layer: io; only survey*.c. */
#ifndef SPI_IO_SURVEY_PRIV_H
#define SPI_IO_SURVEY_PRIV_H

#include "io/images_priv.h"
#include "io/survey.h"

enum { SPI_SURVEY_TOP = 4, SPI_SURVEY_FULL = 4 };

/** Sums over the sample, of valid values; after spi_survey_find_electronics in photons where
 * these are known, else as in the file. */
struct spi_look {
    struct spi_images *im;
    struct spi_survey *s;
    struct spi_repair *repair;       /* owned until it goes to `im` */
    double full;                     /* largest number of the type; 0: none */
    double *sum, *sum2;              /* [n_pixels] */
    float (*top)[SPI_SURVEY_TOP];    /* [n_pixels] the largest, descending */
    float *least;                    /* [n_pixels] */
    int32_t *wrong, *at_full, *zero; /* [n_pixels] images in which it is no measurement, the
                                      * largest number of the type, 0 */
    int32_t *at_least;               /* ... its smallest value */
    bool seen_full[SPI_SURVEY_FULL]; /* the largest number of 15, 16, 31, 32 bits */
    /* values below 0: how many, the first distinct ones */
    int64_t negative, values, broken;
    int n_distinct;
    float distinct[SPI_SURVEY_TOP];
    float *value;      /* above 0, for the unit */
    int32_t *value_of; /* their pixels */
    int64_t n_value;
    float *any; /* of all sizes, for the electronics */
    int32_t *any_of;
    int64_t n_any, any_step;
    /* rings of |q|, of the pixels that are not masked */
    int rings;
    double corner;
    double base; /* what the sums lack: where something was subtracted from the images, what
                  * their darkest pixels hold */
    double *mean;     /* [rings] median of the pixels that see light; NAN: too few */
    double *fano;     /* [rings] median of variance / mean over images */
    uint8_t *uneven;  /* [rings] pixels of one ring hold different means */
    double *evidence; /* [rings] -log of the probability that a pixel is always 0; NAN */
};

/** The ring of a pixel. */
int spi_survey_ring(const struct spi_look *l, int64_t pixel);
/** Images in which the pixel holds a valid value. */
int64_t spi_survey_valid(const struct spi_look *l, int64_t pixel);
/** Mean of its valid values over the images. */
double spi_survey_mean(const struct spi_look *l, int64_t pixel);
/** Their variance. */
double spi_survey_variance(const struct spi_look *l, int64_t pixel);
/** Note that a pixel is masked. */
void spi_survey_mask(struct spi_look *l, int64_t pixel, enum spi_pixel_reason reason);

/** Are the values whole multiples of something?  Of the pixels that are not masked. */
void spi_survey_find_gain(struct spi_look *l);
/** What electronics make of photons, given or from the photon peaks; the sums are in
 * photons then.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_survey_find_electronics(struct spi_look *l,
                                                const struct spi_survey_options *opt);
/** The rings, again after pixels have been masked.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_survey_rings(struct spi_look *l);
/** Pixels that hold one value in all images: (X4).  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_survey_constant(struct spi_look *l);
/** Pixels that are 0 in all images: (X4), (X5). */
SPI_MUSTUSE spi_err spi_survey_dead(struct spi_look *l);
/** Pixels that differ from their neighbours: (X6), (X7), (X8). */
SPI_MUSTUSE spi_err spi_survey_neighbours(struct spi_look *l);
/** Lines beside gaps: (X9). */
SPI_MUSTUSE spi_err spi_survey_borders(struct spi_look *l);

#endif
