/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/replica_tasks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/sphere.h"

/* ---- slice -------------------------------------------------------------------------- */

spi_err spi_task_prepare(void *const *data, const void *arg, const volatile int *stop)
{
    struct spi_generation_work *w = *(struct spi_generation_work *const *)arg;
    spi_err err = spi_nufft_grid_new(w->plan, 1, &w->fine);

    (void)data;
    (void)stop;
    return err ? err : spi_nufft_prepare(w->plan, w->c->A.data, w->fine);
}

spi_err spi_task_slice(void *const *data, const void *arg, const volatile int *stop)
{
    const struct spi_range *a = arg;
    struct spi_generation_work *w = a->w;
    const struct spi_resolution_level *l = w->level;
    float inv_var[4096];
    struct spi_template_spec spec = {.rings = &w->c->data->rings,
                                     .band = &l->band,
                                     .map = &w->c->data->map,
                                     .views = l->views,
                                     .like = l->like,
                                     .ring_scale = w->c->ring_scale,
                                     .inv_var = l->like->weighted ? inv_var : NULL,
                                     .points = w->points};

    (void)data;
    (void)stop;
    spi_data_inv_var(w->c->data, l->like, l->band.R, inv_var);
    return spi_templates_make(&spec, w->plan, w->fine, w->used, a->first, a->n,
                              w->templates + a->first * l->band.floats,
                              w->table + a->first * l->views.Na,
                              w->S + a->first * l->views.Na);
}

/* ---- match -------------------------------------------------------------------------- */

static const float complex *batch_record(const void *work, int64_t i, int R,
                                         float complex *h)
{
    const struct spi_generation_work *w = work;

    spi_data_record(w->c->data, w->c->half->image[w->batch[i]], R, h);
    return h;
}

static void batch_ahead(const void *work, int64_t i)
{
    const struct spi_generation_work *w = work;

    spi_data_ahead(w->c->data, w->c->half->image[w->batch[i]]);
}

static spi_err pack_block(struct spi_generation_work *w, const struct spi_range *a,
                          float *records)
{
    const struct spi_rings *g = &w->c->data->rings;
    const struct spi_band *b = &w->level->band;
    float complex *h;
    spi_err err = SPI_NEW(h, g->h_at[b->R], "match");

    for (int64_t i = a->first; i < a->first + a->n && !err; i++) {
        if (i + 2 < a->first + a->n)
            batch_ahead(w, i + 2);
        batch_record(w, i, b->R, h);
        spi_band_pack(b, g, h, NULL, records);
        w->counts[i] = spi_ring_counts(g, b->R, h);
        records += b->floats;
    }
    free(h);
    return err;
}

/* Images and templates of a block; records, to be freed by the caller. */
static spi_err block_input(struct spi_generation_work *w, const struct spi_range *a,
                           float **records, struct spi_score_input *in)
{
    const struct spi_resolution_level *l = w->level;
    spi_err err;

    SPI_TRY(err = SPI_NEW(*records, a->n * l->band.floats, "match"), out);
    SPI_TRY(err = pack_block(w, a, *records), out);
    *in = (struct spi_score_input){.band = &l->band,
                                   .views = l->views,
                                   .like = l->like,
                                   .templates = w->templates,
                                   .table = w->table,
                                   .n_images = (int)a->n,
                                   .records = *records,
                                   .counts = w->counts + a->first};
    if (!w->first)
        in->views.nd = w->n_rows;
out:
    return err;
}

/* The scores that count of a block. */
static spi_err score_block(struct spi_generation_work *w, const struct spi_range *a,
                           const struct spi_score_input *in, struct spi_scores *scores)
{
    double n = (double)in->views.nd * in->views.Na;
    int64_t *first = NULL;
    spi_err err;

    if (w->first) {
        SPI_TRY(err = SPI_NEW(first, a->n + 1, "match"), out);
        for (int64_t i = 0; i <= a->n; i++)
            first[i] = w->first[a->first + i] - w->first[a->first];
        err = spi_score_some(in, first, w->dir + w->first[a->first], w->row, scores);
    } else {
        /* beta is not known, or much of it counts */
        if (a->block == 0 || w->perplexity >= spi_all_from * n)
            err = spi_score_all(in, scores);
        else
            err = spi_score_peaks(in, spi_posterior_drop(w->c->beta, w->perplexity, n),
                                  scores);
        scores->name = w->used;
    }
out:
    free(first);
    return err;
}

