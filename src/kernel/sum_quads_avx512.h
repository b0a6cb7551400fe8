/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Sums over the quads of a vector; included by the AVX-512 variants.  Layer: kernel. */
#ifndef SPI_KERNEL_SUM_QUADS_AVX512_H
#define SPI_KERNEL_SUM_QUADS_AVX512_H

#include <immintrin.h>

#include "kernel/clones.h"

/** Lane 4 k + i: the sum over the four quads of r[k], their lane i. */
SPI_INLINE __m512 sum_quads(const __m512 r[4])
{
    __m512 a = _mm512_shuffle_f32x4(r[0], r[1], 0x88),
           b = _mm512_shuffle_f32x4(r[0], r[1], 0xdd);
    __m512 c = _mm512_shuffle_f32x4(r[2], r[3], 0x88),
           d = _mm512_shuffle_f32x4(r[2], r[3], 0xdd);

    a = _mm512_add_ps(a, b); /* r0: 0+1, 2+3; r1: 0+1, 2+3 */
    c = _mm512_add_ps(c, d);
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, c, 0x88),
                         _mm512_shuffle_f32x4(a, c, 0xdd));
}

#endif
