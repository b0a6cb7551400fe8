/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The part of two half sets' intensities that is the same in all directions and is not the
 * particle's.  Layer: fsc.  doc/math.md (F18)...(F20).
 *
 * The intensities of a particle of many atoms are distributed exponentially over a shell
 * (Wilson 1949): they reach zero, and their standard deviation is their mean.  A background
 * that is the same in all directions lifts all of them. */
#ifndef SPI_FSC_ISOTROPIC_H
#define SPI_FSC_ISOTROPIC_H

#include "math/volume.h"

struct spi_isotropic {
    int n;
    double *q;     /* [n] 1/A, rising, owned */
    double *mean;  /* [n] of the intensities in the shell, owned */
    double *level; /* [n] of it the background's, smooth over shells, owned; negative: the
                    * intensities go below zero by more than noise */
    double *sigma; /* [n] standard error of `level`, owned */
};

/** W1, W2: intensities of two half sets in one frame, on one grid.  Shells of 1/(2D) in
 * q_min..q_max.  SPI_EINVAL: a shell holds fewer than 16 voxels, or there is no shell. */
SPI_MUSTUSE spi_err spi_isotropic_find(const struct spi_volume *W1,
                                       const struct spi_volume *W2, double diameter_A,
                                       double q_min, double q_max,
                                       struct spi_isotropic *out);
/** Release what the struct owns. */
void spi_isotropic_clear(struct spi_isotropic *s);
/** A curve over the shells (mean, level) at q: linear between them, constant beyond. */
double spi_isotropic_at(const struct spi_isotropic *s, const double *curve, double q);

/** out = A without the level of its own intensity in q_min..q_max (noise: none is known, so
 * that too little is taken rather than too much); what is beyond stays.  A: an
 * autocorrelation; out is made here.  As spi_isotropic_find. */
SPI_MUSTUSE spi_err spi_isotropic_remove(const struct spi_volume *A, double diameter_A,
                                         double q_min, double q_max,
                                         struct spi_volume *out);

/** (F18): the share p of values below x, of an exponential distribution of mean s plus noise
 *  of standard deviation sigma > 0. */
double spi_isotropic_cdf(double x, double s, double sigma);
/** (F19) of one shell: from the values' mean, their tenth percentile, the standard deviation
 *  that both half sets have in common, and that of the noise. */
double spi_isotropic_level(double mean, double tenth, double common, double noise);

#endif