/* Some orientations have weight: they are kept until all images are matched. */
static spi_err match_some(struct spi_generation_work *w, const struct spi_range *a,
                          const struct spi_score_input *in, struct spi_scores *scores)
{
    spi_err err = score_block(w, a, in, scores);

    if (err)
        return err;
    if (a->block == 0)
        w->c->beta = spi_posterior_beta(scores, w->perplexity, w->c->beta);
    return spi_posterior_make(scores, &w->level->views, w->c->beta, w->perplexity, w->S,
                              w->first ? w->row : NULL, w->post + a->block);
}

/* beta from the first images of the first block. */
static spi_err find_beta(struct spi_generation_work *w, const struct spi_score_input *in)
{
    struct spi_score_input first = *in;
    struct spi_scores scores = {0};
    spi_err err;

    if (first.n_images > SPI_IMAGES_FOR_BETA)
        first.n_images = SPI_IMAGES_FOR_BETA;
    SPI_TRY(err = spi_score_all(&first, &scores), out);
    w->c->beta = spi_posterior_beta(&scores, w->perplexity, w->c->beta);
out:
    spi_scores_clear(&scores);
    return err;
}

/* All orientations have weight.  Weights are scratch of the task; the allocator returns the
 * block of the task before, which is still in cache. */
static spi_err match_all(struct spi_generation_work *w, const struct spi_range *a,
                         const struct spi_score_input *in, struct spi_scores *scores,
                         struct spi_soft *weights)
{
    spi_err err = a->block == 0 ? find_beta(w, in) : SPI_OK;

    if (err)
        return err;
    SPI_TRY(err = spi_soft_init(weights, (int)a->n, w->n_rows, w->level->views.Na), out);
    SPI_TRY(err = spi_score_soft(in, w->c->beta, w->S, weights, scores), out);
    scores->name = w->used;
    err = spi_posterior_soft(scores, &w->level->views, w->c->beta, weights,
                             w->post + a->block);
out:
    return err;
}

/* Add the images of a block to the averages. */
static spi_err average_block(struct spi_generation_work *w, const struct spi_range *a,
                             const struct spi_soft *weights)
{
    struct spi_replica_soft *soft = &w->soft[a->block % w->n_soft];
    int R = soft->average.band.R;
    float complex *h;
    spi_err err = SPI_NEW(h, w->c->data->rings.h_at[R], "match");

    if (err)
        return err;
    for (int64_t i = 0; i < a->n; i++)
        spi_average_image(&soft->average, (int)i, batch_record(w, a->first + i, R, h));
    spi_average_add(&soft->average, (int)a->n, w->fluence + a->first, weights->q,
                    weights->scale);
    free(h);
    return SPI_OK;
}

static spi_err keep_candidates(struct spi_generation_work *w, const struct spi_range *a,
                               const struct spi_scores *scores)
{
    int32_t *kept;
    int keep = w->c->half->keep;
    spi_err err = SPI_NEW(kept, a->n * keep, "match");

    if (err)
        return err;
    err = spi_best_directions(scores, &w->level->views, keep, kept);
    for (int64_t i = 0; i < a->n && !err; i++)
        memcpy(w->c->half->candidate + w->batch[a->first + i] * keep, kept + i * keep,
               (size_t)keep * sizeof *kept);
    free(kept);
    return err;
}

spi_err spi_task_match(void *const *data, const void *arg, const volatile int *stop)
{
    const struct spi_range *a = arg;
    struct spi_generation_work *w = a->w;
    struct spi_scores scores = {0};
    struct spi_score_input in;
    struct spi_soft weights = {0};
    float *records = NULL;
    spi_err err;

    (void)data;
    (void)stop;
    SPI_TRY(err = block_input(w, a, &records, &in), out);
    SPI_TRY(err = w->n_soft ? match_all(w, a, &in, &scores, &weights)
                            : match_some(w, a, &in, &scores),
            out);
    for (int64_t i = 0; i < a->n; i++) {
        float model = w->post[a->block].model_sum[i];

        w->fluence[a->first + i] = model > 0 ? w->counts[a->first + i] / model : 0;
    }
    if (w->n_soft)
        SPI_TRY(err = average_block(w, a, &weights), out);
    if (w->keep_candidates)
        err = keep_candidates(w, a, &scores);
out:
    free(records);
    spi_soft_clear(&weights);
    spi_scores_clear(&scores);
    return err;
}

