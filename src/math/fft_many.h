/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Complex transforms of many lines, in both precisions (FFTW).  Layer: math.
 *
 * As in math/fft.h: planned with FFTW_ESTIMATE (the same bits in every run), not scaled;
 * planning is locked, execution is not, and one plan may run in several threads at once.
 * Arrays must be 16-byte aligned. */
#ifndef SPI_MATH_FFT_MANY_H
#define SPI_MATH_FFT_MANY_H

#include <complex.h>

#include "base/error.h"

typedef struct spi_fft_many_f32 spi_fft_many_f32;
typedef struct spi_fft_many_f64 spi_fft_many_f64;

/** out[k] = sum_x in[x] exp(2 pi i sign k x / n): one contiguous line, out != in, which is
 * kept. */
SPI_MUSTUSE spi_err spi_fft_many_row_f32(int n, int sign, spi_fft_many_f32 **out);
/** As spi_fft_many_row_f32, in double precision. */
SPI_MUSTUSE spi_err spi_fft_many_row_f64(int n, int sign, spi_fft_many_f64 **out);
/** `columns` neighbouring columns of an array x[n][stride], in place. */
SPI_MUSTUSE spi_err spi_fft_many_columns_f32(int n, int columns, int stride, int sign,
                                             spi_fft_many_f32 **out);
/** As spi_fft_many_columns_f32, in double precision. */
SPI_MUSTUSE spi_err spi_fft_many_columns_f64(int n, int columns, int stride, int sign,
                                             spi_fft_many_f64 **out);

/** Transform; in place plans have in == out. */
void spi_fft_many_run_f32(const spi_fft_many_f32 *lines, float complex *in,
                          float complex *out);
/** As spi_fft_many_run_f32, in double precision. */
void spi_fft_many_run_f64(const spi_fft_many_f64 *lines, double complex *in,
                          double complex *out);

/** Release the object; NULL is allowed. */
void spi_fft_many_free_f32(spi_fft_many_f32 *lines);
/** Release the object; NULL is allowed. */
void spi_fft_many_free_f64(spi_fft_many_f64 *lines);

#endif
