/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/kaiser.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/* I0 by its series: all terms positive, so the relative error is a few roundings. */
static long double bessel_i0(long double x)
{
    long double sum = 1, term = 1, q = x * x / 4;

    for (int k = 1; term > 1e-20L * sum; k++) {
        term *= q / ((long double)k * k);
        sum += term;
    }
    return sum;
}

static long double value(int w, long double beta, long double x)
{
    long double t = 2 * x / w, s = 1 - t * t;

    return s < 0 ? 0 : bessel_i0(beta * sqrtl(s)) / bessel_i0(beta);
}

double spi_kaiser_value(const struct spi_kaiser *win, double x)
{
    return (double)value(win->w, win->beta, x);
}

/* (U3) without its constant factors. */
static double shape(int w, double beta, double xi)
{
    double a = pi * w * xi, q = beta * beta - a * a, r = sqrt(fabs(q));

    return r < 1e-8 ? 1 : q > 0 ? sinh(r) / r : sin(r) / r;
}

double spi_kaiser_transform(int w, double beta, double xi)
{
    return w * shape(w, beta, xi) / (double)bessel_i0(beta);
}

/* Monomial coefficients of the polynomial through (z[i], y[i]), Newton's form expanded. */
static void interpolate(int n, const long double *z, long double *y, long double *coef)
{
    for (int j = 1; j < n; j++)
        for (int i = n - 1; i >= j; i--)
            y[i] = (y[i] - y[i - 1]) / (z[i] - z[i - j]);
    memset(coef, 0, (size_t)n * sizeof *coef);
    for (int i = n - 1; i >= 0; i--) {
        for (int p = n - 1; p > 0; p--)
            coef[p] = coef[p - 1] - z[i] * coef[p];
        coef[0] = y[i] - z[i] * coef[0];
    }
}

void spi_kaiser_init(struct spi_kaiser *win, int w, double beta)
{
    enum { MAX = SPI_KAISER_DEGREE_MAX + 1 };

    memset(win, 0, sizeof *win);
    win->w = w;
    win->degree = SPI_KAISER_DEGREE(w);
    win->beta = beta;

    int n = win->degree + 1;

    for (int a = 0; a < w; a++) {
        long double z[MAX], y[MAX], coef[MAX];

        for (int i = 0; i < n; i++) {
            z[i] = cosl((long double)pi * (i + 0.5L) / n);
            y[i] = value(w, win->beta, (z[i] + 1) / 2 + a - w / 2.0L);
        }
        interpolate(n, z, y, coef);
        for (int p = 0; p < n; p++)
            win->coef[p][a] = (double)coef[p];
    }
}

static double shape2(int w, double beta, double xi)
{
    double s = shape(w, beta, xi);

    return s * s;
}

/* Squared aliases of mode k, relative. */
static double aliases(int w, double beta, double k, int n)
{
    enum { ALIASES = 4 };
    double sum = 0;

    for (int p = 1; p <= ALIASES; p++)
        sum += shape2(w, beta, k / n + p) + shape2(w, beta, k / n - p);
    return sum / shape2(w, beta, k / n);
}

double spi_kaiser_error2(int w, double beta, int m, int n)
{
    enum { EDGE = 8, SAMPLES = 16 };
    double sum = 0;

    if (m <= 2 * (EDGE + SAMPLES)) {
        for (int i = 0; i < m; i++)
            sum += aliases(w, beta, i - m / 2, n);
        return sum / m;
    }
    /* the error is at the ends: their modes each, of the others k = K (1 - t^2), dense near
     * K */
    for (int i = 0; i < EDGE; i++)
        sum += aliases(w, beta, i - m / 2, n) + aliases(w, beta, m - 1 - i - m / 2, n);
    for (int i = 0; i < SAMPLES; i++) {
        double t = (i + 0.5) / SAMPLES, weight = 2 * t * (m - 2 * EDGE) / SAMPLES;

        sum += weight * aliases(w, beta, (0.5 * m - EDGE) * (1 - t * t), n);
    }
    return sum / m;
}

double spi_kaiser_estimate(int w, double sigma)
{
    double s = 1 - 1 / sigma;

    return 5.6 * s * exp(-pi * w * sqrt(s));
}
