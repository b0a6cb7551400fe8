/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Cubes and rows by FFTW (with math/fft_many.h its only user).  Layer: math.
 *
 * Single precision, 3-D cubes and batches of 1-D rows.  Plans are made with
 * FFTW_ESTIMATE (so that two runs use the same algorithm and give the same bits),
 * kept in a cache for the life of the process, and shared by all threads: creating
 * is locked, executing is not.  Arrays must be 64-byte aligned (spi_alloc).
 * No transform is scaled. */
#ifndef SPI_MATH_FFT_H
#define SPI_MATH_FFT_H

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/** half[n][n][n/2+1] = sum_x real[n][n][n] exp(-2 pi i k.x / n), n even.  `real` is kept.
 */
SPI_MUSTUSE spi_err spi_fft3_r2c(int n, float *real, float complex *half);
/** real[n][n][n] = sum_k half exp(+2 pi i k.x / n), n even.  `half` is destroyed. */
SPI_MUSTUSE spi_err spi_fft3_c2r(int n, float complex *half, float *real);
/** The first pass of spi_fft3_r2c, for callers that do something between the passes or
 *  share them among threads: a plane [y][x] of reals -> its half spectrum.  scratch:
 *  spi_fft3_scratch_bytes, 64-byte aligned. */
SPI_MUSTUSE spi_err spi_fft3_plane_r2c(int n, const float *real, float complex *half,
                                       void *scratch);
/** The last pass of spi_fft3_c2r: the reverse. */
SPI_MUSTUSE spi_err spi_fft3_plane_c2r(int n, float complex *half, float *real,
                                       void *scratch);
/** The other pass of both: along z, for all x of one y. */
SPI_MUSTUSE spi_err spi_fft3_across(int n, bool forward, int y, float complex *half,
                                    void *scratch);
/** Bytes of the scratch memory of one pass. */
size_t spi_fft3_scratch_bytes(int n);
/** In place, sign -1 (forward) or +1. */
SPI_MUSTUSE spi_err spi_fft3_c2c(int n, int sign, float complex *x);
/** `rows` rows of n reals -> rows of n/2+1 complex (contiguous).  `real` is kept. */
SPI_MUSTUSE spi_err spi_fft1_r2c(int n, int rows, float *real, float complex *half);
/** The reverse; `half` is destroyed. */
SPI_MUSTUSE spi_err spi_fft1_c2r(int n, int rows, float complex *half, float *real);
/** The same two along the first axis of [n][columns] arrays. */
SPI_MUSTUSE spi_err spi_fft1_columns_r2c(int n, int columns, float *real,
                                         float complex *half);
/** The reverse of spi_fft1_columns_r2c; `half` is destroyed. */
SPI_MUSTUSE spi_err spi_fft1_columns_c2r(int n, int columns, float complex *half,
                                         float *real);
/** In place 2-D complex transform of n x n, sign -1 or +1. */
SPI_MUSTUSE spi_err spi_fft2_c2c(int n, int sign, float complex *x);

/** Smallest even n >= least with no prime factor above 7. */
int spi_fft_good_size(int least);

/** Held while FFTW plans are made or destroyed anywhere in the process (math/fft_many.c).
 */
void spi_fft_lock(void);
/** The end of what spi_fft_lock began. */
void spi_fft_unlock(void);

/** Release all plans (the end of the program; no transform may be running). */
void spi_fft_cleanup(void);

#endif
