/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/replica_tasks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "math/sphere.h"

/* ---- slice -------------------------------------------------------------------------- */

spi_err spi_task_prepare(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct spi_generation_context *c = ((const struct spi_range *)arg)->c;
    int R = c->level->band.R;
    float *scale = v[2].data, *add = scale + R;
    double *mean = NULL;
    spi_err err;

    (void)stop;
    memset(v[1].data, 0, (size_t)v[1].n * sizeof(float));
    SPI_TRY(err = spi_nufft_prepare(c->plan, v[0].data, v[1].data), out);
    SPI_TRY(err = SPI_NEW(mean, R, "slice"), out);
    if (c->ring_signal)
        SPI_TRY(err = spi_ring_means_of_model(&c->data->rings, R, c->plan, v[1].data,
                                              SPI_MEAN_DIRECTIONS, mean),
                out);
    for (int r = 0; r < R; r++) {
        float signal = c->ring_signal ? c->ring_signal[r] : 1;

        scale[r] = c->ring_scale ? c->ring_scale[r] : signal;
        add[r] = (1 - signal) * (float)mean[r];
    }
out:
    free(mean);
    return err;
}

spi_err spi_task_slice(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct spi_range *a = arg;
    const struct spi_generation_context *c = a->c;
    const struct spi_resolution_level *l = c->level;
    float inv_var[4096];
    struct spi_template_spec spec = {.rings = &c->data->rings,
                                     .band = &l->band,
                                     .map = &c->data->map,
                                     .views = l->views,
                                     .like = l->like,
                                     .ring_scale = v[1].data,
                                     .ring_add = (const float *)v[1].data + l->band.R,
                                     .inv_var = l->like->weighted ? inv_var : NULL,
                                     .points = c->points};

    (void)stop;
    spi_data_inv_var(c->data, l->like, l->band.R, inv_var);
    return spi_templates_make(&spec, c->plan, v[0].data, c->used, a->first, a->n, v[2].data,
                              v[3].data, v[4].data);
}

/* ---- match -------------------------------------------------------------------------- */

static const float complex *batch_record(const void *context, int64_t i, int R,
                                         float complex *h)
{
    const struct spi_generation_context *c = context;

    spi_data_record(c->data, c->image[c->batch[i]], R, h);
    return h;
}

static void batch_ahead(const void *context, int64_t i)
{
    const struct spi_generation_context *c = context;

    spi_data_ahead(c->data, c->image[c->batch[i]]);
}

/* A block of images that is matched: its views by name. */
struct matched {
    const struct spi_generation_context *c;
    const struct spi_range *range;
    const float *templates, *table, *S;
    float *beta; /* the first block finds it */
    float *counts, *fluence;
    struct spi_best *best; /* NULL, as fluence: only candidates are wanted */
    struct spi_view *pair, *angle, *weight; /* NULL: nobody wants them */
    float *average;                         /* all orientations have weight */
    int32_t *kept;                          /* NULL: none */
};

static struct matched matched_views(struct spi_view *v, const struct spi_range *a)
{
    const struct spi_generation_context *c = a->c;
    struct matched b = {.c = c,
                        .range = a,
                        .templates = v[0].data,
                        .table = v[1].data,
                        .S = v[2].data,
                        .beta = v[3].data,
                        .counts = v[4].data};
    int i = 5;

    if (!c->only_candidates) {
        b.fluence = v[i++].data;
        b.best = v[i++].data;
    }
    if (c->n_soft) {
        b.average = v[i++].data;
    } else if (c->merge) {
        b.pair = &v[i++];
        b.angle = &v[i++];
        b.weight = &v[i++];
    }
    if (c->keep_candidates)
        b.kept = v[i].data;
    return b;
}

