/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One generation of a replica: which directions, and the tasks that do it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/sphere.h"
#include "math/symmetry.h"
#include "mtip/replica_tasks.h"

/* ---- which directions --------------------------------------------------------------- */

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
static spi_err find_pairs(struct spi_generation_work *w, const struct spi_generation *gen)
{
    const struct spi_half_set *h = w->c->half;
    int64_t n = 0, cap = 0, nd = w->level->views.nd, *first = NULL;
    int32_t *mark = NULL, *near = NULL;
    spi_err err;

    SPI_TRY(err = find_near(h->candidate_nd, nd, gen->radius, &first, &near), out);
    SPI_TRY(err = SPI_NEW(w->first, w->n_batch + 1, "candidates"), out);
    SPI_TRY(err = SPI_NEW(w->row, nd, "candidates"), out);
    SPI_TRY(err = SPI_NEW(mark, nd, "candidates"), out);
    for (int64_t i = 0; i < w->n_batch; i++) {
        const int32_t *kept = h->candidate + w->batch[i] * h->keep;

        for (int k = 0; k < gen->best_of && k < h->keep && kept[k] >= 0; k++) {
            int64_t from = first[kept[k]], to = first[kept[k] + 1];

            SPI_TRY(err = spi_grow((void **)&w->dir, sizeof *w->dir, n, n + to - from, &cap,
                                   "candidates"),
                    out);
            for (int64_t j = from; j < to; j++)
                if (mark[near[j]] != (int32_t)(i + 1)) { /* each direction once an image */
                    mark[near[j]] = (int32_t)(i + 1);
                    w->row[near[j]] = 1;
                    w->dir[n++] = near[j];
                }
        }
        w->first[i + 1] = n;
    }
    SPI_TRY(err = SPI_NEW(w->used, nd, "candidates"), out);
    for (int32_t d = 0; d < nd; d++)
        if (w->row[d]) {
            w->used[w->n_rows] = d;
            w->row[d] = (int32_t)w->n_rows++;
        }
out:
    free(first);
    free(near);
    free(mark);
    return err;
}

/* All directions, or with a point group those of its asymmetric unit.  With dense weights
 * the directions are ordered in tiles of neighbours, so that zero weights fill whole tiles.
 */
static spi_err all_rows(struct spi_generation_work *w)
{
    const struct spi_resolution_level *l = w->level;
    int64_t nd = l->views.nd;
    int32_t *order = NULL;
    spi_err err;

    w->n_rows = nd;
    if (w->c->n_group < 2 && !w->n_soft)
        return SPI_OK;
    SPI_TRY(err = SPI_NEW(w->used, nd, "candidates"), out);
    SPI_TRY(err = SPI_NEW(order, nd, "candidates"), out);
    /* tiles of SPI_LANES = 16: 4 x 4 cells */
    SPI_TRY(err = spi_sphere_order(nd, 4 * l->views.cell, order), out);
    w->n_rows = 0;
    for (int32_t i = 0; i < nd; i++) {
        double dir[3];

        spi_sphere_point(nd, order[i], dir);
        if (w->c->n_group < 2 || spi_symmetry_in_unit(w->c->n_group, w->c->group, dir))
            w->used[w->n_rows++] = order[i];
    }
out:
    free(order);
    return err;
}

static spi_err allocate_soft(struct spi_generation_work *w)
{
    const struct spi_resolution_level *l = w->level;
    int images = w->block_images < w->n_batch ? w->block_images : (int)w->n_batch;
    spi_err err = SPI_OK;

    for (int s = 0; s < w->n_soft && !err; s++) {
        struct spi_replica_soft *soft = &w->soft[s];

        err = spi_average_init(&soft->average, &w->c->data->rings, l->R_merge, l->views.Na,
                               w->n_rows, images);
    }
    return err;
}

