/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Spreading to, and interpolation from, one brick of a fine grid.  Layer: kernel.
 *
 * A brick is a small complex grid, C order [z][y][x], rows of `row` complex numbers and
 * `rows` rows a plane.  A point has coordinates v in brick units; on each axis it touches
 * the w nodes i0 ... i0 + w - 1 with s = v - (w odd ? 1/2 : 0), i0 = floor(s) + 1, and node
 * i0 + a has the weight phi(i0 - s + a - w/2) of kernel/kaiser.h; in two dimensions
 * (depth 1) there is no z axis.
 *
 *     spread:  brick[node] += phi(x) phi(y) phi(z) c[index]          doc/math.md (U4)
 *     interp:  c[index] = sum over nodes phi(x) phi(y) phi(z) brick[node]        (U5)
 *
 * 0 <= v, and floor(v) + 1 + w <= the brick's length on each axis.  Rows are read and
 * written in whole vectors: SPI_NU_SLACK complex numbers behind the last row must exist.
 *
 * Error against _ref (exact window) on the same points: gamma_{w^2 + 2w + 2 degree} times
 * the sum of absolute values (every product of taps and a value passes that many roundings
 * at most), plus the polynomials' own error, below a tenth of (U6) a tap. */
#ifndef SPI_KERNEL_NUBRICK_H
#define SPI_KERNEL_NUBRICK_H

#include <complex.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/clones.h"
#include "kernel/kaiser.h"

enum {
    SPI_NU_W_MAX_F32 = 8, /* wider windows are below the rounding of float */
    SPI_NU_SLACK = 32,
    /* Coordinates in single precision are fixed-point: a float of this range would be wrong
     * by 2^-20, which is seen in the result. */
    SPI_NU_FRACTION = 26,
};

struct spi_nu_point_f32 {
    int32_t v[3]; /* units of 2^-SPI_NU_FRACTION */
    uint32_t index;
};

struct spi_nu_point_f64 {
    double v[3];
    uint32_t index;
};

/* The polynomials laid out for the kernels: x taps twice each (for the real and imaginary
 * parts), y and z taps side by side, each padded with zeros to a power of two. */
struct spi_nu_taps_f32 {
    _Alignas(64) float x[SPI_NU_W_MAX_F32 + 2][2 * SPI_NU_W_MAX_F32];
    _Alignas(64) float yz[SPI_NU_W_MAX_F32 + 2][2 * SPI_NU_W_MAX_F32];
};

struct spi_nu_taps_f64 {
    _Alignas(64) double x[SPI_KAISER_DEGREE_MAX + 1][2 * SPI_KAISER_W_MAX];
    _Alignas(64) double yz[SPI_KAISER_DEGREE_MAX + 1][2 * SPI_KAISER_W_MAX];
};

struct spi_nu_brick {
    int row, rows; /* complex numbers a row, rows a plane */
    int depth;     /* taps on z: w, or 1 in two dimensions */
};

typedef void spi_nu_spread_f32_fn(const struct spi_nu_taps_f32 *taps,
                                  const struct spi_nu_brick *shape, int64_t n,
                                  const struct spi_nu_point_f32 *points,
                                  const float complex *c, float complex *brick);
typedef void spi_nu_interp_f32_fn(const struct spi_nu_taps_f32 *taps,
                                  const struct spi_nu_brick *shape, int64_t n,
                                  const struct spi_nu_point_f32 *points,
                                  const float complex *brick, float complex *c);
typedef void spi_nu_spread_f64_fn(const struct spi_nu_taps_f64 *taps,
                                  const struct spi_nu_brick *shape, int64_t n,
                                  const struct spi_nu_point_f64 *points,
                                  const double complex *c, double complex *brick);
typedef void spi_nu_interp_f64_fn(const struct spi_nu_taps_f64 *taps,
                                  const struct spi_nu_brick *shape, int64_t n,
                                  const struct spi_nu_point_f64 *points,
                                  const double complex *brick, double complex *c);

/* One set a vector length, indexed by the window's width. */
struct spi_nu_kernels {
    const char *name;
    bool (*available)(void);
    spi_nu_spread_f32_fn *spread_f32[SPI_NU_W_MAX_F32 + 1];
    spi_nu_interp_f32_fn *interp_f32[SPI_NU_W_MAX_F32 + 1];
    spi_nu_spread_f64_fn *spread_f64[SPI_KAISER_W_MAX + 1];
    spi_nu_interp_f64_fn *interp_f64[SPI_KAISER_W_MAX + 1];
};

extern const struct spi_nu_kernels spi_nu_kernels_plain;
#ifdef SPI_KERNEL_X86
extern const struct spi_nu_kernels spi_nu_kernels_avx2, spi_nu_kernels_avx512;
#endif

/** All sets, the fastest first; ends with NULL. */
extern const struct spi_nu_kernels *const spi_nu_kernels[];
/** The first one that this machine can run. */
const struct spi_nu_kernels *spi_nu_kernels_best(void);

/** Write the coefficients of a window in the order that the kernels read. */
void spi_nu_taps_f32(const struct spi_kaiser *win, struct spi_nu_taps_f32 *taps);
/** As spi_nu_taps_f32, in double precision. */
void spi_nu_taps_f64(const struct spi_kaiser *win, struct spi_nu_taps_f64 *taps);

/** The formulas with the exact window, in double.  `mag` takes the sums of absolute values
 * (spread: of |c| at each node; interp: at each point); it may be NULL. */
void spi_nu_spread_ref(const struct spi_kaiser *win, const struct spi_nu_brick *shape,
                       int64_t n, const struct spi_nu_point_f64 *points,
                       const double complex *c, double complex *brick, double *mag);
/** Values c[n] at the points from a brick, with the exact window, in double. */
void spi_nu_interp_ref(const struct spi_kaiser *win, const struct spi_nu_brick *shape,
                       int64_t n, const struct spi_nu_point_f64 *points,
                       const double complex *brick, double complex *c, double *mag);

#endif