static spi_err pack_block(const struct matched *b, float *records)
{
    const struct spi_range *a = b->range;
    const struct spi_rings *g = &b->c->data->rings;
    const struct spi_band *band = &b->c->level->band;
    float complex *h;
    spi_err err = SPI_NEW(h, g->h_at[band->R], "match");

    for (int64_t i = 0; i < a->n && !err; i++) {
        if (i + 2 < a->n)
            batch_ahead(b->c, a->first + i + 2);
        batch_record(b->c, a->first + i, band->R, h);
        spi_band_pack(band, g, h, NULL, records);
        b->counts[i] = spi_ring_counts(g, band->R, h);
        records += band->floats;
    }
    free(h);
    return err;
}

/* Images and templates of a block; records, to be freed by the caller. */
static spi_err block_input(const struct matched *b, float **records,
                           struct spi_score_input *in)
{
    const struct spi_resolution_level *l = b->c->level;
    int64_t n = b->range->n;
    spi_err err;

    SPI_TRY(err = SPI_NEW(*records, n * l->band.floats, "match"), out);
    SPI_TRY(err = pack_block(b, *records), out);
    *in = (struct spi_score_input){.band = &l->band,
                                   .views = l->views,
                                   .like = l->like,
                                   .templates = b->templates,
                                   .table = b->table,
                                   .n_images = (int)n,
                                   .records = *records,
                                   .counts = b->counts};
    if (!b->c->first)
        in->views.nd = b->c->n_rows;
out:
    return err;
}

/* The scores that count of a block. */
static spi_err score_block(const struct matched *b, const struct spi_score_input *in,
                           struct spi_scores *scores)
{
    const struct spi_generation_context *c = b->c;
    const struct spi_range *a = b->range;
    double n = (double)in->views.nd * in->views.Na, drop;
    int64_t *first = NULL;
    spi_err err;

    if (c->first) {
        SPI_TRY(err = SPI_NEW(first, a->n + 1, "match"), out);
        for (int64_t i = 0; i <= a->n; i++)
            first[i] = c->first[a->first + i] - c->first[a->first];
        err = spi_score_some(in, first, c->dir + c->first[a->first], c->row, scores);
    } else {
        drop = c->only_candidates ? 0 : spi_posterior_drop(*b->beta, c->perplexity, n);
        /* beta is not known, or much of it counts */
        if (!c->beta_stays && (a->block == 0 || c->perplexity >= spi_all_from * n))
            err = spi_score_all(in, scores);
        else
            err = spi_score_peaks(in, drop, scores);
        scores->name = c->used;
    }
out:
    free(first);
    return err;
}

/* Some orientations have weight: they are kept until all images are matched. */
static spi_err match_some(const struct matched *b, const struct spi_score_input *in,
                          struct spi_scores *scores, struct spi_posterior *post)
{
    const struct spi_generation_context *c = b->c;
    spi_err err = score_block(b, in, scores);

    if (err)
        return err;
    if (c->only_candidates)
        return SPI_OK;
    if (b->range->block == 0 && !c->beta_stays)
        *b->beta = spi_posterior_beta(scores, c->perplexity, *b->beta);
    return spi_posterior_make(scores, &c->level->views, *b->beta, c->perplexity, b->S,
                              c->first ? c->row : NULL, post);
}

/* beta from the first images of the first block. */
static spi_err find_beta(const struct matched *b, const struct spi_score_input *in)
{
    struct spi_score_input first = *in;
    struct spi_scores scores = {0};
    spi_err err;

    if (first.n_images > SPI_IMAGES_FOR_BETA)
        first.n_images = SPI_IMAGES_FOR_BETA;
    SPI_TRY(err = spi_score_all(&first, &scores), out);
    *b->beta = spi_posterior_beta(&scores, b->c->perplexity, *b->beta);
out:
    spi_scores_clear(&scores);
    return err;
}

/* All orientations have weight.  Weights are scratch of the task; the allocator returns the
 * block of the task before, which is still in cache. */
static spi_err match_all(const struct matched *b, const struct spi_score_input *in,
                         struct spi_scores *scores, struct spi_soft *weights,
                         struct spi_posterior *post)
{
    const struct spi_generation_context *c = b->c;
    spi_err err = b->range->block == 0 ? find_beta(b, in) : SPI_OK;

