/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The literal twin of phase_step.c: operators as in the papers, sums as in the definition.
 * Never optimised. */
#include <math.h>
#include <stdlib.h>

#include "kernel/phase_step.h"

#define TWO_PI 6.28318530717958647692

/* exp(i angle) */
static double complex unit(double angle)
{
    return cos(angle) + (double complex)I * sin(angle);
}

/* out(k) = sum_j in(j) exp(sign 2 pi i k.j / n), all n^3 modes. */
static void dft(int n, int sign, const double complex *in, double complex *out)
{
    size_t k = 0;

    for (int kz = 0; kz < n; kz++)
        for (int ky = 0; ky < n; ky++)
            for (int kx = 0; kx < n; kx++, k++) {
                double complex sum = 0;
                size_t j = 0;

                for (int z = 0; z < n; z++)
                    for (int y = 0; y < n; y++)
                        for (int x = 0; x < n; x++, j++)
                            sum += in[j] *
                                   unit(sign * TWO_PI * (kz * z + ky * y + kx * x) / n);
                out[k] = sum;
            }
}

void spi_phase_modulus_ref(int n, const double *lo, const double *hi, const double *x,
                           double *p)
{
    size_t count = (size_t)n * (size_t)n * (size_t)n;
    double complex *a = malloc(count * sizeof *a), *F = malloc(count * sizeof *F);

    if (a && F) {
        for (size_t i = 0; i < count; i++)
            a[i] = x[i];
        dft(n, -1, a, F);
        for (size_t i = 0; i < count; i++)
            F[i] = fmin(fmax(cabs(F[i]), lo[i]), hi[i]) * unit(carg(F[i]));
        dft(n, +1, F, a);
    }
    for (size_t i = 0; i < count; i++)
        p[i] = a && F ? creal(a[i]) / (double)count : (double)NAN;
    free(F);
    free(a);
}

/* P_S, (P3). */
static double onto_support(double x, double support, int positive)
{
    return support > 0 && (!positive || x >= 0) ? x : 0;
}

void spi_phase_step_ref(char method, int n, const double *lo, const double *hi,
                        const double *support, int positive, double beta, const double *x,
                        double *next)
{
    size_t count = (size_t)n * (size_t)n * (size_t)n;

    spi_phase_modulus_ref(n, lo, hi, x, next);
    for (size_t i = 0; i < count; i++) {
        double PMx = next[i];

        if (method == 'E') {
            next[i] = onto_support(PMx, support[i], positive);
        } else if (method == 'H') {
            int meets = support[i] > 0 && (!positive || PMx >= 0);

            next[i] = meets ? PMx : x[i] - beta * PMx;
        } else {
            double RMx = 2 * PMx - x[i];
            double RSRMx = 2 * onto_support(RMx, support[i], positive) - RMx;

            next[i] = beta / 2 * (RSRMx + x[i]) + (1 - beta) * PMx;
        }
    }
}
