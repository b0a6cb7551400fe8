/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ring/ring.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/angular.h"
#include "kernel/rotate.h"
#include "math/fft.h"
#include "math/rot.h"
#include "math/sphere.h"

enum { RINGS_MAX = 4096 };

static spi_err allocate(struct spi_rings *g)
{
    spi_err err;

    SPI_TRY(err = SPI_NEW(g->q, g->R, "rings"), out);
    SPI_TRY(err = SPI_NEW(g->qp, g->R, "rings"), out);
    SPI_TRY(err = SPI_NEW(g->qz, g->R, "rings"), out);
    SPI_TRY(err = SPI_NEW(g->n, g->R, "rings"), out);
    SPI_TRY(err = SPI_NEW(g->m_max, g->R, "rings"), out);
    SPI_TRY(err = SPI_NEW(g->at, g->R + 1, "rings"), out);
    SPI_TRY(err = SPI_NEW(g->h_at, g->R + 1, "rings"), out);
out:
    return err;
}

double spi_rings_count(double diameter_A, double q_min, double q_max, double oversampling)
{
    return ceil((q_max - q_min) * 2 * diameter_A * oversampling - 1e-9) + 1;
}

spi_err spi_rings_init(struct spi_rings *g, double diameter_A, double wavelength_A,
                       double q_min, double q_max, double oversampling)
{
    spi_err err;
    double count = spi_rings_count(diameter_A, q_min, q_max, oversampling),
           dq = (q_max - q_min) / (count - 1);

    *g = (struct spi_rings){
        .diameter_A = diameter_A, .wavelength_A = wavelength_A, .dq = dq};
    if (!(count >= SPI_RINGS_LEAST && count <= RINGS_MAX))
        return spi_fail(
            SPI_EINVAL,
            "rings: %g rings of diameter %g A between |q| = %g and %g 1/A; need "
            "4..%d",
            count, diameter_A, q_min, q_max, RINGS_MAX);
    g->R = (int)count;
    SPI_TRY(err = allocate(g), fail);
    for (int r = 0; r < g->R; r++) {
        double q = q_min + r * dq, qz = -wavelength_A * q * q / 2;

        if (!(fabs(qz) <=
              0.7 * q)) { /* qp, and so m_max, must grow with q: theta < 45 degrees */
            err = spi_fail(SPI_EINVAL,
                           "rings: |q| = %g 1/A at %g A is scattered by more than 89 "
                           "degrees; need less",
                           q, wavelength_A);
            goto fail;
        }
        g->q[r] = q;
        g->qz[r] = qz;
        g->qp[r] = sqrt(q * q - qz * qz);

        double need = 2 * SPI_PI * g->qp[r] * diameter_A + 2;

        g->n[r] = spi_fft_good_size((int)ceil(2.5 * need));
        g->m_max[r] = (int)ceil(need);
        if (g->m_max[r] > g->n[r] / 2 - 1)
            g->m_max[r] = g->n[r] / 2 - 1;
        g->at[r + 1] = g->at[r] + g->n[r];
        g->h_at[r + 1] = g->h_at[r] + spi_ring_padded(g->m_max[r] + 1);
    }
    return SPI_OK;
fail:
    spi_rings_clear(g);
    return err;
}

void spi_rings_clear(struct spi_rings *g)
{
    free(g->q);
    free(g->qp);
    free(g->qz);
    free(g->n);
    free(g->m_max);
    free(g->at);
    free(g->h_at);
    *g = (struct spi_rings){0};
}

int spi_rings_upto(const struct spi_rings *g, double q)
{
    int R = 1;

    while (R < g->R && g->q[R] <= q * (1 + 1e-9))
        R++;
    return R;
}

/* Keys's cubic convolution taps at fraction f for the samples -1, 0, 1, 2. */
static void keys(double f, double w[4])
{
    double f2 = f * f, f3 = f2 * f;

    w[0] = -0.5 * f3 + f2 - 0.5 * f;
    w[1] = 1.5 * f3 - 2.5 * f2 + 1;
    w[2] = -1.5 * f3 + 2 * f2 + 0.5 * f;
    w[3] = 0.5 * f3 - 0.5 * f2;
}

