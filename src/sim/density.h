/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Density of a structure on a map's grid.  Layer: sim.  doc/math.md (D1)-(D3).
 *
 *     rho(x) = (n dx)^-3 sum_{|q| <= q_max} F(q) exp(2 pi i q.x),   q = k / (n dx)
 *     F(q)   = sum_a occ_a f0_a(|q|) exp(-B_a |q|^2 / 4) exp(-2 pi i q.r_a)
 *
 * in electrons / A^3; the truth that a map of resolution 1/q_max is compared with. */
#ifndef SPI_SIM_DENSITY_H
#define SPI_SIM_DENSITY_H

#include "io/atoms.h"
#include "math/volume.h"

/** Density on the grid (n, step), centred: the origin of the atoms is the voxel n/2.
 *
 * \param[in]  s       atoms, in the frame of the map (spi_structure_centre)
 * \param[in]  n       even side; \param[in] step voxel, A
 * \param[in]  q_max   band limit, 1/A; <= 0 or beyond it: 1/(2 step), the Nyquist frequency
 *                     itself left out
 * \param[out] out     release with spi_volume_clear
 * \return SPI_EINVAL: n odd, or an atom outside the box of n step; SPI_ENOMEM
 *
 * F is exact for the grid's q up to float rounding.  Cost: 8 (4/pi of the ball's) multiply-
 * adds per atom and q, as matrix products: 27,000 atoms on 64^3 take about a second. */
SPI_MUSTUSE spi_err spi_density_from_structure(const struct spi_structure *s, int n,
                                               double step, double q_max,
                                               struct spi_volume *out);

#endif
