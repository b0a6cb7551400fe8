#include "kernel/angular.h"

#include <cblas.h>
#include <math.h>

#include "kernel/clones.h"

static const double two_pi = 6.283185307179586477;

void spi_angular_tables(int M, int Na, float *cos_table, float *sin_table)
{
    int h = Na / 2 + 1;

    for (int m = 0; m < M; m++)
        for (int a = 0; a < h; a++) {
            double x = two_pi * ((long)m * a % Na) / Na;

            cos_table[m * h + a] = (float)((m ? 2 : 1) * cos(x));
            sin_table[m * h + a] = (float)((m ? -2 : 0) * sin(x));
        }
}

SPI_CLONES static void unfold(int Na, int64_t n, const float *restrict E,
                              const float *restrict O, float *restrict out)
{
    int half = Na / 2;

    for (int64_t i = 0; i < n; i++) {
        const float *e = E + i * (half + 1), *o = O + i * (half + 1);
        float *f = out + i * Na;

        for (int a = 0; a <= half; a++)
            f[a] = e[a] + o[a];
        for (int a = 1; a < half; a++)
            f[Na - a] = e[a] - o[a];
    }
}

void spi_angular(int M, int Na, const float *cos_table, const float *sin_table, int64_t n,
                 const float *re, const float *im, float *E, float *O, float *out)
{
    int h = Na / 2 + 1, N = (int)n;

    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, N, h, M, 1, re, N, cos_table, h, 0,
                E, h);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, N, h, M, 1, im, N, sin_table, h, 0,
                O, h);
    unfold(Na, n, E, O, out);
}

void spi_angular_one(int M, int Na, const float *re, const float *im, float *out)
{
    for (int a = 0; a < Na; a++) {
        double step = two_pi * a / Na, c = 1, s = 0, cs = cos(step), sn = sin(step), f = 0;

        for (int m = 0; m < M; m++) {
            f += (m ? 2 : 1) * ((double)re[m] * c - (double)im[m] * s);

            double next = c * cs - s * sn;

            s = s * cs + c * sn;
            c = next;
        }
        out[a] = (float)f;
    }
}
