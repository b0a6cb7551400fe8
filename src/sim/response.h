/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What a detector makes of photons: faulty pixels, saturation, electronics.  Layer: sim.
 * doc/math.md (S20), (S21). */
#ifndef SPI_SIM_RESPONSE_H
#define SPI_SIM_RESPONSE_H

#include "io/images.h"

struct spi_response_options {
    double dead, hot, flickering; /* shares of the usable pixels */
    double hot_counts;            /* mean of a hot or flickering pixel */
    double saturation;            /* photons a pixel counts at most; 0: any number */
    double gain;                  /* ADU of a photon; 0: photons are counted */
    double noise;                 /* standard deviation of the readout, photons */
    double pedestal;              /* ADU of no photon */
};

struct spi_response {
    struct spi_response_options opt;
    uint64_t seed;
    int64_t n_pixels;
    uint8_t *fault; /* [n_pixels], owned: enum spi_pixel_fault */
    float *in_gap;  /* [n_pixels], owned: what a pixel of a gap holds */
};

/** Draw the faulty pixels among the usable ones.  SPI_EINVAL: shares that exceed 1. */
SPI_MUSTUSE spi_err spi_response_init(struct spi_response *r,
                                      const struct spi_detector *det,
                                      const struct spi_response_options *opt,
                                      uint64_t seed);
/** Release what the struct owns. */
void spi_response_clear(struct spi_response *r);

/** Rows r0..r1-1, columns c0..c1-1 of the detector hold `value` in every image:
 * "R0:R1,C0:C1" or "R0:R1,C0:C1=VALUE" (0 without; nan and negative ones too).  SPI_EUSAGE.
 */
SPI_MUSTUSE spi_err spi_response_gap(struct spi_response *r, const struct spi_detector *det,
                                     const char *text);
/** Quadrants of the detector, "1,4", hold 0: 1 is that of the first row and column, 2 of
 * the first row and last column, 3 and 4 below them.  SPI_EUSAGE. */
SPI_MUSTUSE spi_err spi_response_missing(struct spi_response *r,
                                         const struct spi_detector *det, const char *text);

/** Whether values are something else than numbers of photons. */
bool spi_response_is_analogue(const struct spi_response *r);
/** Whether a value may be negative or not a number. */
bool spi_response_is_raw(const struct spi_response *r);
/** Most that a pixel reads where no image brings more than `photons`. */
double spi_response_most(const struct spi_response *r, double photons);
/** Photons of image k, in place -> what is read. */
void spi_response_apply(const struct spi_response *r, int64_t k, float *pixels);

#endif
