/* SPDX-License-Identifier: GPL-3.0-or-later */
/* match_generation.c, of benches/bench_match.h: one generation of matching, by parts. */
#include "bench_match.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "match/posterior.h"
#include "math/sphere.h"
#include "merge/normal.h"
#include "merge/views.h"

/* ---- one generation of a start ------------------------------------------------------ */

static const struct blobs random_start = {12, 14.9, {0.35, 0.35, 0.35}};
enum { IMAGES = 32, BLOCKS = 12 };
enum { SCORES, SEARCH, SOFTMAX, AVERAGES, SPREADING, SCORES_ALONE };

/* A generation of all orientations: its images in blocks, and what its parts take. */
struct generation {
    struct scene scene;
    struct images im;
    struct spi_band band;
    struct spi_views views;
    struct model model;
    struct spi_soft soft;
    struct spi_average average;
    struct spi_average_block block;
    float *sum;             /* the averages */
    int32_t *order, *place; /* rows -> directions, directions -> rows */
    float *records, counts[IMAGES], phi[IMAGES * BLOCKS];
    double n, perplexity;
    float beta;
    double s[SCORES_ALONE + 1]; /* seconds */
};

/* Another model, and the factors that give its rings the means of the images'. */
static void start_again(struct scene *s, float *ring_scale)
{
    enum { DIRECTIONS = 100 };
    double is[256], want[256];

    must(
        spi_ring_means_of_model(&s->rings, s->rings.R, s->plan, s->grid, DIRECTIONS, want));
    model_of_scene_clear(s);
    make_model(s, &random_start);
    must(spi_ring_means_of_model(&s->rings, s->rings.R, s->plan, s->grid, DIRECTIONS, is));
    for (int r = 0; r < s->rings.R; r++)
        ring_scale[r] = (float)(want[r] / is[r]);
}

static void generation_init(struct generation *g, double perplexity_share, bool start)
{
    float ring_scale[256];

    *g = (struct generation){0};
    scene_init(&g->scene, 30, 64, 1.3);
    images_init(&g->im, &g->scene, IMAGES * BLOCKS, false, NULL, start ? 1e4 : 0);
    if (start)
        start_again(&g->scene, ring_scale);
    must(spi_band_init(&g->band, &g->scene.rings, g->scene.rings.R));
    g->views = spi_views_for(&g->scene.rings, &g->band, 1);
    g->n = (double)g->views.nd * g->views.Na;
    g->perplexity = fmax(4, perplexity_share * g->n);
    must(SPI_NEW(g->order, g->views.nd, "bench"));
    must(spi_sphere_order(g->views.nd, 4 * g->views.cell, g->order));
    must(SPI_NEW(g->place, g->views.nd, "bench"));
    for (int32_t i = 0; i < g->views.nd; i++)
        g->place[g->order[i]] = i;
    model_of(&g->model, &g->scene, &g->band, g->views, &spi_likelihood_poisson,
             start ? ring_scale : NULL, g->views.nd, g->order);
    must(SPI_NEW(g->records, IMAGES * g->band.floats, "bench"));
    must(spi_soft_init(&g->soft, IMAGES, g->views.nd, g->views.Na));
    must(spi_average_init(&g->average, &g->scene.rings, g->band.R, g->views.Na,
                          g->views.nd));
    must(spi_average_block_init(&g->block, &g->average, IMAGES));
    must(SPI_NEW(g->sum, g->average.tiles * spi_average_floats(&g->average), "bench"));
    for (int k = 0; k < IMAGES * BLOCKS; k++)
        g->phi[k] = 1;
}

static void generation_clear(struct generation *g)
{
    free(g->records);
    free(g->order);
    free(g->place);
    spi_soft_clear(&g->soft);
    spi_average_block_clear(&g->block);
    spi_average_clear(&g->average);
    free(g->sum);
    model_clear(&g->model);
    spi_band_clear(&g->band);
    images_clear(&g->im);
    scene_clear(&g->scene);
}

static struct spi_score_input block_of(struct generation *g, int b)
{
    const struct spi_rings *rings = &g->scene.rings;

