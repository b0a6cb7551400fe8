/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Mean of W over all directions, as a function of |q|.  Layer: sim.  doc/math.md (S10).
 *
 * Orientations are uniform, so this is the mean of W over images at any pixel of that |q|.
 */
#ifndef SPI_SIM_PROFILE_H
#define SPI_SIM_PROFILE_H

#include "sim/model.h"

struct spi_profile {
    int n;
    double step; /* 1/A */
    double *W;   /* [n] at |q| = i * step, owned */
};

/** Means over 4,096 directions of a spherical Fibonacci grid, 20 values of |q| a speckle.
 */
SPI_MUSTUSE spi_err spi_profile_init(const struct spi_model *m, double q_max,
                                     struct spi_profile *out);
/** Release what the struct owns. */
void spi_profile_clear(struct spi_profile *p);
/** Cubic interpolation; never negative. */
double spi_profile_value(const struct spi_profile *p, double q);

#endif
