/* SPDX-License-Identifier: GPL-3.0-or-later */
/* score_ref.c, of match/score.h: the scores in double. */
#include <assert.h>
#include <complex.h>
#include <math.h>

#include "match/score.h"

static const double two_pi = 6.283185307179586477;

enum { SAMPLES_MAX = 8192, RINGS_MAX = 4096 };

/* Harmonics m <= m_max of the ring samples f[0..n), divided by n. */
static void harmonics(int n, int m_max, const double *f, double complex *h)
{
    for (int m = 0; m <= m_max; m++) {
        h[m] = 0;
        for (int j = 0; j < n; j++)
            h[m] += f[j] * cexp(CMPLX(0, -two_pi * m * j / n)) / n;
    }
}

/* Their value at angle phi: trigonometric interpolation with the harmonics |m| <= m_max. */
static double at_angle(int m_max, const double complex *h, double phi)
{
    double value = 0;

    for (int m = 0; m <= m_max; m++)
        value += (m ? 2 : 1) * creal(h[m] * cexp(CMPLX(0, m * phi)));
    return value;
}

/* sum_rj w_rj f(r, phi_j + angle), with f a function of T. */
static double ring_sum(const struct spi_rings *g, int R, const float *w,
                       double (*f)(double, double), const double *parameter, const float *T,
                       double angle)
{
    double sum = 0;

    for (int r = 0; r < R; r++) {
        double v[SAMPLES_MAX];
        double complex h[SAMPLES_MAX / 2];

        assert(g->n[r] <= SAMPLES_MAX);
        for (int j = 0; j < g->n[r]; j++)
            v[j] = f((double)T[g->at[r] + j], parameter[r]);
        harmonics(g->n[r], g->m_max[r], v, h);
        for (int j = 0; j < g->n[r]; j++)
            sum += (double)w[g->at[r] + j] *
                   at_angle(g->m_max[r], h, two_pi * j / g->n[r] + angle);
    }
    return sum;
}

static double logarithm(double T, double unused)
{
    (void)unused;
    return log(T);
}

static double itself(double T, double factor)
{
    return T * factor;
}

static double square(double T, double factor)
{
    return T * T * factor;
}

void spi_score_ref(const struct spi_rings *g, int R, int Na, enum spi_score_kind kind,
                   const float *T, const float *live, const float *inv_var,
                   const float *samples, double *LL)
{
    double factor[RINGS_MAX], count = 0;

    assert(R <= RINGS_MAX);
    for (int r = 0; r < R; r++)
        factor[r] = kind == SPI_SCORE_GAUSSIAN ? (double)inv_var[r] : 1;
    for (int i = 0; i < g->at[R]; i++)
        count += (double)samples[i];
    for (int a = 0; a < Na; a++) {
        double angle = two_pi * a / Na;

        if (kind == SPI_SCORE_POISSON) {
            LL[a] = ring_sum(g, R, samples, logarithm, factor, T, angle) -
                    count * log(ring_sum(g, R, live, itself, factor, T, angle));
        } else {
            double C = ring_sum(g, R, samples, itself, factor, T, angle);

            LL[a] =
                C > 0 ? C * C / (2 * ring_sum(g, R, live, square, factor, T, angle)) : 0;
        }
    }
}