/* ---- merge -------------------------------------------------------------------------- */

/* Mean fluence becomes 1: the scale lives in A alone. */
static void normalise_fluence(struct spi_generation_work *w)
{
    double sum = 0;

    for (int64_t i = 0; i < w->n_batch; i++)
        sum += (double)w->fluence[i];

    double mean = sum > 0 ? sum / (double)w->n_batch : 1;

    w->fluence_scale = (float)(1 / mean);
    for (int64_t i = 0; i < w->n_batch; i++)
        w->fluence[i] = (float)((double)w->fluence[i] / mean);
}

static void copy_best(struct spi_generation_work *w)
{
    for (int b = 0; b < w->n_blocks; b++)
        for (int i = 0; i < w->post[b].n_images; i++) {
            int64_t at = (int64_t)b * w->block_images + i, k = w->batch[at];

            w->c->half->best[k] = w->post[b].best[i];
            w->c->half->fluence[k] = w->fluence[at];
        }
    w->c->half->best_nd = w->level->views.nd;
}

/* Directions in tiles of neighbours: 4 x 4 cells. */
static spi_err make_places(struct spi_generation_work *w)
{
    int64_t nd = w->level->views.nd;
    int32_t *order = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(order, nd, "merge"), out);
    SPI_TRY(err = SPI_NEW(w->place, nd, "merge"), out);
    SPI_TRY(err = spi_sphere_order(nd, 4 * w->level->views.cell, order), out);
    for (int32_t i = 0; i < nd; i++)
        w->place[order[i]] = i;
out:
    free(order);
    return err;
}

static int64_t tile_of(const struct spi_generation_work *w, int32_t dir)
{
    return w->place[dir] / SPI_VIEW_TILE;
}

/* Cut the pairs between tiles, at[t + 1] is the end of tile t, into about equal blocks. */
static void cut_pairs(struct spi_generation_work *w, int64_t tiles, const int64_t *at)
{
    int64_t t = 0, done = 0;

    for (int b = 0; b < w->n_merges; b++) {
        int64_t upto = w->n_pairs * (b + 1) / w->n_merges;

        for (; t < tiles && at[t + 1] <= upto; t++)
            done = at[t + 1];
        w->pair_at[b + 1] = done;
    }
    w->pair_at[w->n_merges] = w->n_pairs;
}

/* All pairs sorted by tile, within it image by image (counting sort). */
spi_err spi_task_index(void *const *data, const void *arg, const volatile int *stop)
{
    struct spi_generation_work *w = *(struct spi_generation_work *const *)arg;
    int64_t tiles = (w->level->views.nd + SPI_VIEW_TILE - 1) / SPI_VIEW_TILE, *at = NULL;
    spi_err err;

    (void)data;
    (void)stop;
    normalise_fluence(w);
    if (w->store_best)
        copy_best(w);
    if (w->n_soft)
        return SPI_OK; /* averages: no pairs */
    for (int b = 0; b < w->n_blocks; b++)
        w->n_pairs += w->post[b].n_pairs;
    SPI_TRY(err = make_places(w), out);
    SPI_TRY(err = SPI_NEW(at, tiles + 1, "merge"), out);
    SPI_TRY(err = SPI_NEW(w->pair, w->n_pairs, "merge"), out);
    for (int b = 0; b < w->n_blocks; b++)
        for (int64_t i = 0; i < w->post[b].n_pairs; i++)
            at[tile_of(w, w->post[b].pair[i].dir) + 1]++;
    for (int64_t t = 0; t < tiles; t++)
        at[t + 1] += at[t];
    cut_pairs(w, tiles, at);
    for (int b = 0; b < w->n_blocks; b++)
        for (int64_t i = 0; i < w->post[b].n_pairs; i++) {
            const struct spi_posterior_pair *p = w->post[b].pair + i;

            w->pair[at[tile_of(w, p->dir)]++] =
                (struct spi_view_pair){.image = (int64_t)b * w->block_images + p->image,
                                       .dir = p->dir,
                                       .count = p->count,
                                       .angle = w->post[b].angle + p->first,
                                       .weight = w->post[b].weight + p->first};
        }
out:
    free(at);
    return err;
}

