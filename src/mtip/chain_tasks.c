/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/chain_tasks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/sphere.h"

/* ---- slice -------------------------------------------------------------------------- */

spi_err spi_task_prepare(void *const *data, const void *arg, const volatile int *stop)
{
    struct spi_chain *c = *(struct spi_chain *const *)arg;
    spi_err err = spi_nufft_grid_new(c->plan, 1, &c->fine);

    (void)data;
    (void)stop;
    return err ? err : spi_nufft_prepare(c->plan, c->A.data, c->fine);
}

spi_err spi_task_slice(void *const *data, const void *arg, const volatile int *stop)
{
    const struct spi_range *a = arg;
    struct spi_chain *c = a->c;
    const struct spi_level *l = c->level;
    float inv_var[4096];
    struct spi_template_spec spec = {.rings = &c->data->rings,
                                     .band = &l->band,
                                     .map = &c->data->map,
                                     .views = l->views,
                                     .kind = l->kind,
                                     .ring_scale = c->ring_scale,
                                     .inv_var = inv_var,
                                     .points = c->points};

    (void)data;
    (void)stop;
    spi_data_inv_var(c->data, l->kind, l->band.R, inv_var);
    return spi_templates_make(&spec, c->plan, c->fine, c->used, a->first, a->n,
                              c->templates + a->first * l->band.floats,
                              c->table + a->first * l->views.Na,
                              c->S + a->first * l->views.Na);
}

/* ---- match -------------------------------------------------------------------------- */

static const float complex *batch_record(const void *chain, int64_t i, int R,
                                         float complex *h)
{
    const struct spi_chain *c = chain;

    spi_data_record(c->data, c->half->image[c->batch[i]], R, h);
    return h;
}

static void batch_ahead(const void *chain, int64_t i)
{
    const struct spi_chain *c = chain;

    spi_data_ahead(c->data, c->half->image[c->batch[i]]);
}

static spi_err pack_block(struct spi_chain *c, const struct spi_range *a, float *records)
{
    const struct spi_rings *g = &c->data->rings;
    const struct spi_band *b = &c->level->band;
    float complex *h;
    spi_err err = SPI_NEW(h, g->h_at[b->R], "match");

    for (int64_t i = a->first; i < a->first + a->n && !err; i++) {
        if (i + 2 < a->first + a->n)
            batch_ahead(c, i + 2);
        batch_record(c, i, b->R, h);
        spi_band_pack(b, g, h, NULL, records);
        c->counts[i] = spi_ring_counts(g, b->R, h);
        records += b->floats;
    }
    free(h);
    return err;
}

/* Images and templates of a block; records, to be freed by the caller. */
static spi_err block_input(struct spi_chain *c, const struct spi_range *a, float **records,
                           struct spi_score_input *in)
{
    const struct spi_level *l = c->level;
    spi_err err;

    SPI_TRY(err = SPI_NEW(*records, a->n * l->band.floats, "match"), out);
    SPI_TRY(err = pack_block(c, a, *records), out);
    *in = (struct spi_score_input){.band = &l->band,
                                   .views = l->views,
                                   .kind = l->kind,
                                   .templates = c->templates,
                                   .table = c->table,
                                   .n_images = (int)a->n,
                                   .records = *records,
                                   .counts = c->counts + a->first};
    if (!c->first)
        in->views.nd = c->n_rows;
out:
    return err;
}

/* The scores that count of a block. */
static spi_err score_block(struct spi_chain *c, const struct spi_range *a,
                           const struct spi_score_input *in, struct spi_scores *scores)
{
    double n = (double)in->views.nd * in->views.Na;
    int64_t *first = NULL;
    spi_err err;

    if (c->first) {
        SPI_TRY(err = SPI_NEW(first, a->n + 1, "match"), out);
        for (int64_t i = 0; i <= a->n; i++)
            first[i] = c->first[a->first + i] - c->first[a->first];
        err = spi_score_some(in, first, c->dir + c->first[a->first], c->row, scores);
    } else {
        /* beta is not known, or much of it counts */
        if (a->block == 0 || c->perplexity >= spi_all_from * n)
            err = spi_score_all(in, scores);
        else
            err =
                spi_score_peaks(in, spi_posterior_drop(c->beta, c->perplexity, n), scores);
        scores->name = c->used;
    }
out:
    free(first);
    return err;
}

