/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What of a map is compared: not the level that its border stands at, nor the faces of its
 * box.  Layer: fsc.  doc/math.md (F15), (F16).
 *
 * A map that is not zero at its border has the transform of its box in every shell, and
 * that box does not turn with the particle. */
#ifndef SPI_FSC_BORDER_H
#define SPI_FSC_BORDER_H

#include <stdbool.h>

#include "fsc/align.h"

struct spi_border {
    double level; /* what was taken off */
    bool
        cut; /* the border is not flat: the map is cut by a soft ellipsoid within its box */
    double half_A[3]; /* its half axes, x y z */
};

/** Take the level off a map, and cut it if its border is not flat, (F15), (F16).  sides:
 *  voxels along x, y, z that hold data, in the middle of the cube as spi_mrc_read puts
 * them; the rest becomes 0.  SPI_EFORMAT: the map is constant, or all that differs is cut
 * off; `name` begins the message. */
SPI_MUSTUSE spi_err spi_border_take_off(const char *name, const int sides[3],
                                        struct spi_volume *map, struct spi_border *border);

/** Multiply `vol` by the ellipsoid of a map that was cut, as it lies after `pose` (NULL: as
 *  it is).  A map that was not cut changes nothing. */
void spi_border_cut(const struct spi_border *border, const struct spi_pose *pose,
                    struct spi_volume *vol);

/** spi_align_densities of two maps that went through spi_border_take_off.  A map that was
 * cut has an ellipsoid that does not move with what it holds: then the finalists of the
 * search are compared where both maps hold something, (F17).  cc: there, q = 0 left out. */
SPI_MUSTUSE spi_err spi_border_align(const struct spi_volume *ref,
                                     const struct spi_border *ref_border,
                                     const struct spi_volume *map,
                                     const struct spi_border *map_border, double diameter_A,
                                     double q_max, struct spi_pose *pose, double *cc);

#endif