    if (err)
        return err;
    SPI_TRY(err = spi_soft_init(weights, (int)b->range->n, c->n_rows, c->level->views.Na),
            out);
    SPI_TRY(err = spi_score_soft(in, *b->beta, b->S, weights, scores), out);
    scores->name = c->used;
    err = spi_posterior_soft(scores, &c->level->views, *b->beta, weights, post);
out:
    return err;
}

/* Add the images of a block to the averages. */
static spi_err average_block(const struct matched *b, const struct spi_soft *weights)
{
    const struct spi_range *a = b->range;
    const struct spi_average *average = &b->c->average;
    int R = average->band.R;
    struct spi_average_block block = {0};
    float complex *h = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(h, b->c->data->rings.h_at[R], "match"), out);
    SPI_TRY(err = spi_average_block_init(&block, average, (int)a->n), out);
    for (int64_t i = 0; i < a->n; i++)
        spi_average_image(&block, (int)i, batch_record(b->c, a->first + i, R, h));
    spi_average_add(&block, (int)a->n, b->fluence, weights->q, weights->scale, b->average);
out:
    spi_average_block_clear(&block);
    free(h);
    return err;
}

/* Best orientations and fluences of a block, and its pairs if they are wanted. */
static void results_of(const struct matched *b, struct spi_posterior *post)
{
    for (int64_t i = 0; i < b->range->n && b->best; i++) {
        float model = post->model_sum[i];

        b->fluence[i] = model > 0 ? b->counts[i] / model : 0;
        b->best[i] = post->best[i];
    }
    if (!b->pair)
        return;
    spi_view_give(b->pair, post->pair, post->n_pairs);
    spi_view_give(b->angle, post->angle, post->n_entries);
    spi_view_give(b->weight, post->weight, post->n_entries);
    post->pair = NULL;
    post->angle = NULL;
    post->weight = NULL;
}

spi_err spi_task_match(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct matched b = matched_views(v, arg);
    struct spi_scores scores = {0};
    struct spi_score_input in;
    struct spi_soft weights = {0};
    struct spi_posterior post = {0};
    float *records = NULL;
    spi_err err;

    (void)stop;
    SPI_TRY(err = block_input(&b, &records, &in), out);
    SPI_TRY(err = b.average ? match_all(&b, &in, &scores, &weights, &post)
                            : match_some(&b, &in, &scores, &post),
            out);
    results_of(&b, &post);
    if (b.average)
        SPI_TRY(err = average_block(&b, &weights), out);
    if (b.kept)
        err = spi_best_directions(&scores, &b.c->level->views, b.c->keep, b.kept);
out:
    free(records);
    spi_posterior_clear(&post);
    spi_soft_clear(&weights);
    spi_scores_clear(&scores);
    return err;
}

/* ---- merge -------------------------------------------------------------------------- */

/* Mean fluence becomes 1: the scale lives in A alone. */
static float normalise_fluence(int64_t n, float *fluence)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += (double)fluence[i];

    double mean = sum > 0 ? sum / (double)n : 1;

    for (int64_t i = 0; i < n; i++)
        fluence[i] = (float)((double)fluence[i] / mean);
    return (float)(1 / mean);
}

/* Directions in tiles of neighbours: 4 x 4 cells. */
static spi_err make_places(const struct spi_views *views, int32_t *place)
{
    int32_t *order;
    spi_err err = SPI_NEW(order, views->nd, "merge");

    if (err)
        return err;
    err = spi_sphere_order(views->nd, 4 * views->cell, order);
    for (int32_t i = 0; i < views->nd && !err; i++)
        place[order[i]] = i;
    free(order);
    return err;
}

/* Cut the pairs between tiles, at[t + 1] is the end of tile t, into about equal blocks. */
static void cut_pairs(int n_merges, int64_t n_pairs, int64_t tiles, const int64_t *at,
                      int64_t *cut)
{
    int64_t t = 0, done = 0;

    cut[0] = 0;
    for (int b = 0; b < n_merges; b++) {
        int64_t upto = n_pairs * (b + 1) / n_merges;

        for (; t < tiles && at[t + 1] <= upto; t++)
            done = at[t + 1];
        cut[b + 1] = done;
    }
    cut[n_merges] = n_pairs;
}