static spi_err allocate(struct spi_generation_work *w)
{
    const struct spi_resolution_level *l = w->level;
    spi_err err;

    SPI_TRY(err = spi_nufft_new(w->c->A.n, w->c->A.step, l->nufft_tol, &w->plan), out);
    SPI_TRY(err = spi_ring_points(&w->c->data->rings, l->band.R, w->plan, &w->points), out);
    SPI_TRY(err = SPI_NEW_UNSET(w->templates, w->n_rows * l->band.floats, "templates"),
            out);
    SPI_TRY(err = SPI_NEW_UNSET(w->table, w->n_rows * l->views.Na, "templates"), out);
    SPI_TRY(err = SPI_NEW_UNSET(w->S, w->n_rows * l->views.Na, "templates"), out);
    SPI_TRY(err = SPI_NEW(w->post, w->n_blocks, "posterior"), out);
    SPI_TRY(err = SPI_NEW(w->fluence, w->n_batch, "fluence"), out);
    SPI_TRY(err = SPI_NEW(w->counts, w->n_batch, "counts"), out);
    SPI_TRY(err = SPI_NEW(w->r_post, w->n_blocks, "posterior"), out);
    SPI_TRY(err = allocate_soft(w), out);
    /* the number of partial sums depends on memory only, never on the number of workers;
     * the blocks are few and large, because each sweeps the whole grid */
    w->n_partials = l->n <= 32 ? SPI_PARTIALS_MAX : 2;
    w->n_merges = 2 * w->n_partials;
    SPI_TRY(err = SPI_NEW(w->pair_at, w->n_merges + 1, "merge"), out);
out:
    return err;
}

static spi_err make_regions(struct spi_generation_work *w)
{
    struct spi_graph *g = w->g;
    spi_err err;

    SPI_TRY(err = spi_region_new(g, &w->c->A, sizeof w->c->A, &w->r_model), out);
    SPI_TRY(err = spi_region_new(g, &w->fine, sizeof w->fine, &w->r_fine), out);
    SPI_TRY(err = spi_region_new(g, &w->c->beta, sizeof w->c->beta, &w->r_beta), out);
    SPI_TRY(err = spi_region_new(g, &w->pair, sizeof w->pair, &w->r_pairs), out);
    for (int b = 0; b < SPI_BLOCKS_MAX; b++)
        SPI_TRY(
            err = spi_region_new(g, &w->templates, sizeof w->templates, &w->r_templates[b]),
            out);
    for (int s = 0; s < w->n_partials; s++)
        SPI_TRY(
            err = spi_region_new(g, &w->partial[s], sizeof w->partial[s], &w->r_partial[s]),
            out);
    for (int s = 0; s < w->n_soft; s++)
        SPI_TRY(err = spi_region_new(g, &w->soft[s], sizeof w->soft[s], &w->soft[s].region),
                out);
    for (int b = 0; b < w->n_blocks; b++)
        SPI_TRY(err = spi_region_new(g, w->post + b, sizeof *w->post, &w->r_post[b]), out);
out:
    return err;
}

/* slice: fine grid <- A; templates of each block of directions <- fine grid */
static spi_err submit_slice(struct spi_generation_work *w)
{
    struct spi_access prepare[2] = {{w->r_model, SPI_READ}, {w->r_fine, SPI_WRITE}};
    spi_err err =
        spi_graph_submit(w->g, "slice", spi_task_prepare, &w, sizeof w, 2, prepare);

    for (int b = 0; b < SPI_BLOCKS_MAX && !err; b++) {
        int64_t from = w->n_rows * b / SPI_BLOCKS_MAX,
                to = w->n_rows * (b + 1) / SPI_BLOCKS_MAX;
        struct spi_range a = {.w = w, .block = b, .first = from, .n = to - from};
        struct spi_access access[2] = {{w->r_fine, SPI_READ},
                                       {w->r_templates[b], SPI_WRITE}};

        err = spi_graph_submit(w->g, "slice", spi_task_slice, &a, sizeof a, 2, access);
    }
    return err;
}

