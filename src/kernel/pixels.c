/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/pixels.h"

#include <float.h>

#include "kernel/clones.h"

SPI_CLONES bool spi_pixels_clean(int64_t n, const uint8_t *restrict bad,
                                 float *restrict image)
{
    int wrong = 0;

#pragma omp simd reduction(| : wrong)
    for (int64_t i = 0; i < n; i++) {
        float v = bad[i] ? 0 : image[i];

        image[i] = v;
        wrong |= !(v >= 0 && v <= FLT_MAX);
    }
    return !wrong;
}

SPI_CLONES double spi_pixels_sum(int64_t n, const uint8_t *restrict counted,
                                 const float *restrict image)
{
    enum { LANES = 16 }; /* independent sums, whatever the vectors */
    double lane[LANES] = {0}, sum = 0;
    int64_t p = 0;

    for (; p + LANES <= n; p += LANES) {
#pragma omp simd
        for (int i = 0; i < LANES; i++)
            lane[i] += counted[p + i] ? (double)image[p + i] : 0;
    }
    for (; p < n; p++)
        lane[0] += counted[p] ? (double)image[p] : 0;
    for (int i = 0; i < LANES; i++)
        sum += lane[i];
    return sum;
}

SPI_CLONES void spi_pixels_add(int64_t n, float scale, double sign, float *restrict image,
                               double *restrict sum)
{
#pragma omp simd
    for (int64_t p = 0; p < n; p++) {
        image[p] *= scale;
        sum[p] += sign * (double)image[p];
    }
}
