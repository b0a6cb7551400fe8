/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Point groups of rotations.  Layer: math.  doc/math.md (Y1).
 *
 * Standard frame:
 *   Cn   the n-fold axis is z;
 *   Dn   the n-fold axis is z, a twofold axis is x;
 *   T    twofold axes x, y, z; threefold (1, 1, 1) and its like;
 *   O    fourfold axes x, y, z; threefold (1, 1, 1) and its like;
 *   I    twofold axes x, y, z; threefold (1, 1, 1); fivefold (0, 1, phi) and its cyclic
 *        permutations, phi = (1 + sqrt 5) / 2. */
#ifndef SPI_MATH_SYMMETRY_H
#define SPI_MATH_SYMMETRY_H

#include <stdbool.h>

#include "base/error.h"

/** The rotations of a group: "C1" ... "C64", "D1" ... "D64", "T", "O", "I" (any case).
 *  ops: [n][9], the identity first, owned by the caller: free().
 *  SPI_EINVAL: no such group; SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_symmetry_parse(const char *name, double (**ops)[9], int *n);

/** The name in its one form: "c02" becomes "C2".  Names of no group stay as they are. */
void spi_symmetry_normalise(char *name);

/** The group rotated: each S becomes U S U^T (axes of the standard frame go to U axis). */
void spi_symmetry_rotate(int n, double (*ops)[9], const double U[9]);

/** Whether a unit vector lies in the asymmetric unit: among the directions S dir it is the
 *  nearest to a fixed direction that no element keeps.  Of the directions S dir exactly one
 *  does (borders aside).  doc/math.md (Y3). */
bool spi_symmetry_in_unit(int n, double (*ops)[9], const double dir[3]);

#endif
