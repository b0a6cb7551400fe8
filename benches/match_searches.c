/* SPDX-License-Identifier: GPL-3.0-or-later */
/* match_searches.c, of benches/bench_match.h: whole searches beside brute force. */
#include "bench_match.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

/* ---- searches ----------------------------------------------------------------------- */

/* Every image against every direction of a band; returns seconds per image. */
static double exhaustive(const struct scene *s, const struct images *im,
                         const struct spi_band *band, struct spi_views views,
                         const struct model *m, double (*found)[4], int32_t *dir,
                         double *posterior_s)
{
    float *records, counts[BLOCK];
    double t0 = cpu_s(), t1;

    *posterior_s = 0;

    must(SPI_NEW(records, (int64_t)BLOCK * band->floats, "bench"));
    for (int64_t k0 = 0; k0 < im->n; k0 += BLOCK) {
        int n = im->n - k0 < BLOCK ? (int)(im->n - k0) : BLOCK;
        struct spi_scores scores;
        struct spi_posterior post;

        for (int i = 0; i < n; i++) {
            spi_band_pack(band, &s->rings, im->row[k0 + i], NULL,
                          records + (int64_t)i * band->floats);
            counts[i] = spi_ring_counts(&s->rings, band->R, im->row[k0 + i]);
        }

        struct spi_score_input in = {.band = band,
                                     .views = views,
                                     .like = &spi_likelihood_poisson,
                                     .templates = m->templates,
                                     .table = m->table,
                                     .n_images = n,
                                     .records = records,
                                     .counts = counts};

        must(spi_score_peaks(&in, 0, &scores));
        t1 = cpu_s();
        must(spi_posterior_make(&scores, &views, 1, 1, m->S, NULL, &post));
        *posterior_s += (cpu_s() - t1) / (double)im->n;
        for (int i = 0; i < n; i++) {
            spi_view_quat(&views, post.best[i].dir, (double)post.best[i].angle,
                          found[k0 + i]);
            dir[k0 + i] = post.best[i].dir;
        }
        spi_posterior_clear(&post);
        spi_scores_clear(&scores);
    }
    free(records);
    return (cpu_s() - t0) / (double)im->n;
}

/* Seconds of n images against `orientations`, pixel by pixel. */
static double brute_s(const struct scene *s, const struct images *im, int64_t n,
                      int orientations)
{
    struct spi_rng rng = spi_rng_stream(7, SPI_RNG_TEST, 0);
    struct spi_brute b;
    struct spi_brute_images images;
    struct spi_brute_best *best;
    double(*quat)[4], t0;

    must(SPI_NEW(quat, orientations, "brute"));
    must(SPI_NEW(best, n, "brute"));
    for (int i = 0; i < orientations; i++)
        spi_rot_random(&rng, quat[i]);
    for (int64_t k = 0; k < n; k++)
        best[k] = spi_brute_best_none;
    must(spi_brute_init(&b, &spi_likelihood_poisson, &s->pixels, NULL, s->rings.dq));
    must(spi_brute_images_init(&images, &s->pixels, n, s->det.n_pixels, im->pixels));
    t0 = cpu_s();
    must(spi_brute_match(&b, s->plan, s->grid, 0, orientations, (const double(*)[4])quat,
                         &images, best, 1, 0, NULL));
    t0 = cpu_s() - t0;
    spi_brute_images_clear(&images);
    spi_brute_clear(&b);
    free(best);
    free(quat);
    return t0;
}

/* Seconds of one pair; the model images, which many images share, are not counted. */
static double brute_pair(const struct scene *s, const struct images *im)
{
    enum { MANY = 768, FEW = 256, ORIENTATIONS = 128 };
    double few = brute_s(s, im, FEW, ORIENTATIONS);

    return (brute_s(s, im, MANY, ORIENTATIONS) - few) / ((MANY - FEW) * ORIENTATIONS);
}

struct fine {
    struct spi_search s;
    struct model model[SPI_SEARCH_LEVELS];
    int32_t *row[SPI_SEARCH_LEVELS];
    double model_s, near_s;
};