/* match: posterior of each block of images <- all templates; beta from the first block;
 * where all orientations have weight, averages <- images, blocks in turn to fixed partials
 */
static spi_err submit_match(struct spi_generation_work *w)
{
    struct spi_access access[SPI_BLOCKS_MAX + 3];
    spi_err err = SPI_OK;

    for (int t = 0; t < SPI_BLOCKS_MAX; t++)
        access[t] = (struct spi_access){w->r_templates[t], SPI_READ};
    for (int b = 0; b < w->n_blocks && !err; b++) {
        int64_t from = (int64_t)b * w->block_images, left = w->n_batch - from;
        struct spi_range a = {.w = w,
                              .block = b,
                              .first = from,
                              .n = left < w->block_images ? left : w->block_images};
        int n = SPI_BLOCKS_MAX + 2;

        access[SPI_BLOCKS_MAX] =
            (struct spi_access){w->r_beta, b == 0 ? SPI_READ_WRITE : SPI_READ};
        access[SPI_BLOCKS_MAX + 1] = (struct spi_access){w->r_post[b], SPI_WRITE};
        if (w->n_soft)
            access[n++] =
                (struct spi_access){w->soft[b % w->n_soft].region, SPI_READ_WRITE};
        err = spi_graph_submit(w->g, "match", spi_task_match, &a, sizeof a, n, access);
    }
    return err;
}

static spi_err task_nothing(void *const *data, const void *arg, const volatile int *stop)
{
    (void)data;
    (void)arg;
    (void)stop;
    return SPI_OK;
}

static spi_err gather_posteriors(struct spi_generation_work *w, bool merge)
{
    enum { AT_ONCE = 60 };
    spi_err err = SPI_OK;

    for (int b = 0; b < w->n_blocks && !err; b += AT_ONCE) {
        struct spi_access access[AT_ONCE + 1] = {{w->r_pairs, SPI_READ_WRITE}};
        int n = 1;

        for (; n <= AT_ONCE && b + n - 1 < w->n_blocks; n++)
            access[n] = (struct spi_access){w->r_post[b + n - 1], SPI_READ};

        bool last = b + AT_ONCE >= w->n_blocks;

        err = spi_graph_submit(w->g, "merge", last && merge ? spi_task_index : task_nothing,
                               &w, sizeof w, n, access);
    }
    return err;
}

/* merge: sorted pairs <- posteriors; partial sums <- pairs; A <- sums.  The index task
 * reads every posterior; more blocks than a task may name are covered by r_pairs through a
 * chain of empty tasks. */
static spi_err submit_merge(struct spi_generation_work *w)
{
    spi_err err = gather_posteriors(w, true);

    for (int b = 0; b < w->n_merges && !err; b++) {
        struct spi_range a = {.w = w, .block = b};
        struct spi_access access[2] = {{w->r_pairs, SPI_READ},
                                       {w->r_partial[b % w->n_partials], SPI_READ_WRITE}};

        err = spi_graph_submit(w->g, "merge", spi_task_merge, &a, sizeof a, 2, access);
    }
    if (err)
        return err;

    struct spi_access solve[SPI_PARTIALS_MAX + 1] = {{w->r_model, SPI_READ_WRITE}};

    for (int s = 0; s < w->n_partials; s++)
        solve[s + 1] = (struct spi_access){w->r_partial[s], SPI_READ_WRITE};
    return spi_graph_submit(w->g, "solve", spi_task_solve, &w, sizeof w, w->n_partials + 1,
                            solve);
}

static bool all_have_weight(const struct spi_replica *c, const struct spi_generation *gen)
{
    double n = (double)gen->level->views.nd * gen->level->views.Na / fmax(1, c->n_group);

    return gen->merge && !gen->local && gen->perplexity >= spi_all_from * n;
}

