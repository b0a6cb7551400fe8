/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * One-dimensional transforms of many lines, out of place.  Layer: math.
 *
 * Line l of `lines`, element i:  IN: in[i * row + l], OUT: out[i * row + l]; where not
 * said, [l * n + i].  in and out are 16-byte aligned and do not overlap; `in` is kept. */
#ifndef SPI_MATH_FFT_PLANS_H
#define SPI_MATH_FFT_PLANS_H

#include <complex.h>

#include "base/error.h"

enum spi_fft_layout {
    SPI_FFT_FWD,
    SPI_FFT_BWD,
    SPI_FFT_FWD_IN,
    SPI_FFT_BWD_IN,
    SPI_FFT_FWD_OUT
};
/** Transform `lines` lines of n.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_fft_lines(enum spi_fft_layout kind, int n, int lines, int row,
                                  float complex *in, float complex *out);

#endif
