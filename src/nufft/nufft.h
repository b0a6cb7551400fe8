/** \file
 * Nonuniform Fourier transforms of a real, even function.  Layer: nufft.
 *
 * The autocorrelation A(x) is real and even, so its transform W(q) is real and even:
 *
 *     type 2 (slice)   W(q_j) = sum_x A(x) cos(2 pi q_j.x)                doc/math.md (N1)
 *     type 1 (merge)   b(x)   = sum_j s_j cos(2 pi q_j.x)                 its transpose
 *
 * over a cube of n^3 modes, x = (i - n/2) dx on each axis (planes i = 0, the Nyquist
 * planes, are treated as zero).  Points are given in fine-grid units u = q * nf * dx, nf =
 * 2 n: see spi_nufft_scale.  |q| dx must stay below 1/2 on each axis.  Relative l2 error of
 * a transform:
 * <= tol for well-spread points (tests/nufft). */
#ifndef SPI_NUFFT_NUFFT_H
#define SPI_NUFFT_NUFFT_H

#include <stdint.h>

#include "kernel/window.h"
#include "math/volume.h"

typedef struct spi_nufft spi_nufft;

/** Plan for n^3 modes of spacing dx.  n even in 4..1024, tol in 1e-6..0.1.  A plan is
 *  read-only after this: any number of threads may share it. */
SPI_MUSTUSE spi_err spi_nufft_new(int n, double dx, double tol, spi_nufft **out);
void spi_nufft_free(spi_nufft *plan);

/** u = q * scale. */
double spi_nufft_scale(const spi_nufft *plan);
/** Side of a fine grid with its margins. */
int spi_nufft_side(const spi_nufft *plan);
int spi_nufft_modes(const spi_nufft *plan);
/** The window whose taps read a prepared grid. */
const struct spi_window *spi_nufft_window(const spi_nufft *plan);

/** A zeroed fine grid with `comp` (1 or 2) interleaved reals per point; release: free(). */
SPI_MUSTUSE spi_err spi_nufft_grid_new(const spi_nufft *plan, int comp, float **grid);

/** Type 2, first half: A (n^3, centred) -> fine grid of one component; afterwards
 *  spi_interp1 reads W at any points. */
SPI_MUSTUSE spi_err spi_nufft_prepare(const spi_nufft *plan, const float *A, float *grid);
/** Type 1, second half: component c of a two-component grid filled by spi_spread2 -> the
 * central m^3 modes, m <= n even.  The margins of the grid are folded in: call once per
 * component, after all spreading; the grid is not changed. */
SPI_MUSTUSE spi_err spi_nufft_collect(const spi_nufft *plan, const float *grid, int c,
                                      int m, float *modes);

/** out[j] = W at n points: prepared grid of one component.  Points are visited brick by
 *  brick (and at -u where that is nearer: W is even), so that the grid is read from cache.
 */
SPI_MUSTUSE spi_err spi_nufft_slice(const spi_nufft *plan, const float *grid, int64_t n,
                                    const float (*u)[3], float *out);
/** Add two values at each of n points to a two-component grid, brick by brick likewise. */
SPI_MUSTUSE spi_err spi_nufft_spread(const spi_nufft *plan, float *grid2, int64_t n,
                                     const float (*u)[3], const float (*val)[2]);

/** The sums themselves, in double: out[j]; modes[m^3]. */
void spi_nufft_slice_ref(int n, double dx, const float *A, int64_t points,
                         const double (*q)[3], double *out);
void spi_nufft_merge_ref(int m, double dx, int64_t points, const double (*q)[3],
                         const double *s, double *modes);

#endif