/* Rows of a block of directions: the averages of all partials, spread. */
static spi_err merge_averages(struct spi_generation_work *w, int block,
                              const struct spi_view_spec *spec)
{
    struct spi_average *sum = &w->soft[0].average;
    int64_t from = sum->tiles * block / w->n_merges, n,
            to = sum->tiles * (block + 1) / w->n_merges;
    int s = block % w->n_partials;

    for (int i = 1; i < w->n_soft; i++)
        for (int64_t t = from; t < to; t++)
            spi_average_join(sum, &w->soft[i].average, t);
    from *= SPI_LANES;
    n = (to * SPI_LANES < w->n_rows ? to * SPI_LANES : w->n_rows) - from;
    return spi_views_merge_average(spec, sum, from, n, w->used, w->fluence_scale,
                                   w->level->plan2, w->partial[s], &w->partial_weight[s]);
}

spi_err spi_task_merge(void *const *data, const void *arg, const volatile int *stop)
{
    const struct spi_range *a = arg;
    struct spi_generation_work *w = a->w;
    const struct spi_resolution_level *l = w->level;
    struct spi_view_spec spec = {.rings = &w->c->data->rings,
                                 .R = l->R_merge,
                                 .map = &w->c->data->map,
                                 .views = l->views,
                                 .place = w->place,
                                 .harmonics = batch_record,
                                 .ahead = batch_ahead,
                                 .images = w,
                                 .fluence = w->fluence,
                                 .n_group = w->c->n_group,
                                 .group = (const double(*)[9])w->c->group,
                                 .points = l->points2};
    int s = a->block % w->n_partials;
    int64_t from = w->pair_at[a->block], n = w->pair_at[a->block + 1] - from;
    spi_err err;

    (void)data;
    (void)stop;
    if (!w->partial[s] && (err = spi_nufft_grid_new(l->plan2, 2, &w->partial[s])))
        return err;
    if (w->n_soft)
        return merge_averages(w, a->block, &spec);
    return spi_views_merge(&spec, n, w->pair + from, l->plan2, w->partial[s],
                           &w->partial_weight[s]);
}

spi_err spi_task_solve(void *const *data, const void *arg, const volatile int *stop)
{
    struct spi_generation_work *w = *(struct spi_generation_work *const *)arg;
    const struct spi_resolution_level *l = w->level;
    struct spi_normal N;
    struct spi_cg_report report;
    size_t count = spi_nufft_grid_floats(l->plan2, 2);
    spi_err err;

    (void)data;
    for (int s = 1; s < w->n_partials; s++) {
        for (size_t i = 0; i < count; i++)
            w->partial[0][i] += w->partial[s][i];
        w->partial_weight[0] += w->partial_weight[s];
    }
    err = spi_normal_init(&N, l->n, l->support_A, l->plan2, w->partial[0],
                          w->partial_weight[0]);
    if (err)
        return err;
    if (w->c->A.n != l->n || fabs(w->c->A.step / l->dx - 1) > 1e-12 || w->c->ring_scale) {
        /* another grid, or a random initialisation whose scale is not the data's: CG from zero */
        spi_volume_clear(&w->c->A);
        SPI_TRY(err = spi_volume_init(&w->c->A, l->n, l->dx), out);
        free(w->c->ring_scale);
        w->c->ring_scale = NULL;
    }
    struct spi_cg_options opt = {.n_iter = l->n_cg, .tol = l->cg_tol, .stop = stop};

    err = spi_normal_solve(&N, l->lambda, &opt, w->c->A.data, &report);
    w->c->residual = err ? 0 : report.residual;
out:
    spi_normal_clear(&N);
    return err;
}
