/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Two rows of reals as one of complex numbers, for transforms of cubes (math/fft3.c), and
 * lines of a transform as columns.  Layer: kernel.  n is even; complex numbers are pairs of
 * floats but in spi_transpose_lines. */
#ifndef SPI_KERNEL_TWO_REALS_H
#define SPI_KERNEL_TWO_REALS_H

#include <complex.h>
#include <stddef.h>

/** n rows of n reals -> n / 2 rows of n complex numbers: rows 2 p + i rows 2 p + 1. */
void spi_two_reals_pack(int n, const float *rows, float *pairs);
/** The reverse of spi_two_reals_pack. */
void spi_two_reals_unpack(int n, const float *pairs, float *rows);

/** Transforms Z [n / 2][n] of pairs -> those of the rows, R_k = (Z_k + conj Z_-k) / 2,
 *  S_k = (Z_k - conj Z_-k) / 2i, as columns: to[k][row], k = 0 ... n / 2. */
void spi_two_reals_untangle(int n, const float *Z, float *to);
/** The reverse, Z = R + i S; imaginary parts at k = 0 and n / 2 are taken as zero. */
void spi_two_reals_tangle(int n, const float *from, float *Z);

/** to[z * row + k] = from[k * line + z], z < n, k < h. */
void spi_transpose_lines(int n, int h, const float complex *from, size_t line,
                         float complex *to, size_t row);

#endif