    for (int i = 0; i < IMAGES; i++) {
        const float complex *h = g->im.row[b * IMAGES + i];

        spi_band_pack(&g->band, rings, h, NULL, g->records + i * g->band.floats);
        g->counts[i] = spi_ring_counts(rings, g->band.R, h);
    }
    return (struct spi_score_input){.band = &g->band,
                                    .views = g->views,
                                    .like = &spi_likelihood_poisson,
                                    .templates = g->model.templates,
                                    .table = g->model.table,
                                    .n_images = IMAGES,
                                    .records = g->records,
                                    .counts = g->counts};
}

/* beta from the first block, all of whose scores it needs; where only some orientations
 * have weight these are scores like any other. */
static void find_beta(struct generation *g, bool every)
{
    struct spi_score_input in = block_of(g, 0);
    struct spi_scores scores;
    double t0 = cpu_s();

    in.n_images = SPI_IMAGES_FOR_BETA;
    must(spi_score_all(&in, &scores));
    if (!every)
        t0 = cpu_s();
    g->beta = spi_posterior_beta(&scores, g->perplexity, 0);
    spi_scores_clear(&scores);
    g->s[SEARCH] = cpu_s() - t0;
}

/* Weights of all orientations, averages of all directions. */
static void all_weights(struct generation *g)
{
    for (int b = 0; b < BLOCKS; b++) {
        struct spi_score_input in = block_of(g, b);
        struct spi_scores scores;
        struct spi_posterior post;
        double t0 = cpu_s();

        must(spi_score_peaks(&in, 0, &scores));
        spi_scores_clear(&scores);
        g->s[SCORES_ALONE] += cpu_s() - t0;
        t0 = cpu_s();
        must(spi_score_soft(&in, g->beta, g->model.S, &g->soft, &scores));
        scores.name = g->order;
        must(spi_posterior_soft(&scores, &g->views, g->beta, &g->soft, &post));
        spi_posterior_clear(&post);
        spi_scores_clear(&scores);
        g->s[SOFTMAX] += cpu_s() - t0; /* and scores */
        t0 = cpu_s();
        for (int i = 0; i < IMAGES; i++)
            spi_average_image(&g->block, i, g->im.row[b * IMAGES + i]);
        spi_average_add(&g->block, IMAGES, g->phi, g->soft.q, g->soft.scale, g->sum);
        g->s[AVERAGES] += cpu_s() - t0;
    }
}

static const float complex *row_of(const void *rows, int64_t image, int R, float complex *h)
{
    (void)R;
    (void)h;
    return ((const float complex *const *)rows)[image];
}

/* Directions -> rows. */
static const int32_t *place_of;

/* By tile, then by image, then by direction. */
static int by_tile(const void *a, const void *b)
{
    const struct spi_view_pair *p = a, *q = b;
    int s = place_of[p->dir], t = place_of[q->dir];

    if (s / SPI_VIEW_TILE != t / SPI_VIEW_TILE)
        return s < t ? -1 : 1;
    if (p->image != q->image)
        return p->image < q->image ? -1 : 1;
    return (s > t) - (s < t);
}

static double merge_s(struct generation *g, const struct spi_view_weights *weights,
                      int64_t n, const struct spi_view_pair *pair)
{
    const struct scene *s = &g->scene;
    struct spi_view_spec spec = {.rings = &s->rings,
                                 .R = g->band.R,
                                 .map = &s->map,
                                 .views = g->views,
                                 .place = g->place,
                                 .harmonics = row_of,
                                 .images = (const void *)g->im.row,
                                 .fluence = g->phi,
                                 .weights = weights,
                                 .block_images = IMAGES};
    spi_nufft *plan;
    float *grid;
    double t0;

    must(spi_nufft_new(2 * s->A.n, s->A.step, 1e-3, &plan));
    must(spi_nufft_grid_new(plan, 2, &grid));
    t0 = cpu_s();
    must(spi_views_merge(&spec, n, pair, plan, grid, NULL));
    t0 = cpu_s() - t0;
    spi_nufft_free(plan);
    free(grid);
    return t0;
}

