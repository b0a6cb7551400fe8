/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Rotating images on rings.  Layer: kernel.  doc/math.md (V1).
 *
 *     to_rm += phasor_m h_rm
 *
 * Ring r has the elements at[r] ... at[r + 1] - 1, at least as many as the ring before, m
 * counted from at[r]; all at[r] are multiples of 8. */
#ifndef SPI_KERNEL_ROTATE_H
#define SPI_KERNEL_ROTATE_H

#include <complex.h>

/** R rings; h and `to` begin at ring 0, phasor has as many elements as the last ring.  A
 *  term is two products and two sums: |error| <= gamma_3 |phasor_m| |h_rm|, and u of the
 *  sum. Fastest where all are 64-byte aligned. */
void spi_add_rotated(int R, const int *at, const float complex *phasor,
                     const float complex *h, float complex *to);
/** The literal twin, in double. */
void spi_add_rotated_ref(int R, const int *at, const float complex *phasor,
                         const float complex *h, double complex *to);

#endif
