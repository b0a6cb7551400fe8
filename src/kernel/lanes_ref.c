/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lanes_ref.c, of kernel/lanes.h and kernel/angular.h: the formulas in double. */
#include <complex.h>
#include <math.h>

#include "kernel/lanes.h"

void spi_weights_ref(int Na, const double *LL, double beta, const float *S, double *w,
                     struct spi_weight_sums_ref *sums)
{
    double top = LL[0];

    for (int a = 0; a < Na; a++)
        top = fmax(top, LL[a]);
    *sums = (struct spi_weight_sums_ref){0};
    for (int a = 0; a < Na; a++) {
        w[a] = exp(beta * (LL[a] - top));
        sums->w += w[a];
        sums->wx += w[a] * (LL[a] - top);
        sums->wS += w[a] * (double)S[a * SPI_LANES];
    }
}

void spi_spectrum_ref(int M, int Na, const uint16_t *q, double scale, double complex *out)
{
    for (int m = 0; m < M; m++) {
        out[m] = 0;
        for (int a = 0; a < Na; a++)
            out[m] += scale * q[a * SPI_LANES] *
                      cexp(CMPLX(0, -6.283185307179586477 * ((long)m * a % Na) / Na));
    }
}

void spi_gather_ref(const struct spi_band *b, int n, const double complex *P,
                    const float *const *image, const float *phi, double complex *sum)
{
    long at = 0;

    for (int m = 0; m < b->M; m++, sum++) {
        for (int r = b->first[m]; r < b->R; r++, at += 2, sum++)
            for (int i = 0; i < n; i++)
                *sum += P[m * n + i] * CMPLX(image[i][at], image[i][at + 1]);
        for (int i = 0; i < n; i++)
            *sum += (double)phi[i] * P[m * n + i];
    }
}
