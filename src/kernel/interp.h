/** \file
 * Interpolation from, and spreading to, a real grid with margins.  Layer: kernel.
 *
 * Grid: side^3 points, C order [z][y][x], `comp` interleaved reals at each; grid point i of
 * an axis has the coordinate i - side/2.  Points: pos[j] = (x, y, z) in grid units; the
 * taps of a coordinate u are the grid points floor(u) - w/2 + 1 ... floor(u) + w/2, and
 * rows are read 8 wide: a point must satisfy |u| <= side/2 - SPI_GRID_MARGIN (asserted).
 *
 *     interp: out[j][c] = sum_i phi(i - u_j) grid[i][c]                  doc/math.md (N4)
 *     spread: grid[i][c] += phi(i - u_j) val[j][c]                       (N5), its
 * transpose
 *
 * Error of a float variant against _ref on the same taps: a sum of w^3 products of three
 * taps and a value, gamma_{w^3 + 8} times the sum of absolute values for any order of
 * summation; the taps themselves carry the polynomial's error, below 1/10 of the window's.
 */
#ifndef SPI_KERNEL_INTERP_H
#define SPI_KERNEL_INTERP_H

#include <stdint.h>

#include "kernel/window.h"

enum { SPI_GRID_MARGIN = SPI_W_MAX + 1 };

/** Taps of one coordinate (SPI_W_MAX floats, zero beyond w) and its first grid index. */
int spi_window_taps(const struct spi_window *win, int side, float u, float tap[SPI_W_MAX]);

void spi_interp1(const struct spi_window *win, int side, const float *grid, int64_t n,
                 const float (*pos)[3], float *out);
void spi_spread2(const struct spi_window *win, int side, float *grid, int64_t n,
                 const float (*pos)[3], const float (*val)[2]);

/** The formulas, in double, with the exact window; comp = 1 or 2.  `mag` (may be NULL)
 * takes the sum of absolute values. */
void spi_interp_ref(const struct spi_window *win, int side, int comp, const float *grid,
                    int64_t n, const float (*pos)[3], double *out, double *mag);
void spi_spread_ref(const struct spi_window *win, int side, int comp, double *grid,
                    int64_t n, const float (*pos)[3], const float *val);

#endif
