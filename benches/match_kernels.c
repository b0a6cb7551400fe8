/* SPDX-License-Identifier: GPL-3.0-or-later */
/* match_kernels.c, of benches/bench_match.h: the inner kernels of matching beside the bound
 * of the machine. */
#include "bench_match.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kernel/lanes.h"
#include "kernel/softmax.h"

/* ---- kernels ------------------------------------------------------------------------ */

static double peak_flops(const struct spi_lanes *v)
{
    double s, t = 0;

    SECONDS(s, t += (double)v->peak(1000000));
    return t == 0 ? 0 : 12 * 2 * v->fma_lanes * 1e6 / s;
}

static double sgemm_flops(int m, int n, int k)
{
    float *a, *b, *c;
    double s;

    must(SPI_NEW(a, (int64_t)m * k, "sgemm"));
    must(SPI_NEW(b, (int64_t)n * k, "sgemm"));
    must(SPI_NEW(c, (int64_t)m * n, "sgemm"));
    SECONDS(s, cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, a, k, b, k,
                           0, c, n));
    free(a);
    free(b);
    free(c);
    return 2.0 * m * n * k / s;
}

struct bench {
    const struct spi_lanes *v;
    const struct spi_band *band;
    struct spi_angular angular;
    double peak;
    int nd; /* templates */
    float *records, *panel, *group, *C, *work, *x, *table;
    const float *image[SPI_LANES], *record[SPI_LANES];
};

static void row(const struct bench *b, const char *op, double pairs, double flop, double s)
{
    double rate = flop * pairs / s;

    printf("{\"op\":\"%s\",\"variant\":\"%s\",\"R\":%d,\"M\":%d,\"Na\":%d,"
           "\"ns_per_pair\":%.1f,\"orientations_per_s\":%.3g,\"flop_per_pair\":%.0f,"
           "\"GF_per_s\":%.1f,\"peak_GF_per_s\":%.0f,\"share_of_peak\":%.2f}\n",
           op, b->v->name, b->band->R, b->band->M, b->angular.Na, 1e9 * s / pairs,
           pairs * b->angular.Na / s, flop, rate / 1e9, b->peak / 1e9, rate / b->peak);
}

static void bench_kernels(struct bench *b)
{
    const struct spi_lanes *v = b->v;
    const struct spi_band *band = b->band;
    long stride = spi_pairs_floats(band);
    double harmonics = (double)spi_panel_floats(band) / (2 * SPI_LANES), s, s0, Na,
           pairs = (double)SPI_GROUP * b->nd;
    _Alignas(64) float top[SPI_LANES];

    /* one group of images against nd templates: panels come from memory as in a search */
    SECONDS(
        s0, for (int d = 0; d < b->nd; d += SPI_LANES) {
            for (int i = 0; i < SPI_LANES; i++)
                b->record[i] = b->records + (int64_t)(d + i) * band->floats;
            v->panel(band, SPI_LANES, b->record, b->panel);
        });
    row(b, "pack templates (once for all images of a block)", b->nd, 0, s0);
    SECONDS(s, for (int d = 0; d < b->nd; d += SPI_LANES)
                   v->tile(band, b->panel, SPI_GROUP, b->group, b->C));
    row(b, "correlate", pairs, 8 * harmonics, s);
    SECONDS(s, for (int i = 0; i < SPI_GROUP; i++)
                   v->angular(&b->angular, b->C + i * stride, b->work, b->x));
    row(b, "angular", (double)SPI_GROUP * SPI_LANES, b->angular.flops, s);
    Na = b->angular.Na;
    row(b, "angular, as the flops of the matrix product it replaces",
        (double)SPI_GROUP * SPI_LANES, 4 * band->M * (Na / 2 + 1), s);
    SECONDS(s, v->top(SPI_FORM_DIFFERENCE, (int)Na, b->x, b->table, 3, top));
    row(b, "score and maximum", SPI_LANES, 3 * Na, s);
    for (int i = 0; i < SPI_LANES; i++)
        b->image[i] = b->records;
    SECONDS(
        s, for (int d = 0; d < b->nd; d += SPI_LANES) {
            for (int i = 0; i < SPI_LANES; i++)
                b->record[i] = b->records + (int64_t)(d + i) * band->floats;
            v->pairs(band, SPI_LANES, b->image, b->record, b->work, b->C);
        });
    row(b, "correlate, local (templates from the cache levels they fit)", b->nd,
        8 * harmonics, s);
}

static void kernels(double resolution_A)
{
    struct spi_rings g;
    struct spi_band band;
    struct spi_rng rng = spi_rng_stream(1, SPI_RNG_TEST, 0);

    must(spi_rings_init(&g, diameter_A, wavelength_A, 1 / diameter_A, 1 / resolution_A,
                        1.3));
    must(spi_band_init(&band, &g, g.R));
    for (int i = 0; i < spi_lanes_count; i++) {
        struct bench b = {.v = &spi_lanes_variants[i], .band = &band, .nd = 128};
        int Na = spi_views_for(&g, &band, 1).Na;
        int64_t floats = (int64_t)b.nd * band.floats;
        const float *image[SPI_GROUP];

        if (!b.v->available())
            continue;
        must(spi_angular_init(&b.angular, band.M, Na));
        must(SPI_NEW(b.records, floats, "bench"));
        must(SPI_NEW(b.panel, spi_panel_floats(&band), "bench"));
        must(SPI_NEW(b.group, spi_group_floats(&band), "bench"));
        must(SPI_NEW(b.C, SPI_GROUP * spi_pairs_floats(&band), "bench"));
        must(SPI_NEW(b.work, 4 * (Na + SPI_LANES) * SPI_LANES, "bench"));
        must(SPI_NEW(b.x, Na * SPI_LANES, "bench"));
        must(SPI_NEW(b.table, Na * SPI_LANES, "bench"));
        for (int64_t k = 0; k < floats; k++)
            b.records[k] = (float)spi_rng_normal(&rng);
        for (int k = 0; k < SPI_GROUP; k++)
            image[k] = b.records + (int64_t)k * band.floats;
        spi_group_pack(&band, image, b.group);
        b.peak = peak_flops(b.v);
        bench_kernels(&b);
        spi_angular_clear(&b.angular);
        free(b.records), free(b.panel), free(b.group), free(b.C), free(b.work), free(b.x);
        free(b.table);
    }
    spi_band_clear(&band);
    spi_rings_clear(&g);
}

void all_kernels(void)
{
    kernels(28);
    kernels(19);
    kernels(12);
    printf(
        "{\"op\":\"sgemm, one thread\",\"m\":256,\"n\":64,\"k\":12832,\"GF_per_s\":%.1f}\n",
        sgemm_flops(256, 64, 12832) / 1e9);
}
