/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Nonuniform Fourier transforms of a real, even function.  Layer: nufft.
 *
 * The autocorrelation A(x) is real and even, so its transform W(q) is real and even:
 *
 *     type 2 (slice)   W(q_j) = sum_x A(x) cos(2 pi q_j.x)                doc/math.md (N1)
 *     type 1 (merge)   b(x)   = sum_j s_j cos(2 pi q_j.x)                 its transpose
 *
 * over a cube of n^3 modes, x = (i - n/2) dx on each axis (planes i = 0, the Nyquist
 * planes, are treated as zero: n^3 modes of an odd grid M^3 are those of n = M + 1).
 *
 * The points are the pixels of one detector, rotated: q_kj = M_k q_j, M_k = detector ->
 * object.  They are given once; no array of rotated points ever exists.  Relative l2 error
 * of a transform: <= tol for well-spread points (tests/nufft). */
#ifndef SPI_NUFFT_NUFFT_H
#define SPI_NUFFT_NUFFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/refine.h"
#include "math/volume.h"

typedef struct spi_nufft spi_nufft;

/** Plan for n^3 modes of spacing dx.  n even in 4..1024, tol in 1e-6..0.1; one thread. */
SPI_MUSTUSE spi_err spi_nufft_new(int n, double dx, double tol, spi_nufft **out);
/** Release the object; NULL is allowed. */
void spi_nufft_free(spi_nufft *plan);
/** Transforms with this plan may use n threads (1: the calling thread only; base/parallel.h
 *  says how many they get).  Results do not depend on n.  Otherwise a plan is read-only: any number of threads may share it. */
void spi_nufft_set_threads(spi_nufft *plan, int n);

/** Fine-grid points per axis times dx: u = q * scale is q in fine-grid points. */
double spi_nufft_scale(const spi_nufft *plan);
/** Points of the fine grid per axis. */
int spi_nufft_fine(const spi_nufft *plan);
/** Width of the window in points of the fine grid. */
int spi_nufft_width(const spi_nufft *plan);
/** Distance of modes. */
double spi_nufft_spacing(const spi_nufft *plan);

/** Floats of a fine grid of `comp` (1 or 2) interleaved components.  Grids of one plan may
 *  be added float by float. */
size_t spi_nufft_grid_floats(const spi_nufft *plan, int comp);
/** A zeroed fine grid; release: free(). */
SPI_MUSTUSE spi_err spi_nufft_grid_new(const spi_nufft *plan, int comp, float **grid);

/** Type 2, first half: A (n^3, centred) -> fine grid of one component, which serves any
 *  number of spi_nufft_slice. */
SPI_MUSTUSE spi_err spi_nufft_prepare(const spi_nufft *plan, const float *A, float *grid);
/** Type 1, second half: component c of a two-component grid filled by spi_nufft_spread ->
 *  the central m^3 modes, m <= n even.  The grid is not changed. */
SPI_MUSTUSE spi_err spi_nufft_collect(const spi_nufft *plan, const float *grid, int c,
                                      int m, float *modes);
/** Both components, m0^3 and m1^3 modes, in one pass over the grid. */
SPI_MUSTUSE spi_err spi_nufft_collect_both(const spi_nufft *plan, const float *grid, int m0,
                                           float *modes0, int m1, float *modes1);

/** Points q of one detector, grouped into small patches.  Borrows the plan. */
typedef struct spi_points spi_points;

/** order[n]: the points patch by patch.  A list already in this order is sliced and spread
 *  faster: a patch's values are then neighbours in memory. */
SPI_MUSTUSE spi_err spi_points_order(int64_t n, const float (*q)[3], int32_t *order);
/** q[n] in the laboratory; n may be 0.  About 0.2 us a point. */
SPI_MUSTUSE spi_err spi_points_new(const spi_nufft *plan, int64_t n, const float (*q)[3],
                                   spi_points **out);
/** Release the object; NULL is allowed. */
void spi_points_free(spi_points *points);

/** out[k][j] = W(M_k q_j) for n_rot rotations, from a prepared grid.  SPI_EINVAL if a
 * rotated point lies beyond |q| dx = 1/2 on an axis, except for the few fine-grid points of
 * its patch. */
SPI_MUSTUSE spi_err spi_nufft_slice(const spi_points *points, const float *grid,
                                    int64_t n_rot, const double (*M)[9], float *out);
/** Add val[k][j] (two values) at M_k q_j to a two-component grid. */
SPI_MUSTUSE spi_err spi_nufft_spread(const spi_points *points, float *grid2, int64_t n_rot,
                                     const double (*M)[9], const float (*val)[2]);

/** out[0][j] = W at u_j, out[1 + c][j] = dW / du_c (Q1), from a prepared grid; u = scale q
 *  in fine-grid points, |u_c| <= half of the grid's points per axis (asserted).  n <=
 * SPI_POINTS. */
void spi_nufft_gradient(const spi_nufft *plan, const float *grid, int n,
                        const float u[3][SPI_POINTS], float out[4][SPI_POINTS]);

/** A prepared grid kept for images one by one.  If the window is narrow (w <= 4: tol of
 * about 1e-3 and more) it is kept again in half precision, doc/math.md (N10): read 1.6
 * times as fast, in 0.5 to 0.65 of the grid's memory, and tol becomes 1.013 tol at 1e-3.
 * Else, and on processors that do not convert halves, the grid itself is read.  Borrows the
 * plan, and the grid while spi_packed_reads_grid. */
typedef struct spi_packed spi_packed;

/** Prepare a model; grid: as spi_nufft_prepare makes it.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_packed_new(const spi_nufft *plan, const float *grid,
                                   spi_packed **out);
/** Release the object; NULL is allowed. */
void spi_packed_free(spi_packed *kept);
/** Whether the grid is read; else it may be freed. */
bool spi_packed_reads_grid(const spi_packed *kept);
/** spi_nufft_slice from a grid that is kept.  `points` of the same plan. */
SPI_MUSTUSE spi_err spi_packed_slice(const spi_points *points, const spi_packed *kept,
                                     int64_t n_rot, const double (*M)[9], float *out);
/** spi_nufft_gradient from a grid that is kept. */
void spi_packed_gradient(const spi_packed *kept, int n, const float u[3][SPI_POINTS],
                         float out[4][SPI_POINTS]);

/** The sums themselves, in double: out[j]. */
void spi_nufft_slice_ref(int n, double dx, const float *A, int64_t points,
                         const double (*q)[3], double *out);
/** The sums themselves, in double: modes[m^3]. */
void spi_nufft_merge_ref(int m, double dx, int64_t points, const double (*q)[3],
                         const double *s, double *modes);

#endif
