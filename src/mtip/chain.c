#include "mtip/chain.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/interp.h"
#include "math/rot.h"
#include "math/sphere.h"
#include "math/symmetry.h"

/* ---- half sets --------------------------------------------------------------------- */

spi_err spi_half_init(struct spi_half *h, const struct spi_data *d, int which, int keep)
{
    spi_err err;

    *h = (struct spi_half){.n_images = (d->n_images + (which == 0)) / 2, .keep = keep};
    SPI_TRY(err = SPI_NEW(h->image, h->n_images, "half set"), fail);
    SPI_TRY(err = SPI_NEW(h->candidate, h->n_images * keep, "half set"), fail);
    SPI_TRY(err = SPI_NEW(h->fluence, h->n_images, "half set"), fail);
    SPI_TRY(err = SPI_NEW(h->best, h->n_images, "half set"), fail);
    for (int64_t i = 0; i < h->n_images; i++)
        h->image[i] = 2 * i + which;
    return SPI_OK;
fail:
    spi_half_clear(h);
    return err;
}

void spi_half_clear(struct spi_half *h)
{
    free(h->image);
    free(h->candidate);
    free(h->fluence);
    free(h->best);
    *h = (struct spi_half){0};
}

/* ---- the random start ---------------------------------------------------------------- */

/* A dozen Gaussian blobs, sigma 0.1 D, centres within 0.35 D. */
static void random_blobs(struct spi_volume *rho, double D, struct spi_rng *rng)
{
    enum { BLOBS = 12 };
    int n = rho->n;
    double sigma = 0.1 * D / rho->step;

    for (int b = 0; b < BLOBS; b++) {
        double c[3], r2;

        do {
            r2 = 0;
            for (int i = 0; i < 3; i++) {
                c[i] = 2 * spi_rng_uniform(rng) - 1;
                r2 += c[i] * c[i];
            }
        } while (r2 > 1);
        for (int i = 0; i < 3; i++)
            c[i] = c[i] * 0.35 * D / rho->step + n / 2;
        for (int z = 0; z < n; z++)
            for (int y = 0; y < n; y++)
                for (int x = 0; x < n; x++) {
                    double d2 = (x - c[0]) * (x - c[0]) + (y - c[1]) * (y - c[1]) +
                                (z - c[2]) * (z - c[2]);

                    rho->data[spi_volume_index(rho, z, y, x)] +=
                        (float)exp(-d2 / (2 * sigma * sigma));
                }
    }
}

/* Factor of each ring that gives the model the data's ring means. */
static spi_err scale_rings(struct spi_chain *c, const struct spi_level *l)
{
    enum { DIRECTIONS = 100 };
    double *mean = NULL;
    float *fine = NULL;
    spi_nufft *plan = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(c->ring_scale, l->R_merge, "start model"), out);
    SPI_TRY(err = SPI_NEW(mean, l->R_merge, "start model"), out);
    SPI_TRY(err = spi_nufft_new(c->A.n, c->A.step, l->nufft_tol, &plan), out);
    SPI_TRY(err = spi_nufft_grid_new(plan, 1, &fine), out);
    SPI_TRY(err = spi_nufft_prepare(plan, c->A.data, fine), out);
    SPI_TRY(err = spi_ring_means_of_model(&c->data->rings, l->R_merge, plan, fine,
                                          DIRECTIONS, mean),
            out);
    for (int r = 0; r < l->R_merge; r++)
        c->ring_scale[r] = mean[r] > 0 ? (float)(c->data->ring_mean[r] / mean[r]) : 0;
out:
    spi_nufft_free(plan);
    free(mean);
    free(fine);
    return err;
}

spi_err spi_chain_init(struct spi_chain *c, const struct spi_data *d, struct spi_half *half,
                       const struct spi_level *level, uint64_t seed, int index)
{
    struct spi_rng rng = spi_rng_stream(seed, SPI_RNG_START_MODEL, (uint64_t)index);
    struct spi_volume rho = {0};
    spi_err err;

    *c = (struct spi_chain){.data = d, .half = half, .seed = seed, .index = index};
    SPI_TRY(err = spi_volume_init(&rho, level->n, level->dx), fail);
    random_blobs(&rho, d->rings.diameter_A, &rng);
    SPI_TRY(err = spi_volume_autocorrelate(&rho, &c->A), fail);
    SPI_TRY(err = scale_rings(c, level), fail);
    SPI_TRY(err = spi_chain_symmetry(c, "C1", NULL), fail);
    spi_volume_clear(&rho);
    return SPI_OK;
fail:
    spi_volume_clear(&rho);
    spi_chain_clear(c);
    return err;
}

