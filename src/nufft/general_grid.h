/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What a general plan chooses before it sees the values: window, fine grid, bricks.
 * Layer: nufft, internal.  doc/math.md (U6)-(U8). */
#ifndef SPI_NUFFT_GENERAL_GRID_H
#define SPI_NUFFT_GENERAL_GRID_H

#include "kernel/kaiser.h"
#include "kernel/nubrick.h"
#include "nufft/general.h"

/* One axis.  Brick b covers the fine points b 2^shift ... and its local grid begins
 * floor(w/2) points before; bricks whose local grids share points (mod n) differ in colour.
 */
struct spi_nu_cut {
    int m, n, shift;
    int bricks, colours;
    unsigned char *colour; /* [bricks], owned */
};

struct spi_nu_grid {
    int dim;
    double sigma; /* smallest fine points per mode */
    struct spi_kaiser win;
    struct spi_nu_cut axis[3]; /* the third is one point when dim is 2 */
    struct spi_nu_brick local; /* shape of a brick's own grid */
    int64_t n_bricks, local_size;
};

/** SPI_EINVAL unless the specification is in range and tol at least tol_min. */
SPI_MUSTUSE spi_err spi_nu_check(const struct spi_nu_spec *spec, double tol_min);

/** Choose for n points (the cheapest width by a model of the work); real_bytes is 4 or 8.
 * Release: spi_nu_grid_clear. */
SPI_MUSTUSE spi_err spi_nu_grid_init(const struct spi_nu_spec *spec, int real_bytes,
                                     int64_t n, struct spi_nu_grid *g);
/** Release what the struct owns. */
void spi_nu_grid_clear(struct spi_nu_grid *g);

/** Fine points that brick b of an axis covers. */
int spi_nu_cover(const struct spi_nu_cut *a, int b);
/** Length of the local grid of brick b. */
int spi_nu_extent(const struct spi_nu_grid *g, int axis, int b);
/** Fine point (0 ... n-1) of the first point of the local grid of brick b. */
int spi_nu_origin(const struct spi_nu_grid *g, int axis, int b);
/** Fine point of mode index i (0 ... m-1) in the caller's order. */
int spi_nu_fine_of(const struct spi_nu_cut *a, bool fft_order, int i);
/** 1 / (window's transform) of that mode. */
double spi_nu_deconvolve(const struct spi_nu_grid *g, int axis, bool fft_order, int i);

#endif
