/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What a point group does to a map, and which one a map has.  Layer: fsc.
 * doc/math.md (Y5), (Y6). */
#ifndef SPI_FSC_SYMMETRY_MAP_H
#define SPI_FSC_SYMMETRY_MAP_H

#include "math/volume.h"

/** map = mean over the elements S of map(S^T x); group[0] is the identity.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_symmetry_average(struct spi_volume *map, int n,
                                         const double (*group)[9]);

struct spi_symmetry_found {
    char group[16]; /* "C1": none */
    double axes[9]; /* from the standard frame to the map's */
    double score;   /* mean correlation of W with its copies rotated by the elements */
    double between; /* the same, rotated about the main axis by half a step more; of "C1" at
                     * the level or above: a body of revolution, up to q_max */
    double level;   /* what the score had to reach */
};

/** The largest point group of an intensity map (centred, even; shell means removed) up to
 *  q_max, at most 10/D.  agreement: correlation of W with that of an independent half set,
 *  which says how alike copies can be.  A group is found when the score reaches the level
 *  and what lies between its elements does not: a body of revolution has no group here. */
SPI_MUSTUSE spi_err spi_symmetry_find(const struct spi_volume *W, double diameter_A,
                                      double q_max, double agreement,
                                      struct spi_symmetry_found *found);

#endif
