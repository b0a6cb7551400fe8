/* SPDX-License-Identifier: GPL-3.0-or-later */
/* score_ref.c, of match/score.h: the scores in double. */
#include <assert.h>
#include <complex.h>
#include <math.h>

#include "match/score.h"

static const double two_pi = 6.283185307179586477;

enum { SAMPLES_MAX = 8192 };

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

/* sum_rj w_rj f(T(r, phi_j + angle)). */
static double ring_sum(const struct spi_rings *g, int R, const float *w,
                       double (*f)(double T, double g, double v), const float *inv_var,
                       const float *T, double angle)
{
    double sum = 0;

    for (int r = 0; r < R; r++) {
        double v[SAMPLES_MAX];
        double complex h[SAMPLES_MAX / 2];

        assert(g->n[r] <= SAMPLES_MAX);
        for (int j = 0; j < g->n[r]; j++)
            v[j] = f((double)T[g->at[r] + j], 1, inv_var ? (double)inv_var[r] : 1);
        harmonics(g->n[r], g->m_max[r], v, h);
        for (int j = 0; j < g->n[r]; j++)
            sum += (double)w[g->at[r] + j] *
                   at_angle(g->m_max[r], h, two_pi * j / g->n[r] + angle);
    }
    return sum;
}

void spi_score_ref(const struct spi_rings *g, int R, int Na,
                   const struct spi_likelihood *like, const float *T, const float *live,
                   const float *inv_var, const float *samples, double *LL)
{
    double N = 0, K2 = 0;

    for (int i = 0; i < g->at[R]; i++) {
        N += (double)samples[i];
        K2 += (double)samples[i] * (double)samples[i];
    }
    for (int a = 0; a < Na; a++) {
        double angle = two_pi * a / Na;

        LL[a] = like->pair(ring_sum(g, R, samples, like->f, inv_var, T, angle),
                           like->table(ring_sum(g, R, live, like->h, inv_var, T, angle)), N,
                           K2);
    }
}