spi_err spi_chain_symmetry(struct spi_chain *c, const char *group, const double axes[9])
{
    static const double standard[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    double(*ops)[9];
    int n;
    spi_err err = spi_symmetry_parse(group, &ops, &n);

    if (err)
        return err;
    memcpy(c->axes, axes ? axes : standard, sizeof c->axes);
    spi_symmetry_turn(n, ops, c->axes);
    snprintf(c->symmetry, sizeof c->symmetry, "%s", group);
    free(c->group);
    c->group = ops;
    c->n_group = n;
    return SPI_OK;
}

void spi_chain_clear(struct spi_chain *c)
{
    spi_chain_settle(c);
    spi_volume_clear(&c->A);
    free(c->ring_scale);
    free(c->group);
    *c = (struct spi_chain){0};
}

/* ---- tasks: slice -------------------------------------------------------------------- */

static spi_err task_prepare(void *const *data, const void *arg, const volatile int *stop)
{
    struct spi_chain *c = *(struct spi_chain *const *)arg;
    spi_err err = spi_nufft_grid_new(c->plan, 1, &c->fine);

    (void)data;
    (void)stop;
    return err ? err : spi_nufft_prepare(c->plan, c->A.data, c->fine);
}

struct range {
    struct spi_chain *c;
    int block;
    int64_t first, n;
};

static spi_err task_slice(void *const *data, const void *arg, const volatile int *stop)
{
    const struct range *a = arg;
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

/* ---- tasks: match -------------------------------------------------------------------- */

/* From this perplexity on, as a fraction of all orientations, it is faster to give all of
 * them weight (doc/performance.md). */
static const double all_from = 2e-4;

static const float complex *batch_record(const void *chain, int64_t i)
{
    const struct spi_chain *c = chain;

    return spi_data_record(c->data, c->half->image[c->batch[i]]);
}

static spi_err pack_block(const struct spi_chain *c, const struct range *a, float *records,
                          float *counts)
{
    const struct spi_band *b = &c->level->band;

    for (int64_t i = 0; i < a->n; i++) {
        int64_t image = c->half->image[c->batch[a->first + i]];

        spi_band_pack(b, &c->data->rings, spi_data_record(c->data, image), NULL,
                      records + i * b->floats);
        counts[i] = spi_data_counts(c->data, image, b->R);
    }
    return SPI_OK;
}

/* Images and templates of a block; records, to be freed by the caller, and counts [a->n].
 */
static spi_err block_input(struct spi_chain *c, const struct range *a, float **records,
                           float *counts, struct spi_score_input *in)
{
    const struct spi_level *l = c->level;
    spi_err err;

    SPI_TRY(err = SPI_NEW(*records, a->n * l->band.floats, "match"), out);
    SPI_TRY(err = pack_block(c, a, *records, counts), out);
    *in = (struct spi_score_input){.band = &l->band,
                                   .views = l->views,
                                   .kind = l->kind,
                                   .templates = c->templates,
                                   .table = c->table,
                                   .n_images = (int)a->n,
                                   .records = *records,
                                   .counts = counts};
    if (!c->first)
        in->views.nd = c->n_rows;
out:
    return err;
}

/* The scores that count of a block. */
static spi_err score_block(struct spi_chain *c, const struct range *a,
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
        if (a->block == 0 || c->perplexity >= all_from * n)
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
static spi_err match_some(struct spi_chain *c, const struct range *a,
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

/* All orientations have weight. */
static spi_err match_all(struct spi_chain *c, const struct range *a,
                         const struct spi_score_input *in, struct spi_scores *scores)
{
    struct spi_chain_soft *soft = &c->soft[a->block % c->n_soft];
    spi_err err = a->block == 0 ? find_beta(c, in) : SPI_OK;

    if (err)
        return err;
    SPI_TRY(err = spi_score_soft(in, c->beta, c->S, &soft->weights, scores), out);
    scores->name = c->used;
    err = spi_posterior_soft(scores, &c->level->views, c->beta, &soft->weights,
                             c->post + a->block);
out:
    return err;
}

/* Add the images of a block to the averages. */
static spi_err average_block(struct spi_chain *c, const struct range *a)
{
    struct spi_chain_soft *soft = &c->soft[a->block % c->n_soft];
    const float complex **h;
    spi_err err = SPI_NEW(h, a->n, "match");

    if (err)
        return err;
    for (int64_t i = 0; i < a->n; i++)
        h[i] = batch_record(c, a->first + i);
    spi_average_add(&soft->average, (int)a->n, h, c->fluence + a->first, soft->weights.q,
                    soft->weights.scale);
    free(h);
    return SPI_OK;
}

static spi_err keep_candidates(struct spi_chain *c, const struct range *a,
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

static spi_err task_match(void *const *data, const void *arg, const volatile int *stop)
{
    const struct range *a = arg;
    struct spi_chain *c = a->c;
    struct spi_scores scores = {0};
    struct spi_score_input in;
    float *records = NULL, *counts = NULL;
    spi_err err;

    (void)data;
    (void)stop;
    SPI_TRY(err = SPI_NEW(counts, a->n, "match"), out);
    SPI_TRY(err = block_input(c, a, &records, counts, &in), out);
    SPI_TRY(err = (c->n_soft ? match_all : match_some)(c, a, &in, &scores), out);
    for (int64_t i = 0; i < a->n; i++) {
        float model = c->post[a->block].model_sum[i];

        c->fluence[a->first + i] = model > 0 ? counts[i] / model : 0;
    }
    if (c->n_soft)
        SPI_TRY(err = average_block(c, a), out);
    if (c->keep_candidates)
        err = keep_candidates(c, a, &scores);
out:
    free(records);
    free(counts);
    spi_scores_clear(&scores);
    return err;
}

/* ---- tasks: merge -------------------------------------------------------------------- */

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

/* All pairs sorted by direction (counting sort), cut into blocks of about equal work. */
static spi_err task_index(void *const *data, const void *arg, const volatile int *stop)
{
    struct spi_chain *c = *(struct spi_chain *const *)arg;
    int64_t nd = c->level->views.nd, *at = NULL, done = 0;
    spi_err err;

    (void)data;
    (void)stop;
    normalise_fluence(c);
    if (c->store_best)
        copy_best(c);
    for (int b = 0; b < c->n_blocks; b++)
        c->n_pairs += c->post[b].n_pairs;
    SPI_TRY(err = SPI_NEW(at, nd + 1, "merge"), out);
    SPI_TRY(err = SPI_NEW(c->pair, c->n_pairs, "merge"), out);
    for (int b = 0; b < c->n_blocks; b++)
        for (int64_t i = 0; i < c->post[b].n_pairs; i++)
            at[c->post[b].pair[i].dir + 1]++;
    for (int64_t d = 0; d < nd; d++)
        at[d + 1] += at[d];
    for (int k = 0, b = 0; b < c->n_merges; b++) { /* cut between directions */
        int64_t upto = c->n_pairs * (b + 1) / c->n_merges;

        while (k < nd && at[k + 1] <= upto)
            k++;
        done = b == c->n_merges - 1 ? c->n_pairs : at[k];
        c->pair_at[b + 1] = done;
    }
    for (int b = 0; b < c->n_blocks; b++)
        for (int64_t i = 0; i < c->post[b].n_pairs; i++) {
            const struct spi_posterior_pair *p = c->post[b].pair + i;

            c->pair[at[p->dir]++] =
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

static spi_err task_merge(void *const *data, const void *arg, const volatile int *stop)
{
    const struct range *a = arg;
    struct spi_chain *c = a->c;
    const struct spi_level *l = c->level;
    struct spi_view_spec spec = {.rings = &c->data->rings,
                                 .R = l->R_merge,
                                 .map = &c->data->map,
                                 .views = l->views,
                                 .harmonics = batch_record,
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

static spi_err task_solve(void *const *data, const void *arg, const volatile int *stop)
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

/* ---- one generation ------------------------------------------------------------------ */

/* For every direction of one grid those of another within `radius`: of direction k they
 * are list[first[k] ... first[k + 1] - 1]. */
static spi_err find_near(int64_t nd_from, int64_t nd_to, double radius, int64_t **first,
                         int32_t **list)
{
    enum { NEAR_MAX = 512 };
    int64_t n = 0, cap = 0;
    spi_err err = SPI_NEW(*first, nd_from + 1, "candidates");

    for (int64_t k = 0; k < nd_from && !err; k++) {
        double dir[3];

        err = spi_grow((void **)list, sizeof **list, n, n + NEAR_MAX, &cap, "candidates");
        if (err)
            break;
        spi_sphere_point(nd_from, k, dir);

        int found = spi_sphere_near(nd_to, dir, radius, NEAR_MAX, *list + n);

        n += found < NEAR_MAX ? found : NEAR_MAX;
        (*first)[k + 1] = n;
    }
    return err;
}

/* Candidate pairs of every image of the batch and the directions they need. */
static spi_err find_pairs(struct spi_chain *c, const struct spi_generation *gen)
{
    const struct spi_half *h = c->half;
    int64_t n = 0, cap = 0, nd = c->level->views.nd, *first = NULL;
    int32_t *mark = NULL, *near = NULL;
    spi_err err;

    SPI_TRY(err = find_near(h->candidate_nd, nd, gen->radius, &first, &near), out);
    SPI_TRY(err = SPI_NEW(c->first, c->n_batch + 1, "candidates"), out);
    SPI_TRY(err = SPI_NEW(c->row, nd, "candidates"), out);
    SPI_TRY(err = SPI_NEW(mark, nd, "candidates"), out);
    for (int64_t i = 0; i < c->n_batch; i++) {
        const int32_t *kept = h->candidate + c->batch[i] * h->keep;

        for (int k = 0; k < gen->best_of && k < h->keep && kept[k] >= 0; k++) {
            int64_t from = first[kept[k]], to = first[kept[k] + 1];

            SPI_TRY(err = spi_grow((void **)&c->dir, sizeof *c->dir, n, n + to - from, &cap,
                                   "candidates"),
                    out);
            for (int64_t j = from; j < to; j++)
                if (mark[near[j]] != (int32_t)(i + 1)) { /* each direction once an image */
                    mark[near[j]] = (int32_t)(i + 1);
                    c->row[near[j]] = 1;
                    c->dir[n++] = near[j];
                }
        }
        c->first[i + 1] = n;
    }
    SPI_TRY(err = SPI_NEW(c->used, nd, "candidates"), out);
    for (int32_t d = 0; d < nd; d++)
        if (c->row[d]) {
            c->used[c->n_rows] = d;
            c->row[d] = (int32_t)c->n_rows++;
        }
out:
    free(first);
    free(near);
    free(mark);
    return err;
}

/* All directions, or with a point group those of its asymmetric unit; if all have weight,
 * neighbours together: where an image has none, it has none in whole tiles. */
static spi_err all_rows(struct spi_chain *c)
{
    const struct spi_level *l = c->level;
    int64_t nd = l->views.nd;
    int32_t *order = NULL;
    spi_err err;

    c->n_rows = nd;
    if (c->n_group < 2 && !c->n_soft)
        return SPI_OK;
    SPI_TRY(err = SPI_NEW(c->used, nd, "candidates"), out);
    SPI_TRY(err = SPI_NEW(order, nd, "candidates"), out);
    /* tiles of SPI_LANES = 16: 4 x 4 cells */
    SPI_TRY(err = spi_sphere_order(nd, 4 * l->views.cell, order), out);
    c->n_rows = 0;
    for (int32_t i = 0; i < nd; i++) {
        double dir[3];

        spi_sphere_point(nd, order[i], dir);
        if (c->n_group < 2 || spi_symmetry_in_unit(c->n_group, c->group, dir))
            c->used[c->n_rows++] = order[i];
    }
out:
    free(order);
    return err;
}

static spi_err allocate_soft(struct spi_chain *c)
{
    const struct spi_level *l = c->level;
    int images = c->block_images < c->n_batch ? c->block_images : (int)c->n_batch;
    spi_err err = SPI_OK;

    for (int s = 0; s < c->n_soft && !err; s++) {
        struct spi_chain_soft *soft = &c->soft[s];

        SPI_TRY(err = spi_soft_init(&soft->weights, images, c->n_rows, l->views.Na), out);
        err = spi_average_init(&soft->average, &c->data->rings, l->R_merge, l->views.Na,
                               c->n_rows, images);
    }
out:
    return err;
}

static spi_err allocate(struct spi_chain *c)
{
    const struct spi_level *l = c->level;
    spi_err err;

    SPI_TRY(err = spi_nufft_new(c->A.n, c->A.step, l->nufft_tol, &c->plan), out);
    SPI_TRY(err = spi_ring_points(&c->data->rings, l->band.R, c->plan, &c->points), out);
    SPI_TRY(err = SPI_NEW_UNSET(c->templates, c->n_rows * l->band.floats, "templates"),
            out);
    SPI_TRY(err = SPI_NEW_UNSET(c->table, c->n_rows * l->views.Na, "templates"), out);
    SPI_TRY(err = SPI_NEW_UNSET(c->S, c->n_rows * l->views.Na, "templates"), out);
    SPI_TRY(err = SPI_NEW(c->post, c->n_blocks, "posterior"), out);
    SPI_TRY(err = SPI_NEW(c->fluence, c->n_batch, "fluence"), out);
    SPI_TRY(err = SPI_NEW(c->r_post, c->n_blocks, "posterior"), out);
    SPI_TRY(err = allocate_soft(c), out);
    /* partial sums: as many as memory likes, never a function of the number of workers;
     * few large blocks, for each walks through all of the grid */
    c->n_slots = l->n <= 32 ? SPI_SLOTS_MAX : 2;
    c->n_merges = 2 * c->n_slots;
    SPI_TRY(err = SPI_NEW(c->pair_at, c->n_merges + 1, "merge"), out);
out:
    return err;
}

static spi_err make_regions(struct spi_chain *c)
{
    struct spi_graph *g = c->g;
    spi_err err;

    SPI_TRY(err = spi_region_new(g, &c->A, sizeof c->A, &c->r_model), out);
    SPI_TRY(err = spi_region_new(g, &c->fine, sizeof c->fine, &c->r_fine), out);
    SPI_TRY(err = spi_region_new(g, &c->beta, sizeof c->beta, &c->r_beta), out);
    SPI_TRY(err = spi_region_new(g, &c->pair, sizeof c->pair, &c->r_pairs), out);
    for (int b = 0; b < SPI_BLOCKS_MAX; b++)
        SPI_TRY(
            err = spi_region_new(g, &c->templates, sizeof c->templates, &c->r_templates[b]),
            out);
    for (int s = 0; s < c->n_slots; s++)
        SPI_TRY(err = spi_region_new(g, &c->slot[s], sizeof c->slot[s], &c->r_slot[s]),
                out);
    for (int s = 0; s < c->n_soft; s++)
        SPI_TRY(err = spi_region_new(g, &c->soft[s], sizeof c->soft[s], &c->soft[s].region),
                out);
    for (int b = 0; b < c->n_blocks; b++)
        SPI_TRY(err = spi_region_new(g, c->post + b, sizeof *c->post, &c->r_post[b]), out);
out:
    return err;
}

/* slice: fine grid <- A; templates of each block of directions <- fine grid */
static spi_err submit_slice(struct spi_chain *c)
{
    struct spi_access prepare[2] = {{c->r_model, SPI_READ}, {c->r_fine, SPI_WRITE}};
    spi_err err = spi_graph_submit(c->g, "slice", task_prepare, &c, sizeof c, 2, prepare);

    for (int b = 0; b < SPI_BLOCKS_MAX && !err; b++) {
        int64_t from = c->n_rows * b / SPI_BLOCKS_MAX,
                to = c->n_rows * (b + 1) / SPI_BLOCKS_MAX;
        struct range a = {.c = c, .block = b, .first = from, .n = to - from};
        struct spi_access access[2] = {{c->r_fine, SPI_READ},
                                       {c->r_templates[b], SPI_WRITE}};

        err = spi_graph_submit(c->g, "slice", task_slice, &a, sizeof a, 2, access);
    }
    return err;
}

/* match: posterior of each block of images <- all templates; beta from the first block;
 * where all orientations have weight, averages <- images, blocks in turn to fixed slots */
static spi_err submit_match(struct spi_chain *c)
{
    struct spi_access access[SPI_BLOCKS_MAX + 3];
    spi_err err = SPI_OK;

    for (int t = 0; t < SPI_BLOCKS_MAX; t++)
        access[t] = (struct spi_access){c->r_templates[t], SPI_READ};
    for (int b = 0; b < c->n_blocks && !err; b++) {
        int64_t from = (int64_t)b * c->block_images, left = c->n_batch - from;
        struct range a = {.c = c,
                          .block = b,
                          .first = from,
                          .n = left < c->block_images ? left : c->block_images};
        int n = SPI_BLOCKS_MAX + 2;

        access[SPI_BLOCKS_MAX] =
            (struct spi_access){c->r_beta, b == 0 ? SPI_READ_WRITE : SPI_READ};
        access[SPI_BLOCKS_MAX + 1] = (struct spi_access){c->r_post[b], SPI_WRITE};
        if (c->n_soft)
            access[n++] =
                (struct spi_access){c->soft[b % c->n_soft].region, SPI_READ_WRITE};
        err = spi_graph_submit(c->g, "match", task_match, &a, sizeof a, n, access);
    }
    return err;
}

/* merge: sorted pairs <- posteriors; partial sums <- pairs; A <- sums.  The index task
 * reads every posterior; more blocks than a task may name are covered by r_pairs through a
 * chain of empty tasks. */
static spi_err gather_posteriors(struct spi_chain *c, bool merge);

static spi_err submit_merge(struct spi_chain *c)
{
    spi_err err = gather_posteriors(c, true);

    for (int b = 0; b < c->n_merges && !err; b++) {
        struct range a = {.c = c, .block = b};
        struct spi_access access[2] = {{c->r_pairs, SPI_READ},
                                       {c->r_slot[b % c->n_slots], SPI_READ_WRITE}};

        err = spi_graph_submit(c->g, "merge", task_merge, &a, sizeof a, 2, access);
    }
    if (err)
        return err;

    struct spi_access solve[SPI_SLOTS_MAX + 1] = {{c->r_model, SPI_READ_WRITE}};

    for (int s = 0; s < c->n_slots; s++)
        solve[s + 1] = (struct spi_access){c->r_slot[s], SPI_READ_WRITE};
    return spi_graph_submit(c->g, "solve", task_solve, &c, sizeof c, c->n_slots + 1, solve);
}

static spi_err task_nothing(void *const *data, const void *arg, const volatile int *stop)
{
    (void)data;
    (void)arg;
    (void)stop;
    return SPI_OK;
}

static spi_err gather_posteriors(struct spi_chain *c, bool merge)
{
    enum { AT_ONCE = 60 };
    spi_err err = SPI_OK;

    for (int b = 0; b < c->n_blocks && !err; b += AT_ONCE) {
        struct spi_access access[AT_ONCE + 1] = {{c->r_pairs, SPI_READ_WRITE}};
        int n = 1;

        for (; n <= AT_ONCE && b + n - 1 < c->n_blocks; n++)
            access[n] = (struct spi_access){c->r_post[b + n - 1], SPI_READ};

        bool last = b + AT_ONCE >= c->n_blocks;

        err = spi_graph_submit(c->g, "merge", last && merge ? task_index : task_nothing, &c,
                               sizeof c, n, access);
    }
    return err;
}

static bool all_have_weight(const struct spi_chain *c, const struct spi_generation *gen)
{
    double n = (double)gen->level->views.nd * gen->level->views.Na / fmax(1, c->n_group);

    return gen->merge && !gen->local && gen->perplexity >= all_from * n;
}

spi_err spi_chain_submit(struct spi_chain *c, struct spi_graph *g,
                         const struct spi_generation *gen, int block_images)
{
    spi_err err;

    c->g = g;
    c->level = gen->level;
    c->perplexity = gen->perplexity;
    c->keep_candidates = gen->keep_candidates;
    c->store_best = gen->store_best;
    c->n_batch = gen->n_batch;
    c->block_images = block_images;
    c->n_blocks = (int)((gen->n_batch + block_images - 1) / block_images);
    c->n_rows = 0;
    c->n_soft = all_have_weight(c, gen) ? c->n_blocks : 0;
    c->n_soft = c->n_soft < SPI_SLOTS_MAX ? c->n_soft : SPI_SLOTS_MAX;
    SPI_TRY(err = SPI_NEW(c->batch, c->n_batch, "batch"), out);
    memcpy(c->batch, gen->batch, (size_t)c->n_batch * sizeof *c->batch);
    SPI_TRY(err = gen->local ? find_pairs(c, gen) : all_rows(c), out);
    SPI_TRY(err = allocate(c), out);
    SPI_TRY(err = make_regions(c), out);
    SPI_TRY(err = submit_slice(c), out);
    SPI_TRY(err = submit_match(c), out);
    err = gen->merge ? submit_merge(c) : gather_posteriors(c, false);
out:
    return err;
}

static void collect_score(struct spi_chain *c)
{
    double sum = 0, counts = 0;

    for (int b = 0; b < c->n_blocks; b++)
        for (int i = 0; c->post && c->post[b].best && i < c->post[b].n_images; i++) {
            int64_t k = c->batch[(int64_t)b * c->block_images + i];

            sum += (double)c->post[b].best[i].score;
            counts += (double)spi_data_counts(c->data, c->half->image[k], c->level->band.R);
        }
    c->score = counts > 0 ? sum / counts : 0;
}

void spi_chain_settle(struct spi_chain *c)
{
    if (!c->g)
        return;
    if (c->post)
        collect_score(c);
    if (c->keep_candidates) {
        c->half->candidate_nd = c->level->views.nd;
        c->half->candidate_cell = c->level->views.cell;
    }
    spi_region_free(c->g, c->r_model);
    spi_region_free(c->g, c->r_fine);
    spi_region_free(c->g, c->r_beta);
    spi_region_free(c->g, c->r_pairs);
    for (int b = 0; b < SPI_BLOCKS_MAX; b++)
        spi_region_free(c->g, c->r_templates[b]);
    for (int b = 0; b < c->n_blocks && c->r_post; b++)
        spi_region_free(c->g, c->r_post[b]);
    for (int b = 0; b < c->n_blocks && c->post; b++)
        spi_posterior_clear(c->post + b);
    for (int s = 0; s < SPI_SLOTS_MAX; s++) {
        spi_region_free(c->g, c->soft[s].region);
        spi_soft_clear(&c->soft[s].weights);
        spi_average_clear(&c->soft[s].average);
        spi_region_free(c->g, c->r_slot[s]);
        free(c->slot[s]);
        c->slot[s] = NULL;
        c->slot_weight[s] = 0;
        c->r_slot[s] = NULL;
    }
    spi_points_free(c->points);
    spi_nufft_free(c->plan);
    free(c->batch);
    free(c->first);
    free(c->dir);
    free(c->row);
    free(c->used);
    free(c->fine);
    free(c->templates);
    free(c->table);
    free(c->S);
    free(c->post);
    free(c->r_post);
    free(c->fluence);
    free(c->pair);
    free(c->pair_at);

    struct spi_chain keep = {.data = c->data,
                             .half = c->half,
                             .seed = c->seed,
                             .index = c->index,
                             .A = c->A,
                             .ring_scale = c->ring_scale,
                             .beta = c->beta,
                             .score = c->score,
                             .residual = c->residual,
                             .n_group = c->n_group,
                             .group = c->group};

    memcpy(keep.symmetry, c->symmetry, sizeof keep.symmetry);
    memcpy(keep.axes, c->axes, sizeof keep.axes);

    *c = keep;
}
