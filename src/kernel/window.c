/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel/window.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

double spi_window_value(const struct spi_window *win, double x)
{
    double t = 2 * x / win->w, s = 1 - t * t;

    return s < 0 ? 0 : exp(win->beta * (sqrt(s) - 1));
}

double spi_window_transform(const struct spi_window *win, double k, int nf)
{
    /* x = (w/2) sin(a) makes the integrand smooth up to the ends: midpoint rule */
    enum { STEPS = 400 };
    double sum = 0, h = pi / STEPS, half = win->w / 2.0;

    for (int i = 0; i < STEPS; i++) {
        double a = -pi / 2 + (i + 0.5) * h, x = half * sin(a), c = cos(a);

        sum += exp(win->beta * (c - 1)) * cos(2 * pi * k * x / nf) * half * c;
    }
    return sum * h;
}

/* Monomial coefficients of the polynomial through (z[i], y[i]), Newton's form expanded. */
static void interpolate(int n, const double *z, double *y, double *coef)
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

void spi_window_init(struct spi_window *win, double tol)
{
    memset(win, 0, sizeof *win);
    win->w = tol >= 0.999e-3 ? 4 : tol >= 0.999e-5 ? 6 : 8;
    win->degree = win->w + 3;
    win->beta = 2.3 * win->w;

    int n = win->degree + 1;

    for (int c = 0; c < win->w; c++) {
        double z[SPI_WINDOW_DEGREE_MAX + 1], y[SPI_WINDOW_DEGREE_MAX + 1];
        double coef[SPI_WINDOW_DEGREE_MAX + 1];

        for (int i = 0; i < n; i++) {
            z[i] = cos(pi * (i + 0.5) / n);
            y[i] = spi_window_value(win, c - win->w / 2 + 1 - 0.5 * (z[i] + 1));
        }
        interpolate(n, z, y, coef);
        for (int p = 0; p < n; p++)
            win->coef[p][c] = (float)coef[p];
    }
}
