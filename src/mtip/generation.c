/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One generation of a chain: which directions, and the tasks that do it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/sphere.h"
#include "math/symmetry.h"
#include "mtip/chain_tasks.h"

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

        err = spi_average_init(&soft->average, &c->data->rings, l->R_merge, l->views.Na,
                               c->n_rows, images);
    }
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
    SPI_TRY(err = SPI_NEW(c->counts, c->n_batch, "counts"), out);
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
    spi_err err =
        spi_graph_submit(c->g, "slice", spi_task_prepare, &c, sizeof c, 2, prepare);

    for (int b = 0; b < SPI_BLOCKS_MAX && !err; b++) {
        int64_t from = c->n_rows * b / SPI_BLOCKS_MAX,
                to = c->n_rows * (b + 1) / SPI_BLOCKS_MAX;
        struct spi_range a = {.c = c, .block = b, .first = from, .n = to - from};
        struct spi_access access[2] = {{c->r_fine, SPI_READ},
                                       {c->r_templates[b], SPI_WRITE}};

        err = spi_graph_submit(c->g, "slice", spi_task_slice, &a, sizeof a, 2, access);
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
        struct spi_range a = {.c = c,
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
        err = spi_graph_submit(c->g, "match", spi_task_match, &a, sizeof a, n, access);
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

        err = spi_graph_submit(c->g, "merge", last && merge ? spi_task_index : task_nothing,
                               &c, sizeof c, n, access);
    }
    return err;
}

/* merge: sorted pairs <- posteriors; partial sums <- pairs; A <- sums.  The index task
 * reads every posterior; more blocks than a task may name are covered by r_pairs through a
 * chain of empty tasks. */
static spi_err submit_merge(struct spi_chain *c)
{
    spi_err err = gather_posteriors(c, true);

    for (int b = 0; b < c->n_merges && !err; b++) {
        struct spi_range a = {.c = c, .block = b};
        struct spi_access access[2] = {{c->r_pairs, SPI_READ},
                                       {c->r_slot[b % c->n_slots], SPI_READ_WRITE}};

        err = spi_graph_submit(c->g, "merge", spi_task_merge, &a, sizeof a, 2, access);
    }
    if (err)
        return err;

    struct spi_access solve[SPI_SLOTS_MAX + 1] = {{c->r_model, SPI_READ_WRITE}};

    for (int s = 0; s < c->n_slots; s++)
        solve[s + 1] = (struct spi_access){c->r_slot[s], SPI_READ_WRITE};
    return spi_graph_submit(c->g, "solve", spi_task_solve, &c, sizeof c, c->n_slots + 1,
                            solve);
}

static bool all_have_weight(const struct spi_chain *c, const struct spi_generation *gen)
{
    double n = (double)gen->level->views.nd * gen->level->views.Na / fmax(1, c->n_group);

    return gen->merge && !gen->local && gen->perplexity >= spi_all_from * n;
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
            sum += (double)c->post[b].best[i].score;
            counts += (double)c->counts[(int64_t)b * c->block_images + i];
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
    free(c->counts);
    free(c->pair);
    free(c->place);
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
