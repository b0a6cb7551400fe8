/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * How evenly the view directions of the images cover the sphere.  Layer: mtip.
 * doc/math.md (Q7), (Q8), (Q11). */
#ifndef SPI_MTIP_COVERAGE_H
#define SPI_MTIP_COVERAGE_H

#include "io/orient.h"
#include "math/sphere.h"

struct spi_coverage {
    struct spi_patches patches; /* some ten images in each, owned */
    float *density;             /* [patches.n] images over those of an even spread, owned */
    double chi2;                /* of these counts per degree of freedom: 1 when random */
    double chi2_sigma;          /* and its standard deviation then */
    int64_t fine;               /* patches of a Shannon cell */
    double seen, expected;      /* part of them that images see; when random and even */
    double ratio;               /* seen / expected */
};

/** View directions R^T z of all images (half 0: none), each rotated by all n elements of
 * the particle's point group, which are the same view of it; cell: rad, Shannon cell
 * 1 / (2 D q_max). */
SPI_MUSTUSE spi_err spi_coverage_init(struct spi_coverage *c,
                                      const struct spi_orientations *o, int n,
                                      const double (*group)[9], double cell);
/** (Q11): the share of the directions at q (1/A) that some slice crosses, rotated by the n
 * elements of the point group; wavelength in A. */
SPI_MUSTUSE spi_err spi_coverage_crossed(const struct spi_orientations *o, int n,
                                         const double (*group)[9], double diameter_A,
                                         double q, double wavelength_A, double *covered);
/** Release what the struct owns. */
void spi_coverage_clear(struct spi_coverage *c);

#endif
