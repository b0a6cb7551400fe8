/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * From harmonics to in-plane angles.  Layer: kernel.  doc/math.md (R7), (R9).
 *
 *     f(a) = C_0 + 2 Re sum_{0 < m < M} C_m exp(2 pi i m a / Na),  a = 0 ... Na - 1
 *
 * Na = 2 H, H > M - 1, H = 2^i 3^j 5^k.  It is a real Fourier transform: a complex one of
 * length H, Z_k -> f(2n) + i f(2n + 1), after
 *     Z_k = X_k + conj X_{H-k} + i exp(2 pi i k / Na) (X_k - conj X_{H-k}),
 * where X_m = C_m for m < M, else 0.  Each of SPI_LANES lanes is a transform of its own. */
#ifndef SPI_KERNEL_ANGULAR_H
#define SPI_KERNEL_ANGULAR_H

#include "base/error.h"

enum { SPI_PASSES_MAX = 24 };

struct spi_angular {
    int M, Na, n_passes;
    int radix[SPI_PASSES_MAX]; /* of each pass: 4, 2, 3 or 5 */
    float *twiddle;            /* owned: H of the first step, then of each pass */
    double flops;              /* real additions and multiplications of one transform */
};

/** SPI_EINVAL: Na is not such a number. */
SPI_MUSTUSE spi_err spi_angular_init(struct spi_angular *t, int M, int Na);
/** Release what the struct owns. */
void spi_angular_clear(struct spi_angular *t);
/** The least such Na that is at least `least`. */
int spi_angular_count(int least);

/** The formula in double; mag: the sum of absolute values.  A transform in p passes:
 * |error| <= (p + 1) 9 u mag (doc/math.md (R9)). */
void spi_angular_ref(int M, int Na, const float *re, const float *im, double *out,
                     double *mag);

#endif
