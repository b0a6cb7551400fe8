/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Atomic form factors for X-rays.  Layer: sim.  doc/math.md (S1).
 *
 * f0(s) = c + sum_i a_i exp(-b_i s^2), s = sin(theta)/lambda = |q|/2, neutral atoms,
 * D. Waasmaier and A. Kirfel, Acta Cryst. A51 (1995) 416; good for |q| <= 12 1/A.
 * Dispersion corrections are not part of f0. */
#ifndef SPI_SIM_FORMFACTOR_H
#define SPI_SIM_FORMFACTOR_H

enum { SPI_FORMFACTOR_Z_MAX = 98 };

/** f0 of the neutral atom of number z = 1..98 (electrons) at |q| = q_invA (1/A, 1/d). */
double spi_formfactor(int z, double q_invA);
/** exp(-B q^2 / 4), the isotropic displacement factor; a negative B counts as 0. */
double spi_debye_waller(double b_A2, double q_invA);

#endif
