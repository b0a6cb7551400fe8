/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * A cubic grid of reals that knows its own geometry.  Layer: math.
 *
 * C order [z][y][x], x fastest (as NX in an MRC file).  n is even unless said
 * otherwise; index i on an axis is the coordinate (i - n/2) * step: the centre is the
 * voxel n/2 ("centred order").  FFT-ordered data never live in this type. */
#ifndef SPI_MATH_VOLUME_H
#define SPI_MATH_VOLUME_H

#include <stddef.h>

#include "base/error.h"

struct spi_volume {
    int n;       /* voxels per axis */
    double step; /* distance of voxels: A for maps, 1/A for intensities */
    float *data; /* [n][n][n], owned */
};

/** Zeroed cube.  SPI_EINVAL unless 2 <= n <= 2048; SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_volume_init(struct spi_volume *v, int n, double step);
/** Copy a volume; `to` is made here.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_volume_copy(const struct spi_volume *from, struct spi_volume *to);
/** Release the data; `v` becomes all zero.  A zeroed struct is allowed. */
void spi_volume_clear(struct spi_volume *v);

/** Voxels in the cube. */
static inline size_t spi_volume_count(const struct spi_volume *v)
{
    return (size_t)v->n * (size_t)v->n * (size_t)v->n;
}

/** Index of voxel (z, y, x). */
static inline size_t spi_volume_index(const struct spi_volume *v, int z, int y, int x)
{
    return ((size_t)z * (size_t)v->n + (size_t)y) * (size_t)v->n + (size_t)x;
}

/** to = from with every axis rolled by n/2: centred <-> FFT order (n even). */
void spi_volume_roll(int n, const float *from, float *to);

/** Intensity W(k step') on the same n grid of an even real autocorrelation A:
 *  W = sum_x A(x) cos(2 pi q.x), step' = 1 / (n step).  doc/math.md (C5). */
SPI_MUSTUSE spi_err spi_volume_fourier_even(const struct spi_volume *A,
                                            struct spi_volume *W);
/** The inverse of spi_volume_fourier_even: A = n^-3 sum_q W cos(2 pi q.x). */
SPI_MUSTUSE spi_err spi_volume_fourier_even_inverse(const struct spi_volume *W,
                                                    struct spi_volume *A);

/** A(x) = n^-3 sum_q |F(q)|^2 cos(2 pi q.x), F = FT rho: the autocorrelation of rho,
 * periodic on its grid: rho must fill less than half of it.  Its intensity (fourier_even)
 * is |F|^2. */
SPI_MUSTUSE spi_err spi_volume_autocorrelate(const struct spi_volume *rho,
                                             struct spi_volume *A);

/** In place: Fourier modes up to q_pass (1/A) stay, beyond q_stop they are zero, between
 * them they fall as cos^2.  doc/math.md (C6). */
SPI_MUSTUSE spi_err spi_volume_cut(struct spi_volume *v, double q_pass, double q_stop);

#endif
