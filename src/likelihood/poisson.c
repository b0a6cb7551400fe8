/* SPDX-License-Identifier: GPL-3.0-or-later */
/* poisson.c, of likelihood/rows.h: photons; the fluence of each pair is profiled out. */
#include <math.h>

#include "likelihood/rows.h"

/* Expected counts of no angle are below this share of those of plain rings. */
static const float least_norm = 1e-6F;

static double f(double T, double g, double v)
{
    (void)g;
    (void)v;
    return log(T);
}

static double h(double T, double g, double v)
{
    (void)g;
    (void)v;
    return T;
}

static double table(double norm)
{
    return log(norm);
}

static double pair(double x, double t, double N, double K2)
{
    (void)K2;
    return x - N * t;
}

static double fluence(double fit, double norm, double N)
{
    (void)fit;
    return N / norm;
}

static void ring_f(int n, const float *T, float v, float inv_unit, float *out)
{
    (void)v;
    for (int i = 0; i < n; i++)
        out[i] = logf(T[i] * inv_unit);
}

static void ring_table(int Na, const float *norm, float inv_unit, float *out)
{
    for (int a = 0; a < Na; a++)
        out[a] = logf(fmaxf(norm[a] * inv_unit, least_norm));
}

static double pixels(int64_t n, const float *g, const float *v, double S, float *T)
{
    float inv = (float)(1 / S);

    (void)g;
    (void)v;
    for (int64_t p = 0; p < n; p++)
        T[p] = logf(T[p] * inv);
    return 0;
}

static void slopes(double phi, double *k, double *c)
{
    *k = 1;
    *c = phi;
}

static void fluence_weights(int n, const double *M, const double *v, double *w)
{
    (void)M;
    (void)v;
    for (int i = 0; i < n; i++)
        w[i] = 1;
}

static void precisions(int n, const double *expected, const double *v, double *out)
{
    (void)v;
    for (int i = 0; i < n; i++)
        out[i] = expected[i] > 0 ? 1 / expected[i] : 0;
}

const struct spi_likelihood spi_likelihood_poisson = {.name = "poisson",
                                                      .automatic = SPI_FOR_PHOTONS,
                                                      .rings = true,
                                                      .f = f,
                                                      .h = h,
                                                      .table = table,
                                                      .pair = pair,
                                                      .fluence = fluence,
                                                      .ring_f = ring_f,
                                                      .ring_table = ring_table,
                                                      .form = SPI_FORM_DIFFERENCE,
                                                      .positive = true,
                                                      .pixels = pixels,
                                                      .sums = spi_sums_counts,
                                                      .slopes = slopes,
                                                      .fluence_weights = fluence_weights,
                                                      .precisions = precisions};