static spi_err work_init(struct spi_generation_work *w, const struct spi_generation *gen)
{
    spi_err err;

    w->n_blocks = (int)((gen->n_batch + w->block_images - 1) / w->block_images);
    w->n_soft = all_have_weight(w->c, gen) ? w->n_blocks : 0;
    w->n_soft = w->n_soft < SPI_PARTIALS_MAX ? w->n_soft : SPI_PARTIALS_MAX;
    SPI_TRY(err = SPI_NEW(w->batch, w->n_batch, "batch"), out);
    memcpy(w->batch, gen->batch, (size_t)w->n_batch * sizeof *w->batch);
    SPI_TRY(err = gen->local ? find_pairs(w, gen) : all_rows(w), out);
    err = allocate(w);
out:
    return err;
}

spi_err spi_replica_submit(struct spi_replica *c, struct spi_graph *g,
                           const struct spi_generation *gen, int block_images)
{
    struct spi_generation_work *w;
    spi_err err = SPI_NEW(w, 1, "generation");

    if (err)
        return err;
    *w = (struct spi_generation_work){.c = c,
                                      .g = g,
                                      .level = gen->level,
                                      .perplexity = gen->perplexity,
                                      .keep_candidates = gen->keep_candidates,
                                      .store_best = gen->store_best,
                                      .n_batch = gen->n_batch,
                                      .block_images = block_images};
    c->work = w;
    SPI_TRY(err = work_init(w, gen), out);
    SPI_TRY(err = make_regions(w), out);
    SPI_TRY(err = submit_slice(w), out);
    SPI_TRY(err = submit_match(w), out);
    err = gen->merge ? submit_merge(w) : gather_posteriors(w, false);
out:
    return err;
}

static double mean_score(const struct spi_generation_work *w)
{
    double sum = 0, counts = 0;

    for (int b = 0; b < w->n_blocks; b++)
        for (int i = 0; w->post[b].best && i < w->post[b].n_images; i++) {
            sum += (double)w->post[b].best[i].score;
            counts += (double)w->counts[(int64_t)b * w->block_images + i];
        }
    return counts > 0 ? sum / counts : 0;
}

static void free_regions(struct spi_generation_work *w)
{
    spi_region_free(w->g, w->r_model);
    spi_region_free(w->g, w->r_fine);
    spi_region_free(w->g, w->r_beta);
    spi_region_free(w->g, w->r_pairs);
    for (int b = 0; b < SPI_BLOCKS_MAX; b++)
        spi_region_free(w->g, w->r_templates[b]);
    for (int b = 0; b < w->n_blocks && w->r_post; b++)
        spi_region_free(w->g, w->r_post[b]);
    for (int s = 0; s < SPI_PARTIALS_MAX; s++) {
        spi_region_free(w->g, w->soft[s].region);
        spi_region_free(w->g, w->r_partial[s]);
    }
}

static void work_free(struct spi_generation_work *w)
{
    free_regions(w);
    for (int b = 0; b < w->n_blocks && w->post; b++)
        spi_posterior_clear(w->post + b);
    for (int s = 0; s < SPI_PARTIALS_MAX; s++) {
        spi_average_clear(&w->soft[s].average);
        free(w->partial[s]);
    }
    spi_points_free(w->points);
    spi_nufft_free(w->plan);
    free(w->batch);
    free(w->first);
    free(w->dir);
    free(w->row);
    free(w->used);
    free(w->fine);
    free(w->templates);
    free(w->table);
    free(w->S);
    free(w->post);
    free(w->r_post);
    free(w->fluence);
    free(w->counts);
    free(w->pair);
    free(w->place);
    free(w->pair_at);
    free(w);
}

void spi_replica_settle(struct spi_replica *c)
{
    struct spi_generation_work *w = c->work;

    if (!w)
        return;
    if (w->post)
        c->score = mean_score(w);
    if (w->keep_candidates) {
        c->half->candidate_nd = w->level->views.nd;
        c->half->candidate_cell = w->level->views.cell;
    }
    work_free(w);
    c->work = NULL;
}
