/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Dense symmetric systems in double: operators and reference solutions for the tests. */
#ifndef SPI_TESTS_SOLVE_DENSE_H
#define SPI_TESTS_SOLVE_DENSE_H

#include <math.h>

#include "base/rng.h"
#include "solve/cg.h"

enum { DENSE_MAX = 128 };

struct dense {
    int n;
    double a[DENSE_MAX][DENSE_MAX];
    int calls, stop_at; /* stop is set by product number stop_at (0: never) */
    int stop;
};

/* Rounded to float: |error| <= u |A x| with u = 2^-24, so c = 1 in (L7). */
static inline spi_err dense_apply(const void *self, const double *x, double *y)
{
    struct dense *d = *(struct dense *const *)self;

    for (int i = 0; i < d->n; i++) {
        double s = 0;

        for (int j = 0; j < d->n; j++)
            s += d->a[i][j] * (double)x[j];
        y[i] = (double)(float)s;
    }
    if (++d->calls == d->stop_at)
        d->stop = 1;
    return SPI_OK;
}

static inline struct spi_operator dense_operator(struct dense *const *d)
{
    return (struct spi_operator){(*d)->n, dense_apply, d, 0x1p-24};
}

/* A = H diag(eigen) H with H the product of two random reflections: the spectrum is known.
 */
static inline void dense_spectrum(struct dense *d, int n, const double *eigen,
                                  struct spi_rng *rng)
{
    d->n = n;
    d->calls = d->stop_at = d->stop = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            d->a[i][j] = i == j ? eigen[i] : 0;
    for (int turn = 0; turn < 2; turn++) {
        double v[DENSE_MAX], av[DENSE_MAX] = {0}, vv = 0, vav = 0;

        for (int i = 0; i < n; i++) {
            v[i] = spi_rng_normal(rng);
            vv += v[i] * v[i];
        }
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                av[i] += d->a[i][j] * v[j];
        for (int i = 0; i < n; i++)
            vav += v[i] * av[i];
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                d->a[i][j] += (-2 * v[i] * av[j] - 2 * av[i] * v[j]) / vv +
                              4 * vav * v[i] * v[j] / (vv * vv);
    }
}

/* x = (A + shift)^-1 b by Cholesky; A + shift must be positive. */
static inline void dense_solve(const struct dense *d, double shift, const double *b,
                               double *x)
{
    static double l[DENSE_MAX][DENSE_MAX];
    int n = d->n;

    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double s = d->a[i][j] + (i == j ? shift : 0);

            for (int k = 0; k < j; k++)
                s -= l[i][k] * l[j][k];
            l[i][j] = i == j ? sqrt(s) : s / l[j][j];
        }
    for (int i = 0; i < n; i++) {
        x[i] = b[i];
        for (int k = 0; k < i; k++)
            x[i] -= l[i][k] * x[k];
        x[i] /= l[i][i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++)
            x[i] -= l[k][i] * x[k];
        x[i] /= l[i][i];
    }
}

/* r = b - (A + shift) x in double. */
static inline void dense_residual(const struct dense *d, double shift, const double *b,
                                  const double *x, double *r)
{
    for (int i = 0; i < d->n; i++) {
        r[i] = (double)b[i] - shift * (double)x[i];
        for (int j = 0; j < d->n; j++)
            r[i] -= d->a[i][j] * (double)x[j];
    }
}

static inline double norm_d(int n, const double *x)
{
    double s = 0;

    for (int i = 0; i < n; i++)
        s += x[i] * x[i];
    return sqrt(s);
}

#endif
