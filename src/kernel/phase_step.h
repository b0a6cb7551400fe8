/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * One step of iterative phasing.  Layer: kernel.  doc/math.md (P2)-(P6).
 *
 * A step is: FFT of x, spi_phase_clamp, inverse FFT giving p = P_M x, then one of the
 * updates x <- f(x, p).  Arrays over modes hold the half spectrum [n][n][n/2+1], arrays
 * over voxels [n][n][n]; both are passed flat with their count. */
#ifndef SPI_KERNEL_PHASE_STEP_H
#define SPI_KERNEL_PHASE_STEP_H

#include <complex.h>
#include <stddef.h>

/** (P2) F <- scale * F clamp(|F|, lo, hi) / |F|; F = 0 becomes scale * lo.
 *  0 <= lo <= hi.  `scale` takes the 1/n^3 of the inverse transform along. */
void spi_phase_clamp(size_t count, float scale, const float *lo, const float *hi,
                     float complex *F);

/** (P4): x <- f(x, p).  `support` is 1 inside, 0 outside.  `positive` is 1 or 0. */
void spi_phase_er(size_t count, const float *support, int positive, const float *p,
                  float *x);
/** (P5), the same way. */
void spi_phase_hio(size_t count, const float *support, int positive, float beta,
                   const float *p, float *x);
/** (P6), the same way. */
void spi_phase_raar(size_t count, const float *support, int positive, float beta,
                    const float *p, float *x);

/** sums[0] += sum ||F| - amp|, sums[1] += sum amp over modes with measured = 1 (P8). */
void spi_phase_misfit(size_t count, const float *measured, const float *amp,
                      const float complex *F, double sums[2]);

/** The literal twin: one whole step by the operators of (P2)-(P6) and the defining sum of
 *  the Fourier transform, in double; O(n^6).  lo, hi [n][n][n] over all modes in FFT order.
 *  method: 'E' ER, 'H' HIO, 'R' RAAR (written with reflections, as in Luke 2005). */
void spi_phase_step_ref(char method, int n, const double *lo, const double *hi,
                        const double *support, int positive, double beta, const double *x,
                        double *next);
/** P_M alone, (P2), same arrays. */
void spi_phase_modulus_ref(int n, const double *lo, const double *hi, const double *x,
                           double *p);

#endif
