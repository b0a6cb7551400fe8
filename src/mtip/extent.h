/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The particle's diameter from the models that the random initialisations found.  Layer:
 * mtip. doc/math.md (J11), doc/decisions/017. */
#ifndef SPI_MTIP_EXTENT_H
#define SPI_MTIP_EXTENT_H

#include "mtip/run.h"

/** Largest distance of two places of a density that is above 0.2 of its maximum (J11). */
SPI_MUSTUSE spi_err spi_density_extent(const struct spi_volume *rho, double *extent_A);

/** Phases the leading models of both half sets and compares their extent with the diameter
 * that the run assumes: r->refined_A is the diameter that they show where the run may take
 * another one (r->n_diameters <= r->diameters_most, and the half sets agree to
 * converge.halves_cc_repeat), else 0; where it may not, a difference
 * is told (spi_run_tell).  The models stay as they are. */
SPI_MUSTUSE spi_err spi_run_look_at_diameter(struct spi_run *r);

#endif
