/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Numbers in half precision (IEEE binary16).  Layer: kernel.  doc/math.md (R10).
 *
 * A half has a sign, 5 bits of exponent and 10 of mantissa.  Shifted by 13 bits it is the
 * float of 2^-112 times its value, subnormal numbers included.  Numbers are kept times a
 * power of two: each is wrong by at most 2^-11 of itself or (2^-25 + 2^-38) / scale. */
#ifndef SPI_KERNEL_F16_H
#define SPI_KERNEL_F16_H

#include <stdint.h>
#include <string.h>

#include "kernel/clones.h"

/** The nearest half, ties to even; |v| < 65504. */
SPI_INLINE uint16_t spi_f16_of(float v)
{
    uint32_t bits, sign;

    v *= 0x1p-112F;
    memcpy(&bits, &v, sizeof bits);
    sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    return (uint16_t)(sign | (bits + 0xfff + (bits >> 13 & 1)) >> 13);
}

/** 2^-112 times the value of a half. */
SPI_INLINE float spi_f16_value(uint16_t half)
{
    uint32_t bits = (half & 0x7fffU) << 13 | (half & 0x8000U) << 16;
    float v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

/** Largest of the absolute values. */
float spi_largest(int64_t n, const float *x);
/** The power of two that makes `largest` (>= 0) about 2^15; 1 for 0. */
float spi_f16_scale(float largest);
/** Floats times the scale that their largest has, which is returned, as halves. */
float spi_f16_pack(int64_t n, const float *x, uint16_t *half);
/** And back. */
void spi_f16_unpack(int64_t n, const uint16_t *half, float scale, float *x);

#endif