/* Some orientations have weight: they are kept until all images are matched. */
static spi_err match_some(struct spi_chain *c, const struct spi_range *a,
                          const struct spi_score_input *in, struct spi_scores *scores)
{
    spi_err err = score_block(c, a, in, scores);

    if (err)
        return err;
    if (a->block == 0)
        c->beta = spi_posterior_beta(scores, c->perplexity, c->beta);
    return spi_posterior_make(scores, &c->level->views, c->beta, c->perplexity, c->S,
                              c->first ? c->row : NULL, c->post + a->block);
}

/* beta from the first images of the first block. */
static spi_err find_beta(struct spi_chain *c, const struct spi_score_input *in)
{
    struct spi_score_input first = *in;
    struct spi_scores scores = {0};
    spi_err err;

    if (first.n_images > SPI_IMAGES_FOR_BETA)
        first.n_images = SPI_IMAGES_FOR_BETA;
    SPI_TRY(err = spi_score_all(&first, &scores), out);
    c->beta = spi_posterior_beta(&scores, c->perplexity, c->beta);
out:
    spi_scores_clear(&scores);
    return err;
}

/* All orientations have weight.  Weights live as long as the task: memory of the last one,
 * still in cache. */
static spi_err match_all(struct spi_chain *c, const struct spi_range *a,
                         const struct spi_score_input *in, struct spi_scores *scores,
                         struct spi_soft *weights)
{
    spi_err err = a->block == 0 ? find_beta(c, in) : SPI_OK;

    if (err)
        return err;
    SPI_TRY(err = spi_soft_init(weights, (int)a->n, c->n_rows, c->level->views.Na), out);
    SPI_TRY(err = spi_score_soft(in, c->beta, c->S, weights, scores), out);
    scores->name = c->used;
    err =
        spi_posterior_soft(scores, &c->level->views, c->beta, weights, c->post + a->block);
out:
    return err;
}

/* Add the images of a block to the averages. */
static spi_err average_block(struct spi_chain *c, const struct spi_range *a,
                             const struct spi_soft *weights)
{
    struct spi_chain_soft *soft = &c->soft[a->block % c->n_soft];
    int R = soft->average.band.R;
    float complex *h;
    spi_err err = SPI_NEW(h, c->data->rings.h_at[R], "match");

    if (err)
        return err;
    for (int64_t i = 0; i < a->n; i++)
        spi_average_image(&soft->average, (int)i, batch_record(c, a->first + i, R, h));
    spi_average_add(&soft->average, (int)a->n, c->fluence + a->first, weights->q,
                    weights->scale);
    free(h);
    return SPI_OK;
}

static spi_err keep_candidates(struct spi_chain *c, const struct spi_range *a,
                               const struct spi_scores *scores)
{
    int32_t *kept;
    int keep = c->half->keep;
    spi_err err = SPI_NEW(kept, a->n * keep, "match");

    if (err)
        return err;
    err = spi_best_directions(scores, &c->level->views, keep, kept);
    for (int64_t i = 0; i < a->n && !err; i++)
        memcpy(c->half->candidate + c->batch[a->first + i] * keep, kept + i * keep,
               (size_t)keep * sizeof *kept);
    free(kept);
    return err;
}

spi_err spi_task_match(void *const *data, const void *arg, const volatile int *stop)
{
    const struct spi_range *a = arg;
    struct spi_chain *c = a->c;
    struct spi_scores scores = {0};
    struct spi_score_input in;
    struct spi_soft weights = {0};
    float *records = NULL;
    spi_err err;

    (void)data;
    (void)stop;
    SPI_TRY(err = block_input(c, a, &records, &in), out);
    SPI_TRY(err = c->n_soft ? match_all(c, a, &in, &scores, &weights)
                            : match_some(c, a, &in, &scores),
            out);
    for (int64_t i = 0; i < a->n; i++) {
        float model = c->post[a->block].model_sum[i];

        c->fluence[a->first + i] = model > 0 ? c->counts[a->first + i] / model : 0;
    }
    if (c->n_soft)
        SPI_TRY(err = average_block(c, a, &weights), out);
    if (c->keep_candidates)
        err = keep_candidates(c, a, &scores);
out:
    free(records);
    spi_soft_clear(&weights);
    spi_scores_clear(&scores);
    return err;
}

