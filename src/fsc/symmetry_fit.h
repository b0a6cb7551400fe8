/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Where a particle's symmetry axes are: from the standard frame of a point group
 * (math/symmetry.h) to the particle's own.  Layer: fsc.  doc/math.md (Y2).
 *
 * The self-correlation of |F|^2 (shell means removed, shells by their Shannon cells;
 * neither centre nor hand of the map matters) under the group's elements rotated by U is
 * maximised: first over the direction of the main axis, then over the azimuth, then
 * locally. */
#ifndef SPI_FSC_SYMMETRY_FIT_H
#define SPI_FSC_SYMMETRY_FIT_H

#include <stdint.h>

#include "math/volume.h"

enum { SPI_SYMMETRY_QD_LEAST = 2 }; /* q times diameter that a fit needs */

/** U brings the standard-frame group onto the particle: its elements are U S U^T
 *  (spi_symmetry_rotate).  diameter_A: the particle's; q_max: highest |q| used, 1/A; at
 *  most 10/D is.  self_cc: mean correlation over the group's elements but the identity (1:
 * perfect symmetry; 1 for C1). SPI_EINVAL: no such group, a bad map; SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_symmetry_fit_map(const char *group, const struct spi_volume *map,
                                         double diameter_A, double q_max, double U[9],
                                         double *self_cc);

/** The same for an intensity map (centred, even).  A group whose score at q D = 5 or 0.55
 * of its fold, whichever is more, is below `least` is not worth more: U and self_cc are
 * those of the coarse search. */
SPI_MUSTUSE spi_err spi_symmetry_fit_intensity(const char *group,
                                               const struct spi_volume *W,
                                               double diameter_A, double q_max,
                                               double least, double U[9], double *self_cc);

#endif
