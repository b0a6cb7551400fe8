/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/f16.h"

#include <math.h>

float spi_f16_scale(float largest)
{
    int e;

    if (!(largest > 0))
        return 1;
    (void)frexpf(largest, &e);
    return ldexpf(1, 15 - e < 120 ? 15 - e : 120); /* its inverse is a float, too */
}

SPI_CLONES float spi_largest(int64_t n, const float *x)
{
    float most = 0;

#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < n; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    return most;
}

SPI_CLONES static void pack(int64_t n, const float *restrict x, float scale,
                            uint16_t *restrict half)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        half[i] = spi_f16_of(x[i] * scale);
}

float spi_f16_pack(int64_t n, const float *x, uint16_t *half)
{
    float scale = spi_f16_scale(spi_largest(n, x));

    pack(n, x, scale, half);
    return scale;
}

SPI_CLONES static void unpack(int64_t n, const uint16_t *restrict half, float factor,
                              float *restrict x)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        x[i] = spi_f16_value(half[i]) * 0x1p112F * factor;
}

void spi_f16_unpack(int64_t n, const uint16_t *half, float scale, float *x)
{
    unpack(n, half, 1 / scale, x);
}