/* 16 taps of a point (|q| = q, angle); taps beyond the ends fall on the end rings. */
static void taps_of(const struct spi_rings *g, double q, double angle, int32_t *sample,
                    float *weight)
{
    double rho = (q - g->q[0]) / g->dq, fl = floor(rho), wr[4], wa[4];

    keys(rho - fl, wr);
    for (int a = 0; a < 4; a++) {
        int r = (int)fl - 1 + a;

        r = r < 0 ? 0 : r >= g->R ? g->R - 1 : r;

        double u = angle / (2 * SPI_PI) * g->n[r], fu = floor(u);

        keys(u - fu, wa);
        for (int b = 0; b < 4; b++) {
            int j = ((int)fu - 1 + b) % g->n[r];

            sample[4 * a + b] = g->at[r] + (j < 0 ? j + g->n[r] : j);
            weight[4 * a + b] = (float)(wr[a] * wa[b]);
        }
    }
}

spi_err spi_ring_map_init(struct spi_ring_map *map, const struct spi_rings *g,
                          const struct spi_detector *det)
{
    spi_err err;
    double lo = g->q[0], hi = g->q[g->R - 1];

    *map = (struct spi_ring_map){0};
    SPI_TRY(err = SPI_NEW(map->pixel, det->n_pixels, "ring map"), fail);
    SPI_TRY(err = SPI_NEW(map->sample, det->n_pixels * 16, "ring map"), fail);
    SPI_TRY(err = SPI_NEW(map->weight, det->n_pixels * 16, "ring map"), fail);
    SPI_TRY(err = SPI_NEW(map->live, g->at[g->R], "ring map"), fail);
    SPI_TRY(err = SPI_NEW(map->live_h, g->h_at[g->R], "ring map"), fail);
    for (int64_t p = 0; p < det->n_pixels; p++) {
        const double *v = det->q + 3 * p;
        double q = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
        int64_t u = map->n_used;

        if (det->bad[p] || q < lo || q > hi)
            continue;

        double angle = atan2(v[1], v[0]);

        map->pixel[u] = (int32_t)p;
        taps_of(g, q, angle < 0 ? angle + 2 * SPI_PI : angle, map->sample + 16 * u,
                map->weight + 16 * u);
        for (int t = 0; t < 16; t++)
            map->live[map->sample[16 * u + t]] +=
                map->weight[16 * u + t] * det->geometry[p];
        map->n_live += (double)det->geometry[p];
        map->n_used++;
    }
    if (map->n_used == 0) {
        err = spi_fail(SPI_EINVAL, "no usable pixel lies between |q| = %g and %g 1/A", lo,
                       hi);
        goto fail;
    }
    SPI_TRY(err = spi_ring_analyse(g, g->R, map->live, map->live_h), fail);
    return SPI_OK;
fail:
    spi_ring_map_clear(map);
    return err;
}

void spi_ring_map_clear(struct spi_ring_map *map)
{
    free(map->pixel);
    free(map->sample);
    free(map->weight);
    free(map->live);
    free(map->live_h);
    *map = (struct spi_ring_map){0};
}

void spi_ring_resample(const struct spi_ring_map *map, const struct spi_rings *g,
                       const float *image, float *samples)
{
    memset(samples, 0, (size_t)g->at[g->R] * sizeof *samples);
    for (int64_t u = 0; u < map->n_used; u++) {
        float k = image[map->pixel[u]];
        const int32_t *s = map->sample + 16 * u;
        const float *w = map->weight + 16 * u;

        if (k == 0)
            continue;
        for (int t = 0; t < 16; t++)
            samples[s[t]] += w[t] * k;
    }
}

spi_err spi_ring_analyse(const struct spi_rings *g, int R, float *samples, float complex *h)
{
    /* FFTW wants aligned rows: one ring at a time through a buffer */
    spi_err err;
    float *row = NULL;
    float complex *half = NULL;

    SPI_TRY(err = SPI_NEW(row, g->n[R - 1], "ring"), out);
    SPI_TRY(err = SPI_NEW(half, g->n[R - 1] / 2 + 1, "ring"), out);
    for (int r = 0; r < R; r++) {
        memcpy(row, samples + g->at[r], (size_t)g->n[r] * sizeof *row);
        SPI_TRY(err = spi_fft1_r2c(g->n[r], 1, row, half), out);
        memset(h + g->h_at[r], 0, (size_t)(g->h_at[r + 1] - g->h_at[r]) * sizeof *h);
        memcpy(h + g->h_at[r], half, (size_t)(g->m_max[r] + 1) * sizeof *h);
    }
out:
    free(row);
    free(half);
    return err;
}

float spi_ring_counts(const struct spi_rings *g, int R, const float complex *h)
{
    double sum = 0;

    for (int r = 0; r < R; r++)
        sum += (double)crealf(h[g->h_at[r]]);
    return (float)fmax(sum, 0);
}