/* Entries of some orientations, averages of pairs: of merging, what it takes more than with
 * one image a direction. */
static void some_weights(struct generation *g)
{
    struct spi_posterior post[BLOCKS];
    struct spi_view_weights weights[BLOCKS];
    struct spi_view_pair *pair, *one;
    int64_t n = 0, n_one = 0;
    int32_t *seen;

    for (int b = 0; b < BLOCKS; b++) {
        struct spi_score_input in = block_of(g, b);
        struct spi_scores scores;
        double t0 = cpu_s();

        must(spi_score_peaks(&in, spi_posterior_drop(g->beta, g->perplexity, g->n),
                             &scores));
        scores.name = g->order;
        g->s[SCORES] += cpu_s() - t0;
        t0 = cpu_s();
        must(spi_posterior_make(&scores, &g->views, g->beta, g->perplexity, g->model.S,
                                NULL, post + b));
        g->s[SOFTMAX] += cpu_s() - t0;
        spi_scores_clear(&scores);
        n += post[b].n_pairs;
    }
    must(SPI_NEW(pair, n, "bench"));
    must(SPI_NEW(one, n, "bench"));
    n = 0;
    for (int b = 0; b < BLOCKS; b++) {
        weights[b] = (struct spi_view_weights){post[b].angle, post[b].weight};
        for (int64_t i = 0; i < post[b].n_pairs; i++) {
            const struct spi_posterior_pair *p = post[b].pair + i;

            pair[n++] = (struct spi_view_pair){.image = b * IMAGES + p->image,
                                               .dir = p->dir,
                                               .count = p->count,
                                               .first = p->first};
        }
    }
    place_of = g->place;
    qsort(pair, (size_t)n, sizeof *pair, by_tile);
    must(SPI_NEW(seen, g->views.nd, "bench"));
    for (int64_t i = 0; i < n; i++)
        if (!seen[pair[i].dir]++)
            one[n_one++] = pair[i];
    free(seen);
    g->s[AVERAGES] = merge_s(g, weights, n, pair); /* and spreading */
    g->s[SPREADING] = merge_s(g, weights, n_one, one);
    free(pair);
    free(one);
    for (int b = 0; b < BLOCKS; b++)
        spi_posterior_clear(post + b);
}

/* Scores of all orientations, the temperature, the soft assignment, the averages: the least
 * of some runs: but in the first generation memory is not fresh. */
void anneal(double perplexity_share, bool start, bool every)
{
    enum { RUNS = 9 };
    struct generation g;
    double s[SCORES_ALONE + 1], total = 0;

    generation_init(&g, perplexity_share, start);
    for (int run = 0; run < RUNS; run++) {
        memset(g.s, 0, sizeof g.s);
        find_beta(&g, every);
        (every ? all_weights : some_weights)(&g);
        for (int i = 0; i <= SCORES_ALONE; i++) {
            double us = 1e6 * g.s[i] / (IMAGES * BLOCKS);

            s[i] = run == 0 || us < s[i] ? us : s[i];
        }
    }
    s[SCORES] += s[SCORES_ALONE];
    s[SOFTMAX] -= s[SCORES_ALONE];
    s[AVERAGES] -= s[SPREADING];
    for (int i = 0; i <= AVERAGES; i++)
        total += s[i];
    printf("{\"op\":\"generation, %s, %s, perplexity %.2g of the orientations\",\"R\":%d,"
           "\"nd\":%lld,\"Na\":%d,\"images\":%d,\"us_per_image\":%.1f,\"scores\":%.1f,"
           "\"perplexity_search\":%.1f,\"softmax\":%.1f,\"averages\":%.1f,"
           "\"share_scores\":%.2f}\n",
           start ? "random model, 10^4 photons" : "true model, no noise",
           every ? "all weights" : "some weights", g.perplexity / g.n, g.band.R,
           (long long)g.views.nd, g.views.Na, IMAGES * BLOCKS, total, s[SCORES], s[SEARCH],
           s[SOFTMAX], s[AVERAGES], s[SCORES] / total);
    generation_clear(&g);
}
