/* SPDX-License-Identifier: GPL-3.0-or-later */
/* nufft_ref.c, of nufft/nufft.h: the direct sums in double. */
#include <math.h>

#include "nufft/nufft.h"

static const double two_pi = 6.283185307179586477;

void spi_nufft_slice_ref(int n, double dx, const float *A, int64_t points,
                         const double (*q)[3], double *out)
{
    for (int64_t p = 0; p < points; p++) {
        double sum = 0;

        for (int k = 1; k < n; k++)
            for (int j = 1; j < n; j++)
                for (int i = 1; i < n; i++) {
                    double phase = q[p][2] * (k - n / 2) + q[p][1] * (j - n / 2) +
                                   q[p][0] * (i - n / 2);
                    sum += (double)A[(k * n + j) * n + i] * cos(two_pi * dx * phase);
                }
        out[p] = sum;
    }
}

void spi_nufft_merge_ref(int m, double dx, int64_t points, const double (*q)[3],
                         const double *s, double *modes)
{
    for (int k = 0; k < m; k++)
        for (int j = 0; j < m; j++)
            for (int i = 0; i < m; i++) {
                double sum = 0;

                for (int64_t p = 0; p < points && k && j && i; p++) {
                    double phase = q[p][2] * (k - m / 2) + q[p][1] * (j - m / 2) +
                                   q[p][0] * (i - m / 2);
                    sum += s[p] * cos(two_pi * dx * phase);
                }
                modes[(k * m + j) * m + i] = sum;
            }
}