spi_err spi_ring_synthesise(const struct spi_rings *g, int R, const float complex *h,
                            float *samples)
{
    spi_err err;
    float *row = NULL;
    float complex *half = NULL;

    SPI_TRY(err = SPI_NEW(row, g->n[R - 1], "ring"), out);
    SPI_TRY(err = SPI_NEW(half, g->n[R - 1] / 2 + 1, "ring"), out);
    for (int r = 0; r < R; r++) {
        float scale = 1.0f / (float)g->n[r];

        memset(half, 0, (size_t)(g->n[r] / 2 + 1) * sizeof *half);
        memcpy(half, h + g->h_at[r], (size_t)(g->m_max[r] + 1) * sizeof *h);
        SPI_TRY(err = spi_fft1_c2r(g->n[r], 1, half, row), out);
        for (int j = 0; j < g->n[r]; j++)
            samples[g->at[r] + j] = scale * row[j];
    }
out:
    free(row);
    free(half);
    return err;
}

void spi_ring_add_rotated(const struct spi_rings *g, int R, const float complex *phasor,
                          const float complex *h, float complex *to)
{
    spi_add_rotated(R, g->h_at, phasor, h, to);
}

void spi_ring_positions(const struct spi_rings *g, int R, const double M[9], double scale,
                        float (*pos)[3])
{
    for (int r = 0; r < R; r++) {
        double step = 2 * SPI_PI / g->n[r], qp = g->qp[r] * scale, qz = g->qz[r] * scale;

        for (int j = 0; j < g->n[r]; j++) {
            double v[3] = {qp * cos(step * j), qp * sin(step * j), qz}, u[3];

            spi_rot_apply(M, v, u);
            for (int c = 0; c < 3; c++)
                pos[g->at[r] + j][c] = (float)u[c];
        }
    }
}

spi_err spi_ring_points(const struct spi_rings *g, int R, const spi_nufft *plan,
                        spi_points **out)
{
    static const double identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    float(*q)[3] = NULL;
    spi_err err = SPI_NEW(q, g->at[R], "ring points");

    *out = NULL;
    if (err)
        return err;
    spi_ring_positions(g, R, identity, 1, q);
    err = spi_points_new(plan, g->at[R], (const float(*)[3])q, out);
    free(q);
    return err;
}

spi_err spi_band_init(struct spi_band *b, const struct spi_rings *g, int R)
{
    spi_err err;
    int blocks;

    *b = (struct spi_band){.R = R, .M = g->m_max[R - 1] + 1};
    blocks = (b->M + SPI_LANES - 1) / SPI_LANES;
    SPI_TRY(err = SPI_NEW(b->first, b->M, "band"), fail);
    SPI_TRY(err = SPI_NEW(b->off, blocks + 1, "band"), fail);
    for (int m = 0, r = 0; m < b->M; m++) {
        while (g->m_max[r] < m)
            r++;
        b->first[m] = r;
    }
    for (int k = 0; k < blocks; k++)
        b->off[k + 1] = b->off[k] + 2 * SPI_LANES * (R - b->first[k * SPI_LANES]);
    b->floats = b->off[blocks];
    return SPI_OK;
fail:
    spi_band_clear(b);
    return err;
}

void spi_band_clear(struct spi_band *b)
{
    free(b->first);
    free(b->off);
    *b = (struct spi_band){0};
}

void spi_band_pack(const struct spi_band *b, const struct spi_rings *g,
                   const float complex *h, const float *scale, float *record)
{
    for (int m0 = 0; m0 < b->M; m0 += SPI_LANES)
        for (int r = b->first[m0]; r < b->R; r++, record += 2 * SPI_LANES) {
            const float complex *from = h + g->h_at[r] + m0;
            int n = g->m_max[r] + 1 - m0;
            float s = scale ? scale[r] : 1;

            n = n < SPI_LANES ? n : SPI_LANES;
            for (int c = 0; c < n; c++) {
                record[c] = s * crealf(from[c]);
                record[c + SPI_LANES] = s * cimagf(from[c]);
            }
            for (int c = n; c < SPI_LANES; c++)
                record[c] = record[c + SPI_LANES] = 0;
        }
}

struct spi_views spi_views_for(const struct spi_rings *g, const struct spi_band *b,
                               double finer)
{
    double cell = 1 / (2 * g->diameter_A * g->q[b->R - 1]) / finer;
    int Na = spi_angular_count(2 * (int)ceil((b->M + 1) * (finer > 1 ? finer : 1)));

    return (struct spi_views){.nd = spi_sphere_count(cell), .Na = Na, .cell = cell};
}