/* All pairs sorted by tile, within it image by image (counting sort). */
static spi_err sort_pairs(const struct spi_generation_context *c,
                          const struct spi_piece *block, const int32_t *place,
                          struct spi_view *sorted, int64_t *sorted_at)
{
    int64_t tiles = (c->level->views.nd + SPI_VIEW_TILE - 1) / SPI_VIEW_TILE, n = 0;
    int64_t *at = NULL;
    struct spi_view_pair *pair = NULL;
    spi_err err;

    for (int b = 0; b < c->n_blocks; b++)
        n += block[b].n;
    SPI_TRY(err = SPI_NEW(at, tiles + 1, "merge"), out);
    SPI_TRY(err = SPI_NEW(pair, n, "merge"), out);
    for (int b = 0; b < c->n_blocks; b++) {
        const struct spi_posterior_pair *p = block[b].data;

        for (int64_t i = 0; i < block[b].n; i++)
            at[place[p[i].dir] / SPI_VIEW_TILE + 1]++;
    }
    for (int64_t t = 0; t < tiles; t++)
        at[t + 1] += at[t];
    cut_pairs(c->n_merges, n, tiles, at, sorted_at);
    for (int b = 0; b < c->n_blocks; b++) {
        const struct spi_posterior_pair *p = block[b].data;

        for (int64_t i = 0; i < block[b].n; i++)
            pair[at[place[p[i].dir] / SPI_VIEW_TILE]++] =
                (struct spi_view_pair){.image = (int64_t)b * c->block_images + p[i].image,
                                       .first = p[i].first,
                                       .dir = p[i].dir,
                                       .count = p[i].count};
    }
    spi_view_give(sorted, pair, n);
    pair = NULL;
out:
    free(pair);
    free(at);
    return err;
}

spi_err spi_task_index(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct spi_generation_context *c = ((const struct spi_range *)arg)->c;
    spi_err err;

    (void)stop;
    *(float *)v[1].data = normalise_fluence(c->n_batch, v[0].data);
    if (c->n_soft)
        return SPI_OK; /* averages: no pairs */
    err = make_places(&c->level->views, v[3].data);
    return err ? err : sort_pairs(c, v[2].piece, v[3].data, &v[4], v[5].data);
}

spi_err spi_task_keep(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct spi_generation_context *c = ((const struct spi_range *)arg)->c;

    (void)stop;
    if (c->keep_candidates) {
        const int32_t *kept = v[0].data;
        int32_t *candidate = v[1].data;
        int keep = c->keep;

        for (int64_t i = 0; i < c->n_batch; i++)
            memcpy(candidate + c->batch[i] * keep, kept + i * keep,
                   (size_t)keep * sizeof *kept);
        v += 2;
    }
    if (c->store_best) {
        const struct spi_best *best = v[0].data;
        const float *fluence = v[1].data;
        struct spi_best *to_best = v[2].data;
        float *to_fluence = v[3].data;

        for (int64_t i = 0; i < c->n_batch; i++) {
            to_best[c->batch[i]] = best[i];
            to_fluence[c->batch[i]] = fluence[i];
        }
    }
    return SPI_OK;
}

static struct spi_view_spec view_spec(const struct spi_generation_context *c)
{
    const struct spi_resolution_level *l = c->level;

    return (struct spi_view_spec){.rings = &c->data->rings,
                                  .R = l->R_merge,
                                  .map = &c->data->map,
                                  .views = l->views,
                                  .harmonics = batch_record,
                                  .ahead = batch_ahead,
                                  .images = c,
                                  .n_group = c->n_group,
                                  .group = c->group,
                                  .points = l->points2,
                                  .threads = SPI_THREADS_MAX};
}

