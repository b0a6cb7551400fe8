/* SPDX-License-Identifier: GPL-3.0-or-later */
/* match_equal.c, of benches/bench_match.h: kernels beside brute force with the same
 * answers. */
#include "bench_match.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/softmax.h"

/* ---- the same answer ---------------------------------------------------------------- */

/* Equal grids: rings and pixels, all orientations, at a resolution that brute force can do.
 */
void equal(int64_t n, const struct spi_likelihood *like, bool on_grid)
{
    struct scene s;
    struct images im;
    struct spi_band band;
    struct model m;
    struct spi_brute b;
    struct spi_brute_images images;
    struct spi_brute_best *best;
    double(*found)[4], (*quat)[4], worst = 0, t0;
    float *records, counts[BLOCK];
    int64_t same = 0, neighbours = 0, total;

    scene_init(&s, 30, 40, 2.6);
    must(spi_band_init(&band, &s.rings, s.rings.R));

    struct spi_views views = spi_views_for(&s.rings, &band, 1);

    images_init(&im, &s, n, true, on_grid ? &views : NULL, 0);

    total = views.nd * views.Na;
    must(SPI_NEW(quat, total, "bench"));
    must(SPI_NEW(found, n, "bench"));
    must(SPI_NEW(best, n, "bench"));
    must(SPI_NEW(records, (int64_t)BLOCK * band.floats, "bench"));
    for (int64_t i = 0; i < total; i++)
        spi_view_quat(&views, i / views.Na, 2 * SPI_PI * (double)(i % views.Na) / views.Na,
                      quat[i]);
    model_init(&m, &s, &band, views, like);
    must(spi_brute_init(&b, like, &s.pixels, NULL, s.rings.dq));
    must(spi_brute_images_init(&images, &s.pixels, n, s.det.n_pixels, im.pixels));
    for (int64_t k = 0; k < n; k++)
        best[k] = spi_brute_best_none;
    t0 = cpu_s();
    must(spi_brute_match(&b, s.plan, s.grid, 0, total, (const double(*)[4])quat, &images,
                         best, 1, 0, NULL));
    t0 = cpu_s() - t0;
    for (int64_t k0 = 0; k0 < n; k0 += BLOCK) {
        int block = n - k0 < BLOCK ? (int)(n - k0) : BLOCK;
        struct spi_scores scores;

        for (int i = 0; i < block; i++) {
            spi_band_pack(&band, &s.rings, im.row[k0 + i], NULL, records + i * band.floats);
            counts[i] = spi_ring_counts(&s.rings, band.R, im.row[k0 + i]);
        }

        struct spi_score_input in = {.band = &band,
                                     .views = views,
                                     .like = like,
                                     .templates = m.templates,
                                     .table = m.table,
                                     .n_images = block,
                                     .records = records,
                                     .counts = counts};

        must(spi_score_peaks(&in, 0, &scores));
        for (int i = 0; i < block; i++) {
            int64_t pair = scores.first[i];
            int64_t at = scores.dir[pair] * (int64_t)views.Na +
                         spi_arg_max(views.Na, scores.LL + pair * views.Na);

            if (at == best[k0 + i].at) {
                same++;
                continue;
            }
            /* the pixels' own scores: how much is lost, compared with what the grid costs
             */
            struct spi_brute_images one = {.n = 1,
                                           .row = images.row + (k0 + i) * s.pixels.n,
                                           .count = images.count + k0 + i,
                                           .norm2 = images.norm2 + k0 + i};
            struct spi_brute_best other = spi_brute_best_none;

            must(spi_brute_match(&b, s.plan, s.grid, 0, 1, (const double(*)[4])quat + at,
                                 &one, &other, 1, 0, NULL));

            struct spi_brute_best exact = spi_brute_best_none;

            must(spi_brute_match(&b, s.plan, s.grid, 0, 1,
                                 (const double(*)[4])im.quat + k0 + i, &one, &exact, 1, 0,
                                 NULL));
            worst = fmax(worst, (double)(best[k0 + i].score - other.score) /
                                    (double)(exact.score - other.score));
            neighbours +=
                angle_deg(quat[at], quat[best[k0 + i].at]) < 1.5 * views.cell / degree;
        }
        spi_scores_clear(&scores);
    }
    printf("{\"op\":\"equal grids, %s, %s\",\"R\":%d,\"pixels\":%lld,\"nd\":%lld,\"Na\":%d,"
           "\"images\":%lld,\"same\":%lld,\"neighbours\":%lld,\"largest_loss_share\":%.3f,"
           "\"brute_s\":%.1f}\n",
           like->name, on_grid ? "images on the grid" : "random orientations", band.R,
           (long long)s.pixels.n, (long long)views.nd, views.Na, (long long)n,
           (long long)same, (long long)neighbours, worst, t0);
    free(found), free(quat), free(best), free(records);
    spi_brute_images_clear(&images);
    spi_brute_clear(&b);
    model_clear(&m);
    spi_band_clear(&band);
    images_clear(&im);
    scene_clear(&s);
}
