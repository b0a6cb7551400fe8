/* SPDX-License-Identifier: GPL-3.0-or-later */
/* f16_test.h - what the 16 bits of a half mean, to the letter. */
#ifndef SPI_TESTS_F16_TEST_H
#define SPI_TESTS_F16_TEST_H

#include <math.h>
#include <stdint.h>

/* IEEE 754, binary16. */
static inline double value_of(uint16_t half)
{
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double v = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);

    return half & 0x8000 ? -v : v;
}

#endif
