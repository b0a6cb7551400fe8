/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Interpolation from, and spreading to, a real grid, patch by patch.  Layer: kernel.
 * doc/math.md (N4), (N5).
 *
 * A patch is up to 16 points near each other: offsets d_j from a centre, rotated by a
 * matrix M; the centre's place on the grid is an integer cell plus a fraction f, so that
 *
 *     u_j = cell + t_j,   t_j = f + M d_j
 *
 * and the large part of u is never rounded to float.  The taps of a coordinate are the w
 * grid points from ceil(u - w/2) on.
 *
 *     interp: out_j = sum_i phi(i - u_j) G_i           one real at each grid point
 *     spread: G_ic += phi(i - u_j) val_jc, c = 0, 1    two interleaved reals; its transpose
 *
 * The three variants (plain C, AVX2 + FMA, AVX-512) have one contract.  Error against _ref:
 * a sum of w^3 products of three taps and a value, each tap a polynomial of degree w + 1
 * evaluated in floats: |error| <= gamma_{w^3 + 3 (w + 6)} times the sum of absolute values,
 * where a t_j is known to its last float digit. */
#ifndef SPI_KERNEL_INTERP_H
#define SPI_KERNEL_INTERP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/kaiser.h"

enum {
    SPI_PATCH_MAX = 16, /* points of a patch */
    SPI_TAPS_MAX = 8,   /* widest window; rows are read and written up to this many wide */
    SPI_TAPS_TERMS = 5  /* of a polynomial in z^2 */
};

/** A window of w <= SPI_TAPS_MAX points in float.  Tap c and tap w-1-c at the fraction
 *  z in (-1, 1] are E_c(z^2) +- z O_c(z^2). */
struct spi_taps {
    int w, terms; /* coefficients of E and of O */
    float even[SPI_TAPS_MAX / 2][SPI_TAPS_TERMS], odd[SPI_TAPS_MAX / 2][SPI_TAPS_TERMS];
    struct spi_kaiser window;
};

/** 2 <= w <= SPI_TAPS_MAX. */
void spi_taps_init(struct spi_taps *taps, int w, double beta);

struct spi_patch {
    const float *d; /* [3][16] x, y, z of the offsets, 64-byte aligned, zero beyond n */
    float M[9];     /* row-major, offsets -> grid units */
    float f[3];     /* place of the centre in its cell, 0 <= f < 1, x y z */
    int n;          /* points, 1..16 */
};

/** A grid in plain order; `at` is the centre's cell.  Strides in floats. */
struct spi_rows {
    float *at;
    ptrdiff_t row, plane;
};
struct spi_rows_in {
    const float *at;
    ptrdiff_t row, plane;
};

/** Accumulators of a small box whose rows are always written at 32- or 64-byte boundaries:
 * each row is kept in `copies` copies, copy p shifted by p * step cells, in `n` slots of
 * `cells` cells behind one that stays zero.  The sum over copies is the grid.  Values:
 * data[z * plane + y * row + p * copy + (s + 1) * 2 * cells + 2 * i + component] belongs to
 * the cell x = s * cells + p * step + i. */
struct spi_slots {
    int cells, copies, step, n;
    ptrdiff_t copy, row, plane;
    float *data; /* 64-byte aligned */
};
/** For taps of width w in boxes of nx x ny cells a plane. */
void spi_slots_layout(int w, int nx, int ny, struct spi_slots *s);
/** Floats of nz planes. */
size_t spi_slots_floats(const struct spi_slots *s, int nz);

/** A copy of a small box of a grid, laid out for reading: the `lanes` cells that begin at
 * cell y = k * step stand side by side, so that a few whole vectors hold all that a point
 * touches in a plane.  Cell (x, k * step + i, z) is data[z * plane + k * row + x * lanes +
 * i], kept lanes / step times. */
struct spi_columns {
    int lanes, step; /* by w: spi_columns_layout */
    ptrdiff_t row, plane;
    float *data; /* 64-byte aligned */
};
/** Set lanes and step for windows of width w. */
void spi_columns_layout(int w, struct spi_columns *c);
/** Fill nz x nk x nx columns from a grid, of which (nk - 1) * step + lanes rows are read.
 */
void spi_columns_fill(const struct spi_columns *c, int nz, int nk, int nx,
                      const struct spi_rows_in *grid);

struct spi_interp_variant {
    const char *name;
    bool (*available)(void);
    void (*interp)(const struct spi_taps *taps, const struct spi_patch *patch,
                   const struct spi_rows_in *grid, float *out);
    /* cell: the centre's cell in the box; all taps must lie in it, and on x the next
     * multiple of four (w <= 4) or two cells */
    void (*interp_columns)(const struct spi_taps *taps, const struct spi_patch *patch,
                           const struct spi_columns *box, const int cell[3], float *out);
    void (*spread)(const struct spi_taps *taps, const struct spi_patch *patch,
                   const float (*val)[2], const struct spi_rows *grid);
    /* cell: the centre's cell in the box; all taps must lie in it */
    void (*spread_slots)(const struct spi_taps *taps, const struct spi_patch *patch,
                         const float (*val)[2], const struct spi_slots *box,
                         const int cell[3]);
};

/** Best first, ends with a NULL name. */
extern const struct spi_interp_variant spi_interp_variants[];
/** The first that this machine has. */
const struct spi_interp_variant *spi_interp_best(void);

/** box -> rows: grid[z][y][x] += box, for nz x ny rows and cells x0 <= x < x1 of the box,
 *  x0 >= 0; `at` is cell (0, 0, 0) of the box.  These rows are zero afterwards. */
void spi_slots_add(const struct spi_slots *box, int nz, int ny, int x0, int x1,
                   const struct spi_rows *grid);

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define SPI_X86_VARIANTS
#define SPI_INTERP_VARIANT(isa)                                                       \
    void spi_interp_##isa(const struct spi_taps *, const struct spi_patch *,          \
                          const struct spi_rows_in *, float *);                       \
    void spi_interp_columns_##isa(const struct spi_taps *, const struct spi_patch *,  \
                                  const struct spi_columns *, const int[3], float *); \
    void spi_spread_##isa(const struct spi_taps *, const struct spi_patch *,          \
                          const float(*)[2], const struct spi_rows *);                \
    void spi_spread_slots_##isa(const struct spi_taps *, const struct spi_patch *,    \
                                const float(*)[2], const struct spi_slots *,          \
                                const int[3]);
SPI_INTERP_VARIANT(avx2)
SPI_INTERP_VARIANT(avx512)
#endif

/** The formulas in double with the exact window.  mag[n] (may be NULL) takes the sums of
 *  absolute values. */
void spi_interp_ref(const struct spi_taps *taps, const struct spi_patch *patch,
                    const struct spi_rows_in *grid, double *out, double *mag);
/** grid as in spi_rows, but doubles. */
void spi_spread_ref(const struct spi_taps *taps, const struct spi_patch *patch,
                    const float (*val)[2], double *at, ptrdiff_t row, ptrdiff_t plane);

#endif
