/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/phase_step.h"

#include <math.h>

#include "kernel/clones.h"

SPI_CLONES
void spi_phase_clamp(size_t count, float scale, const float *lo, const float *hi,
                     float complex *F)
{
    float *f = (float *)F;

#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        float re = f[2 * i], im = f[2 * i + 1];
        float m = sqrtf(re * re + im * im);
        float t = m < lo[i] ? lo[i] : m > hi[i] ? hi[i] : m;
        float some = m > 0 ? 1.0f : 0.0f;
        float ratio = scale * t / (m + (1 - some));

        f[2 * i] = ratio * (re + (1 - some)); /* F = 0: phase 0 */
        f[2 * i + 1] = ratio * im;
    }
}

SPI_CLONES
void spi_phase_er(size_t count, const float *support, int positive, const float *p,
                  float *x)
{
    float least = positive ? 0 : -INFINITY;

#pragma omp simd
    for (size_t i = 0; i < count; i++)
        x[i] = support[i] > 0 && p[i] >= least ? p[i] : 0;
}

SPI_CLONES
void spi_phase_hio(size_t count, const float *support, int positive, float beta,
                   const float *p, float *x)
{
    float least = positive ? 0 : -INFINITY;

#pragma omp simd
    for (size_t i = 0; i < count; i++)
        x[i] = support[i] > 0 && p[i] >= least ? p[i] : x[i] - beta * p[i];
}

SPI_CLONES
void spi_phase_raar(size_t count, const float *support, int positive, float beta,
                    const float *p, float *x)
{
    float least = positive ? 0 : -INFINITY, rest = 1 - 2 * beta;

#pragma omp simd
    for (size_t i = 0; i < count; i++)
        x[i] =
            support[i] > 0 && 2 * p[i] - x[i] >= least ? p[i] : beta * x[i] + rest * p[i];
}

SPI_CLONES
void spi_phase_misfit(size_t count, const float *measured, const float *amp,
                      const float complex *F, double sums[2])
{
    const float *f = (const float *)F;
    double misfit = 0, total = 0;

#pragma omp simd reduction(+ : misfit, total)
    for (size_t i = 0; i < count; i++) {
        float m = sqrtf(f[2 * i] * f[2 * i] + f[2 * i + 1] * f[2 * i + 1]);

        misfit += (double)(measured[i] * fabsf(m - amp[i]));
        total += (double)(measured[i] * amp[i]);
    }
    sums[0] += misfit;
    sums[1] += total;
}
