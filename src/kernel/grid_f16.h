/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Interpolation, with or without gradient, from a grid kept in half precision.  Layer:
 * kernel.  doc/math.md (N4), (Q1), (N10).
 *
 * For narrow windows, w <= 4.  The 8 cells that begin at every fifth cell of y stand side
 * by side, a column of 16 bytes, so that the w cells of any point lie in one column: what a
 * point touches in a plane is one vector of 4 columns.  A cell is kept 8/5 times, 3.2
 * bytes.
 *
 *     out_j = sum_i phi(i - u_j) G_i              as kernel/interp.h
 *     out[0][j] and out[1 + c][j] = d out[0][j] / d u_c      as kernel/refine.h
 *
 * A value errs as said in kernel/f16.h, all else as said in these headers. */
#ifndef SPI_KERNEL_GRID_F16_H
#define SPI_KERNEL_GRID_F16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/interp.h"

enum { SPI_GRID_F16_W_MAX = 4, SPI_GRID_F16_LANES = 8, SPI_GRID_F16_STEP = 5 };

/** Cell (x, y, z), counted from u = 0, is half i of the column (z + low[2]) plane + k row +
 *  x + low[0] for every k, i with 5 k + i = y + low[1]. */
struct spi_grid_f16 {
    int low[3];
    int32_t row, plane; /* columns */
    float scale;        /* spi_f16_scale of the largest */
    uint16_t *data;     /* kernel/f16.h, 16-byte aligned */
};

/** Fill nz x nk x nx columns from a grid, `at` its cell -low, of which 5 nk + 3 rows are
 *  read. |values| times scale < 65504. */
void spi_grid_f16_fill(const struct spi_grid_f16 *h, int nz, int nk, int nx,
                       const struct spi_rows_in *grid);

struct spi_grid_f16_variant {
    const char *name;
    bool (*available)(void);
    /* u: x, y and z of n points; on each axis the taps from ceil(u - w/2) on, and on x four
     * cells, must lie in the columns */
    void (*interp)(const struct spi_taps *taps, const struct spi_grid_f16 *h, int n,
                   const float *const u[3], float *out);
    void (*gradient)(const struct spi_taps *taps, const struct spi_grid_f16 *h, int n,
                     const float *const u[3], float *const out[4]);
};

/** Best first, ends with a NULL name. */
extern const struct spi_grid_f16_variant spi_grid_f16_variants[];
/** The first that this machine has; NULL if that is the plain one, which is slower than to
 *  read the grid itself (kernel/interp.h). */
const struct spi_grid_f16_variant *spi_grid_f16_best(void);

#define SPI_GRID_F16_VARIANT(isa)                                                          \
    void spi_grid_f16_interp_##isa(const struct spi_taps *, const struct spi_grid_f16 *,   \
                                   int, const float *const[3], float *);                   \
    void spi_grid_f16_gradient_##isa(const struct spi_taps *, const struct spi_grid_f16 *, \
                                     int, const float *const[3], float *const[4]);
#ifdef SPI_X86_VARIANTS
SPI_GRID_F16_VARIANT(avx2)
SPI_GRID_F16_VARIANT(avx512)
#endif

#endif
