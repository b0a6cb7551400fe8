/* SPDX-License-Identifier: GPL-3.0-or-later */
/* published.c, of likelihood/rows.h: the squared distance as it is (B1), by brute force. */
#include "likelihood/rows.h"

static double f(double T, double g, double v)
{
    (void)v;
    return g * T;
}

static double h(double T, double g, double v)
{
    (void)v;
    return g * T * T;
}

static double pair(double x, double table, double N, double K2)
{
    (void)N;
    return x - (table + K2) / 2;
}

static double fluence(double fit, double norm, double N)
{
    (void)fit;
    (void)norm;
    (void)N;
    return 1;
}

static double pixels(int64_t n, const float *g, const float *v, double S, float *T)
{
    double table = 0;

    (void)v;
    (void)S;
    for (int64_t p = 0; p < n; p++) {
        T[p] *= g[p];
        table += (double)(T[p] * T[p]);
    }
    return table;
}

const struct spi_likelihood spi_likelihood_published = {.name = "published",
                                                        .f = f,
                                                        .h = h,
                                                        .table = spi_squares_table,
                                                        .pair = pair,
                                                        .fluence = fluence,
                                                        .pixels = pixels};