static double coarse_to_fine(const struct scene *s, const struct images *im,
                             double oversampling, struct fine *f, double (*found)[4],
                             int32_t *dir)
{
    int32_t *candidates;
    int64_t *order;
    double seconds = 0, t0;
    uint8_t *used = NULL;

    *f = (struct fine){0};
    must(SPI_NEW(candidates, im->n * SPI_SEARCH_KEEP, "bench"));
    must(SPI_NEW(order, im->n, "bench"));
    must(spi_search_init(&f->s, &s->rings, &spi_likelihood_poisson, 5 / diameter_A, finer));
    for (int l = 0; l < f->s.n; l++) {
        struct spi_search_level *level = &f->s.level[l];

        t0 = cpu_s();
        if (l > 0) {
            uint8_t *before = used;

            spi_search_near(&f->s, l, 0, level[-1].views.nd, NULL);
            free(before);
            must(SPI_NEW(used, level->views.nd, "bench"));
            spi_search_mark(&f->s, l, im->n, candidates, used);
        }
        f->near_s += cpu_s() - t0;
        must(SPI_NEW(f->row[l], level->views.nd, "bench"));
        model_init(&f->model[l], s, &level->band, level->views, &spi_likelihood_poisson,
                   used, f->row[l]);
        f->model_s += f->model[l].seconds;
        level->templates = f->model[l].templates;
        level->table = f->model[l].table;
        level->S = f->model[l].S;
        level->row = f->row[l];
        t0 = cpu_s();
        for (int64_t k0 = 0; k0 < im->n; k0 += BLOCK) {
            int n = im->n - k0 < BLOCK ? (int)(im->n - k0) : BLOCK;
            bool last = l == f->s.n - 1;
            const float complex *h[BLOCK];
            int32_t *cand[BLOCK];
            struct spi_best best[BLOCK];
            float fluence[BLOCK];

            if (l == 0) {
                must(spi_search_coarse(&f->s, n, im->row + k0,
                                       candidates + k0 * SPI_SEARCH_KEEP));
                continue;
            }
            for (int i = 0; i < n; i++) {
                h[i] = im->row[order[k0 + i]];
                cand[i] = candidates + order[k0 + i] * SPI_SEARCH_KEEP;
            }
            must(spi_search_fine(&f->s, l, n, h, cand, last ? best : NULL, fluence));
            for (int i = 0; i < n && last; i++) {
                spi_view_quat(&level->views, best[i].dir, (double)best[i].angle,
                              found[order[k0 + i]]);
                dir[order[k0 + i]] = best[i].dir;
            }
        }
        if (l == 0)
            must(spi_search_order(&f->s, im->n, candidates, order));
        printf("{\"op\":\"level %d\",\"R\":%d,\"nd\":%lld,\"Na\":%d,\"us_per_image\":%.2f,"
               "\"model_s\":%.2f}\n",
               l, level->band.R, (long long)level->views.nd, level->views.Na,
               1e6 * (cpu_s() - t0) / (double)im->n, f->model[l].seconds);
        seconds += cpu_s() - t0;
    }
    free(used);
    free(candidates);
    free(order);
    return seconds / (double)im->n;
}

static void fine_clear(struct fine *f)
{
    for (int l = 0; l < f->s.n; l++) {
        model_clear(&f->model[l]);
        free(f->row[l]);
    }
    spi_search_clear(&f->s);
}

static void print_search(const char *op, const struct spi_band *band,
                         struct spi_views views, int64_t images, double s,
                         double orientations, double brute, double *error)
{
    printf("{\"op\":\"%s\",\"R\":%d,\"nd\":%lld,\"Na\":%d,\"images\":%lld,"
           "\"ms_per_image\":%.4f,\"images_per_s\":%.4g,\"orientations_per_s\":%.3g,"
           "\"times_faster_than_brute\":%.1f,",
           op, band->R, (long long)views.nd, views.Na, (long long)images, 1e3 * s, 1 / s,
           orientations / s, brute / s);
    print_errors(images, error);
    printf("}\n");
}