/* ---- merge -------------------------------------------------------------------------- */

/* Mean fluence becomes 1: the scale lives in A alone. */
static void normalise_fluence(struct spi_chain *c)
{
    double sum = 0;

    for (int64_t i = 0; i < c->n_batch; i++)
        sum += (double)c->fluence[i];

    double mean = sum > 0 ? sum / (double)c->n_batch : 1;

    c->fluence_scale = (float)(1 / mean);
    for (int64_t i = 0; i < c->n_batch; i++)
        c->fluence[i] = (float)((double)c->fluence[i] / mean);
}

static void copy_best(struct spi_chain *c)
{
    for (int b = 0; b < c->n_blocks; b++)
        for (int i = 0; i < c->post[b].n_images; i++) {
            int64_t at = (int64_t)b * c->block_images + i, k = c->batch[at];

            c->half->best[k] = c->post[b].best[i];
            c->half->fluence[k] = c->fluence[at];
        }
    c->half->best_nd = c->level->views.nd;
}

/* Directions in tiles of neighbours: 4 x 4 cells. */
static spi_err make_places(struct spi_chain *c)
{
    int64_t nd = c->level->views.nd;
    int32_t *order = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(order, nd, "merge"), out);
    SPI_TRY(err = SPI_NEW(c->place, nd, "merge"), out);
    SPI_TRY(err = spi_sphere_order(nd, 4 * c->level->views.cell, order), out);
    for (int32_t i = 0; i < nd; i++)
        c->place[order[i]] = i;
out:
    free(order);
    return err;
}

static int64_t tile_of(const struct spi_chain *c, int32_t dir)
{
    return c->place[dir] / SPI_VIEW_TILE;
}

/* Cut the pairs between tiles, at[t + 1] is the end of tile t, into about equal blocks. */
static void cut_pairs(struct spi_chain *c, int64_t tiles, const int64_t *at)
{
    int64_t t = 0, done = 0;

    for (int b = 0; b < c->n_merges; b++) {
        int64_t upto = c->n_pairs * (b + 1) / c->n_merges;

        for (; t < tiles && at[t + 1] <= upto; t++)
            done = at[t + 1];
        c->pair_at[b + 1] = done;
    }
    c->pair_at[c->n_merges] = c->n_pairs;
}

/* All pairs sorted by tile, within it image by image (counting sort). */
spi_err spi_task_index(void *const *data, const void *arg, const volatile int *stop)
{
    struct spi_chain *c = *(struct spi_chain *const *)arg;
    int64_t tiles = (c->level->views.nd + SPI_VIEW_TILE - 1) / SPI_VIEW_TILE, *at = NULL;
    spi_err err;

    (void)data;
    (void)stop;
    normalise_fluence(c);
    if (c->store_best)
        copy_best(c);
    if (c->n_soft)
        return SPI_OK; /* averages: no pairs */
    for (int b = 0; b < c->n_blocks; b++)
        c->n_pairs += c->post[b].n_pairs;
    SPI_TRY(err = make_places(c), out);
    SPI_TRY(err = SPI_NEW(at, tiles + 1, "merge"), out);
    SPI_TRY(err = SPI_NEW(c->pair, c->n_pairs, "merge"), out);
    for (int b = 0; b < c->n_blocks; b++)
        for (int64_t i = 0; i < c->post[b].n_pairs; i++)
            at[tile_of(c, c->post[b].pair[i].dir) + 1]++;
    for (int64_t t = 0; t < tiles; t++)
        at[t + 1] += at[t];
    cut_pairs(c, tiles, at);
    for (int b = 0; b < c->n_blocks; b++)
        for (int64_t i = 0; i < c->post[b].n_pairs; i++) {
            const struct spi_posterior_pair *p = c->post[b].pair + i;

            c->pair[at[tile_of(c, p->dir)]++] =
                (struct spi_view_pair){.image = (int64_t)b * c->block_images + p->image,
                                       .dir = p->dir,
                                       .count = p->count,
                                       .angle = c->post[b].angle + p->first,
                                       .weight = c->post[b].weight + p->first};
        }
out:
    free(at);
    return err;
}

