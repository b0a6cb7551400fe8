/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the files of the nonuniform transforms share.  Layer: nufft; only this folder.
 *
 * The fine grid: planes z = -Z_LOW ... nf/2 + MARGIN of [y][x], each axis -nf/2 - MARGIN
 * ... nf/2 + MARGIN.  W is even, so the lower half is not kept: a patch whose centre has z
 * < 0 is taken at -u.  The margins hold what the taps of points near a face touch. */
#ifndef SPI_NUFFT_PLAN_H
#define SPI_NUFFT_PLAN_H

#include "kernel/interp.h"
#include "nufft/nufft.h"

enum {
    RADIUS_MAX = 6, /* of a patch, in fine-grid points; its centre is within nf/2 + 1 */
    MARGIN = 16,    /* >= RADIUS_MAX + SPI_TAPS_MAX + 2: what a patch at a face reaches */
    Z_LOW = MARGIN  /* and one at z = 0 */
};

struct spi_nufft {
    int n, nf, threads;
    double dx;
    struct spi_taps taps;
    int side, pitch, planes; /* rows of a plane; floats of a row; planes: one component */
    double *deconv; /* [n], owned: 1 / window transform of mode i - n/2; 0 at Nyquist */
};

/** Grid point (x, y, z), counted from u = 0, of a grid of `comp` components. */
static inline ptrdiff_t grid_at(const spi_nufft *p, int comp, int x, int y, int z)
{
    int half = p->nf / 2 + MARGIN;

    return (((ptrdiff_t)z + Z_LOW) * p->side + y + half) * p->pitch * comp +
           (ptrdiff_t)(x + half) * comp;
}

/** Points at u_z >= 0, by W(-u) = W(u); their slopes change signs back. */
void spi_nufft_fold(const spi_nufft *p, int n, const float u[3][SPI_POINTS],
                    float folded[3][SPI_POINTS]);
/** The slopes of folded points change signs back. */
void spi_nufft_unfold(int n, const float u[3][SPI_POINTS], float out[4][SPI_POINTS]);

/** Error for points outside the grid (SPI_EINVAL). */
SPI_MUSTUSE spi_err spi_nufft_beyond(const spi_nufft *p);

#endif