/* A block of tiles: the averages of all partials, spread.  v: scale, the averages. */
static spi_err merge_averages(const struct spi_range *a, struct spi_view *v, float *partial,
                              double *weight)
{
    const struct spi_generation_context *c = a->c;
    struct spi_view_spec spec = view_spec(c);
    float *sum = v[1].data;
    int64_t from = a->first * SPI_LANES, to = (a->first + a->n) * SPI_LANES;

    for (int s = 1; s < c->n_soft; s++) {
        const float *other = v[1 + s].data;

        for (int64_t i = 0; i < v[1].n; i++)
            sum[i] += other[i];
    }
    to = to < c->n_rows ? to : c->n_rows;
    return spi_views_merge_average(&spec, &c->average, sum, to - from,
                                   c->used ? c->used + from : NULL, *(float *)v[0].data,
                                   c->level->plan2, partial, weight);
}

/* A block of pairs.  v: fluence, place, sorted, sorted_at, angle, weight. */
static spi_err merge_pairs(const struct spi_range *a, struct spi_view *v, float *partial,
                           double *weight)
{
    const struct spi_generation_context *c = a->c;
    struct spi_view_spec spec = view_spec(c);
    const int64_t *at = (const int64_t *)v[3].data + a->block;
    const struct spi_view_pair *pair = v[2].data;
    struct spi_view_weights *weights;
    spi_err err = SPI_NEW(weights, c->n_blocks, "merge");

    if (err)
        return err;
    for (int b = 0; b < c->n_blocks; b++)
        weights[b] = (struct spi_view_weights){v[4].piece[b].data, v[5].piece[b].data};
    spec.fluence = v[0].data;
    spec.place = v[1].data;
    spec.weights = weights;
    spec.block_images = c->block_images;
    err = spi_views_merge(&spec, at[1] - at[0], pair + at[0], c->level->plan2, partial,
                          weight);
    free(weights);
    return err;
}

spi_err spi_task_merge(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct spi_range *a = arg;
    float *partial = v[0].data;
    double *weight = v[1].data;

    (void)stop;
    if (a->block < a->c->n_partials) { /* the first of its partial */
        memset(partial, 0, (size_t)v[0].n * sizeof *partial);
        *weight = 0;
    }
    return a->c->n_soft ? merge_averages(a, v + 2, partial, weight)
                        : merge_pairs(a, v + 2, partial, weight);
}

enum { SUM_CHUNKS = 64 };

struct sums {
    const struct spi_view *partial;
    int n; /* partials */
};

/* A chunk of the first partial += those of the others, in their order. */
static void sum_chunk(void *ctx, int rank, int64_t item)
{
    const struct sums *s = ctx;
    int64_t from = s->partial[0].n * item / SUM_CHUNKS,
            to = s->partial[0].n * (item + 1) / SUM_CHUNKS;
    float *sum = s->partial[0].data;

    (void)rank;
    for (int k = 1; k < s->n; k++) {
        const float *other = s->partial[k].data;

        for (int64_t i = from; i < to; i++)
            sum[i] += other[i];
    }
}

/* v: model, residual, weights of the partials, partials.  CG starts from the model. */
spi_err spi_task_solve(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct spi_generation_context *c = ((const struct spi_range *)arg)->c;
    const struct spi_resolution_level *l = c->level;
    struct spi_cg_options opt = {.n_iter = l->n_cg, .tol = l->cg_tol, .stop = stop};
    const double *weights = v[2].data;
    struct sums sums = {v + 3, c->n_partials};
    double weight = weights[0];
    struct spi_normal N;
    struct spi_cg_report report;
    spi_err err;

    for (int s = 1; s < c->n_partials; s++)
        weight += weights[s];
    spi_parallel_for(SPI_THREADS_MAX, SUM_CHUNKS, sum_chunk, &sums);
    err = spi_normal_init(&N, l->n, l->support_A, l->plan2, v[3].data, weight);
    if (err)
        return err;
    N.threads = SPI_THREADS_MAX;
    err = spi_normal_solve(&N, l->lambda, &opt, v[0].data, &report);
    *(double *)v[1].data = err ? 0 : report.residual;
    spi_normal_clear(&N);
    return err;
}
