/* SPDX-License-Identifier: GPL-3.0-or-later */
/* correlate_ref.c, of kernel/correlate.h: the literal sums in double. */
#include <math.h>

#include "kernel/angular.h"
#include "kernel/correlate.h"

static const double two_pi = 6.283185307179586477;

void spi_correlate_ref(const struct spi_band *b, const float *c, const float *L, double *re,
                       double *im, double *mag)
{
    for (int m = 0; m < b->M; m++) {
        re[m] = im[m] = mag[m] = 0;
        for (int r = b->first[m]; r < b->R; r++) {
            int at = spi_band_at(b, r, m);
            double cr = (double)c[at], ci = (double)c[at + SPI_LANES];
            double lr = (double)L[at], li = (double)L[at + SPI_LANES];

            re[m] += cr * lr + ci * li;
            im[m] += cr * li - ci * lr;
            mag[m] += (fabs(cr) + fabs(ci)) * (fabs(lr) + fabs(li));
        }
    }
}

void spi_angular_ref(int M, int Na, const float *re, const float *im, double *out,
                     double *mag)
{
    *mag = 0;
    for (int m = 0; m < M; m++)
        *mag += (m ? 2 : 1) * (fabs((double)re[m]) + fabs((double)im[m]));
    for (int a = 0; a < Na; a++) {
        out[a] = (double)re[0];
        for (int m = 1; m < M; m++) {
            double x = two_pi * (double)((long)m * a % Na) / Na;

            out[a] += 2 * ((double)re[m] * cos(x) - (double)im[m] * sin(x));
        }
    }
}
