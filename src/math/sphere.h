/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * View directions: a spherical Fibonacci grid.  Layer: math.
 *
 * Point i of n: z = 1 - (2 i + 1) / n, azimuth = i * golden angle; the mean area is 4 pi /
 * n. n = 4 pi (2 D q)^2 makes the points about one Shannon cell 1/(2 D q) apart. */
#ifndef SPI_MATH_SPHERE_H
#define SPI_MATH_SPHERE_H

#include <stdint.h>

#include "base/error.h"

/** Direction i of n, unit vector. */
void spi_sphere_point(int64_t n, int64_t i, double dir[3]);
/** Points of a grid `cell` radians apart: ceil(4 pi / cell^2), at least 12. */
int64_t spi_sphere_count(double cell);
/** Indices of all points within `radius` (rad) of `dir`, ascending; at most `max` are
 *  written, the count found is returned.  Cost O(n sin(radius)). */
int spi_sphere_near(int64_t n, const double dir[3], double radius, int max, int32_t *index);

/** order[n]: the points such that neighbours in the order are neighbours on the sphere:
 * bands of `height` rad in the polar angle, each by azimuth, to and fro. */
SPI_MUSTUSE spi_err spi_sphere_order(int64_t n, double height, int32_t *order);

/** The sphere in about n patches of equal area and about equal sides: bands of z, each cut
 *  into equal azimuths. */
struct spi_patches {
    int64_t n;
    int bands;
    double *z;      /* [bands + 1] from 1 down to -1, owned */
    int64_t *first; /* [bands + 1] patches before the band, owned */
};
/** Divide the sphere into n patches.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_patches_init(struct spi_patches *p, int64_t n);
/** Release what the struct owns. */
void spi_patches_clear(struct spi_patches *p);
/** Patch of a unit vector. */
int64_t spi_patch_of(const struct spi_patches *p, const double dir[3]);

#endif