void search(int64_t n)
{
    struct scene s;
    struct images im;
    struct spi_band band;
    struct model m;
    struct fine f;
    double(*found)[4], (*found2)[4], *error, brute, t, orientations, posterior_s;
    int32_t *dir, *dir2;
    int64_t few = n < 960 ? n : 960, same = 0, same_dir = 0;

    scene_init(&s, 12, 128, 1.3);
    images_init(&im, &s, 768, true, NULL, 0);
    t = brute_pair(&s, &im);
    images_clear(&im);
    images_init(&im, &s, n, false, NULL, 0);
    must(spi_band_init(&band, &s.rings, s.rings.R));
    must(SPI_NEW(found, n, "bench"));
    must(SPI_NEW(found2, n, "bench"));
    must(SPI_NEW(error, n, "bench"));
    must(SPI_NEW(dir, n, "bench"));
    must(SPI_NEW(dir2, n, "bench"));

    struct spi_views views = spi_views_for(&s.rings, &band, 1);

    orientations = (double)views.nd * views.Na;
    brute = t * orientations;
    printf("{\"op\":\"brute\",\"pixels\":%lld,\"nd\":%lld,\"Na\":%d,\"ms_per_image\":%.1f,"
           "\"orientations_per_s\":%.3g,\"GF_per_s\":%.1f,\"note\":\"768 images x 128 "
           "orientations measured, the rest by proportion; model images not counted\"}\n",
           (long long)s.pixels.n, (long long)views.nd, views.Na, 1e3 * brute, 1 / t,
           2e-9 * (double)s.pixels.n / t);
    printf("{\"op\":\"ingest (pixels to ring harmonics, once)\",\"ms_per_image\":%.4f}\n",
           1e3 * im.ingest_s);

    model_init(&m, &s, &band, views, &spi_likelihood_poisson, NULL, NULL);
    printf("{\"op\":\"templates, all at full resolution\",\"seconds\":%.2f}\n", m.seconds);

    struct images some = im;

    some.n = few;
    t = exhaustive(&s, &some, &band, views, &m, found, dir, &posterior_s);
    for (int64_t k = 0; k < few; k++)
        error[k] = angle_deg(found[k], im.quat[k]);
    print_search("exhaustive", &band, views, few, t, orientations, brute, error);
    printf("{\"op\":\"posterior of the exhaustive search\",\"share_of_time\":%.4f}\n",
           posterior_s / t);
    model_clear(&m);

    for (int finer = 1; finer <= 2; finer++) {
        t = coarse_to_fine(&s, &im, finer, &f, found2, dir2);
        for (int64_t k = 0; k < n; k++)
            error[k] = angle_deg(found2[k], im.quat[k]);
        print_search(finer == 1 ? "coarse-to-fine" : "coarse-to-fine, half cells", &band,
                     f.s.level[f.s.n - 1].views, n, t, orientations, brute, error);
        for (int64_t k = 0; k < n; k++)
            error[k] = angle_deg(found2[k], im.quat[k]);
        print_search(finer == 1 ? "coarse-to-fine with ingest"
                                : "coarse-to-fine, half cells, with ingest",
                     &band, f.s.level[f.s.n - 1].views, n, t + im.ingest_s, orientations,
                     brute, error);
        for (int64_t k = same = same_dir = 0; k < few; k++) {
            same_dir += finer == 1 && dir[k] == dir2[k];
            same += angle_deg(found[k], found2[k]) < views.cell / degree;
        }
        printf("{\"op\":\"pruning\",\"images\":%lld,\"same_direction\":%.4f,"
               "\"within_a_cell\":%.4f,\"models_s\":%.2f,\"neighbours_s\":%.2f}\n",
               (long long)few, finer == 1 ? (double)same_dir / (double)few : 0,
               (double)same / (double)few, f.model_s, f.near_s);
        fine_clear(&f);
    }
    free(found), free(found2), free(error), free(dir), free(dir2);
    spi_band_clear(&band);
    images_clear(&im);
    scene_clear(&s);
}
