/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ring/nodes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/clones.h"
#include "math/fft.h"
#include "math/rot.h"

enum { T = SPI_NODE_TAPS };
static const double oversampling = 2;
static const double beyond = 1.03; /* the last ring over q_max: within the grid (V5) */
static const double ridge = 1e-13; /* keeps the taps small; far below their error */

/* (V15): transform of the weight (1 - |x| / band)^+, u in samples. */
static double kernel(double u)
{
    double x = SPI_PI * u / (2 * oversampling);

    return fabs(x) < 1e-8 ? 1 : sin(x) * sin(x) / (x * x);
}

/* Cholesky factor of kernel(s - t), the same for all pixels. */
static void factorise(double L[T][T])
{
    for (int s = 0; s < T; s++)
        for (int t = 0; t <= s; t++) {
            double sum = kernel(s - t) + (s == t ? ridge : 0);

            for (int k = 0; k < t; k++)
                sum -= L[s][k] * L[t][k];
            L[s][t] = s == t ? sqrt(sum) : sum / L[t][t];
        }
}

/* Taps of the samples 0 ... T - 1 for a point at u. */
static void taps(const double L[T][T], double u, double w[T])
{
    for (int s = 0; s < T; s++) {
        w[s] = kernel(u - s);
        for (int k = 0; k < s; k++)
            w[s] -= L[s][k] * w[k];
        w[s] /= L[s][s];
    }
    for (int s = T - 1; s >= 0; s--) {
        for (int k = s + 1; k < T; k++)
            w[s] -= L[k][s] * w[k];
        w[s] /= L[s][s];
    }
}

static double length(const float q[3])
{
    return sqrt((double)q[0] * (double)q[0] + (double)q[1] * (double)q[1] +
                (double)q[2] * (double)q[2]);
}

static spi_err make_rings(struct spi_rings *g, const struct spi_pixel_list *l, double band)
{
    double lowest = l->q_max, step, q_max = beyond * l->q_max;
    double wavelength = g->wavelength_A;
    spi_err err;

    for (int64_t p = 0; p < l->n; p++)
        lowest = fmin(lowest, length(l->q[p]));
    /* an arc of the Ewald sphere is longer than its difference in |q| */
    step = sqrt(fmax(0.5, 1 - pow(wavelength * q_max / 2, 2))) / (2 * band * oversampling);
    step = fmin(step, q_max / T);
    lowest = fmin(fmax(step / 2, lowest - (T / 2 - 1) * step), q_max - T * step);
    SPI_TRY(err = spi_rings_init(g, band, wavelength, fmax(lowest, step / 2), q_max,
                                 1 / (2 * band * step)),
            out);
    for (int r = 0; r < g->R; r++) {
        g->m_max[r] = (int)ceil(2 * SPI_PI * g->qp[r] * band + 4);
        g->n[r] = spi_fft_good_size((int)ceil(2 * oversampling * g->m_max[r]));
        g->at[r + 1] = g->at[r] + g->n[r];
        g->h_at[r + 1] = g->h_at[r] + spi_ring_padded(g->m_max[r] + 1);
    }
out:
    return err;
}

static void locate(struct spi_ring_nodes *t, const struct spi_pixel_list *l,
                   const double L[T][T])
{
    const struct spi_rings *g = &t->rings;
    double radial[T], around[T];

    for (int64_t p = 0; p < t->n; p++) {
        double rho = (length(l->q[p]) - g->q[0]) / g->dq;
        double turn = atan2((double)l->q[p][1], (double)l->q[p][0]) / (2 * SPI_PI);
        int r0 = (int)floor(rho) - (T / 2 - 1);

        r0 = r0 < 0 ? 0 : r0 > g->R - T ? g->R - T : r0;
        taps(L, rho - r0, radial);
        for (int a = 0; a < T; a++) {
            int n = g->n[r0 + a];
            double u = (turn < 0 ? turn + 1 : turn) * n;
            int j = (int)floor(u) - (T / 2 - 1);

            taps(L, u - j, around);
            t->first[p][a] = g->at[r0 + a] + T * (r0 + a) + (j < 0 ? j + n : j) % n;
            for (int b = 0; b < T; b++)
                t->weight[p][a][b] = (float)(radial[a] * around[b]);
        }
    }
}

spi_err spi_ring_nodes_init(struct spi_ring_nodes *t, const struct spi_pixel_list *l,
                            double wavelength_A, double band_A)
{
    double L[T][T];
    spi_err err;

    *t = (struct spi_ring_nodes){.rings.wavelength_A = wavelength_A, .n = l->n};
    SPI_TRY(err = make_rings(&t->rings, l, band_A), fail);
    SPI_TRY(err = SPI_NEW(t->first, t->n, "rings"), fail);
    SPI_TRY(err = SPI_NEW(t->weight, t->n, "rings"), fail);
    factorise(L);
    locate(t, l, (const double(*)[T])L);
    return SPI_OK;
fail:
    spi_ring_nodes_clear(t);
    return err;
}

void spi_ring_nodes_clear(struct spi_ring_nodes *t)
{
    spi_rings_clear(&t->rings);
    free(t->first);
    free(t->weight);
    *t = (struct spi_ring_nodes){0};
}

SPI_CLONES static void add(int64_t n, const float (*value)[2], int c,
                           const int32_t (*first)[T], const float (*weight)[T][T],
                           float *restrict row)
{
    for (int64_t p = 0; p < n; p++) {
        float s = value[p][c];

        if (s == 0)
            continue;
        for (int a = 0; a < T; a++) {
            float *to = row + first[p][a];
            const float *w = weight[p][a];

#pragma omp simd
            for (int b = 0; b < T; b++)
                to[b] += s * w[b];
        }
    }
}

spi_err spi_ring_nodes_sum(const struct spi_ring_nodes *t, const float (*value)[2],
                           int component, float complex *h)
{
    const struct spi_rings *g = &t->rings;
    float *row = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(row, g->at[g->R] + T * g->R, "rings"), out);
    add(t->n, value, component, (const int32_t(*)[T])t->first,
        (const float(*)[T][T])t->weight, row);
    for (int r = 0; r < g->R; r++) { /* the padding is the ring's beginning */
        float *from = row + g->at[r] + T * r;

        for (int b = 0; b < T; b++)
            from[b] += from[g->n[r] + b];
        memmove(row + g->at[r], from, (size_t)g->n[r] * sizeof *row);
    }
    err = spi_ring_analyse(g, g->R, row, h);
out:
    free(row);
    return err;
}