/* Rows of a block of directions: the averages of all slots, spread. */
static spi_err merge_averages(struct spi_chain *c, int block,
                              const struct spi_view_spec *spec)
{
    struct spi_average *sum = &c->soft[0].average;
    int64_t from = sum->tiles * block / c->n_merges, n,
            to = sum->tiles * (block + 1) / c->n_merges;
    int s = block % c->n_slots;

    for (int i = 1; i < c->n_soft; i++)
        for (int64_t t = from; t < to; t++)
            spi_average_join(sum, &c->soft[i].average, t);
    from *= SPI_LANES;
    n = (to * SPI_LANES < c->n_rows ? to * SPI_LANES : c->n_rows) - from;
    return spi_views_merge_average(spec, sum, from, n, c->used, c->fluence_scale,
                                   c->level->plan2, c->slot[s], &c->slot_weight[s]);
}

spi_err spi_task_merge(void *const *data, const void *arg, const volatile int *stop)
{
    const struct spi_range *a = arg;
    struct spi_chain *c = a->c;
    const struct spi_level *l = c->level;
    struct spi_view_spec spec = {.rings = &c->data->rings,
                                 .R = l->R_merge,
                                 .map = &c->data->map,
                                 .views = l->views,
                                 .place = c->place,
                                 .harmonics = batch_record,
                                 .ahead = batch_ahead,
                                 .images = c,
                                 .fluence = c->fluence,
                                 .n_group = c->n_group,
                                 .group = (const double(*)[9])c->group,
                                 .points = l->points2};
    int s = a->block % c->n_slots;
    int64_t from = c->pair_at[a->block], n = c->pair_at[a->block + 1] - from;
    spi_err err;

    (void)data;
    (void)stop;
    if (!c->slot[s] && (err = spi_nufft_grid_new(l->plan2, 2, &c->slot[s])))
        return err;
    if (c->n_soft)
        return merge_averages(c, a->block, &spec);
    return spi_views_merge(&spec, n, c->pair + from, l->plan2, c->slot[s],
                           &c->slot_weight[s]);
}

spi_err spi_task_solve(void *const *data, const void *arg, const volatile int *stop)
{
    struct spi_chain *c = *(struct spi_chain *const *)arg;
    const struct spi_level *l = c->level;
    struct spi_normal N;
    struct spi_cg_report report;
    size_t count = spi_nufft_grid_floats(l->plan2, 2);
    spi_err err;

    (void)data;
    for (int s = 1; s < c->n_slots; s++) {
        for (size_t i = 0; i < count; i++)
            c->slot[0][i] += c->slot[s][i];
        c->slot_weight[0] += c->slot_weight[s];
    }
    err = spi_normal_init(&N, l->n, l->support_A, l->plan2, c->slot[0], c->slot_weight[0]);
    if (err)
        return err;
    if (c->A.n != l->n || fabs(c->A.step / l->dx - 1) > 1e-12 || c->ring_scale) {
        /* another grid, or a random start whose scale is not the data's: CG from zero */
        spi_volume_clear(&c->A);
        SPI_TRY(err = spi_volume_init(&c->A, l->n, l->dx), out);
        free(c->ring_scale);
        c->ring_scale = NULL;
    }
    struct spi_cg_options opt = {.n_iter = l->n_cg, .tol = l->cg_tol, .stop = stop};

    err = spi_normal_solve(&N, l->lambda, &opt, c->A.data, &report);
    c->residual = err ? 0 : report.residual;
out:
    spi_normal_clear(&N);
    return err;
}
