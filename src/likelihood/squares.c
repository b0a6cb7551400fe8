/* SPDX-License-Identifier: GPL-3.0-or-later */
/* squares.c, of likelihood/rows.h: least squares at the best scale of each pair. */
#include <string.h>

#include "likelihood/rows.h"

double spi_squares_f(double T, double g, double v)
{
    (void)g;
    return T * v;
}

double spi_squares_h(double T, double g, double v)
{
    (void)g;
    return T * T * v;
}

double spi_squares_table(double norm)
{
    return norm;
}

double spi_squares_pair(double x, double table, double N, double K2)
{
    (void)N;
    (void)K2;
    return x > 0 && table > 0 ? x * x / (2 * table) : 0;
}

double spi_squares_fluence(double fit, double norm, double N)
{
    (void)N;
    return fit > 0 ? fit / norm : 0;
}

void spi_squares_ring_f(int n, const float *T, float v, float inv_unit, float *out)
{
    (void)inv_unit;
    for (int i = 0; i < n; i++)
        out[i] = T[i] * v;
}

void spi_squares_ring_h(int n, const float *T, float v, float *out)
{
    for (int i = 0; i < n; i++)
        out[i] = T[i] * T[i] * v;
}

void spi_squares_ring_table(int Na, const float *norm, float inv_unit, float *table)
{
    (void)inv_unit;
    if (table != norm)
        memcpy(table, norm, (size_t)Na * sizeof *table);
}

double spi_squares_pixels(int64_t n, const float *g, const float *v, double S, float *T)
{
    double table = 0;

    (void)S;
    for (int64_t p = 0; p < n; p++) {
        float m = (v ? v[p] : 1) * T[p];

        table += (double)(g[p] * T[p] * m);
        T[p] = m;
    }
    return table;
}

void spi_squares_slopes(double phi, double *k, double *c)
{
    *k = phi;
    *c = phi * phi;
}

void spi_squares_fluence_weights(int n, const double *M, const double *v, double *w)
{
    for (int i = 0; i < n; i++)
        w[i] = v[i] * M[i];
}

void spi_squares_precisions(int n, const double *expected, const double *v, double *out)
{
    (void)expected;
    for (int i = 0; i < n; i++)
        out[i] = v[i];
}
