/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One generation of a replica: which directions, and the tasks that do it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "math/sphere.h"
#include "math/symmetry.h"
#include "mtip/replica_tasks.h"

/* ---- which directions --------------------------------------------------------------- */

enum { CHUNKS = 64 }; /* of a loop over directions or images */

/* Item k of CHUNKS, of n: from ... to - 1. */
static void chunk(int64_t n, int64_t k, int64_t *from, int64_t *to)
{
    *from = n * k / CHUNKS;
    *to = n * (k + 1) / CHUNKS;
}

/* For every direction of one grid that is wanted those of another within `radius`: of
 * direction k they are list[first[k] ... first[k + 1] - 1]. */
struct near {
    int64_t nd_from, nd_to;
    uint8_t *wanted; /* [nd_from] owned */
    double radius;
    int64_t *first;
    int32_t *list;
    int32_t *part[CHUNKS]; /* the list of each chunk of directions */
    struct spi_failure failure;
};

/* first[k + 1]: how many. */
static void near_chunk(void *ctx, int rank, int64_t item)
{
    enum { NEAR_MAX = 512 };
    struct near *x = ctx;
    int64_t n = 0, cap = 0, from, to;

    (void)rank;
    chunk(x->nd_from, item, &from, &to);
    for (int64_t k = from; k < to; k++) {
        double dir[3];
        spi_err err;

        if (!x->wanted[k])
            continue;
        err = spi_grow((void **)&x->part[item], sizeof *x->list, n, n + NEAR_MAX, &cap,
                       "candidates");
        if (err) {
            spi_failure_note(&x->failure, err);
            return;
        }
        spi_sphere_point(x->nd_from, k, dir);

        int found = spi_sphere_near(x->nd_to, dir, x->radius, NEAR_MAX, x->part[item] + n);

        x->first[k + 1] = found < NEAR_MAX ? found : NEAR_MAX;
        n += x->first[k + 1];
    }
}

static void near_clear(struct near *x)
{
    free(x->wanted);
    free(x->first);
    free(x->list);
    for (int c = 0; c < CHUNKS; c++)
        free(x->part[c]);
}

static spi_err near_find(struct near *x)
{
    spi_err err;

    SPI_TRY(err = SPI_NEW(x->first, x->nd_from + 1, "candidates"), out);
    spi_parallel_for(SPI_THREADS_MAX, CHUNKS, near_chunk, x);
    SPI_TRY(err = spi_failure_end(&x->failure), out);
    for (int64_t k = 0; k < x->nd_from; k++)
        x->first[k + 1] += x->first[k];
    SPI_TRY(err = SPI_NEW(x->list, x->first[x->nd_from], "candidates"), out);
    for (int64_t c = 0; c < CHUNKS; c++) {
        int64_t from, to;

        chunk(x->nd_from, c, &from, &to);
        if (x->part[c])
            memcpy(x->list + x->first[from], x->part[c],
                   (size_t)(x->first[to] - x->first[from]) * sizeof *x->list);
        free(x->part[c]);
        x->part[c] = NULL;
    }
out:
    return err;
}

/* Candidates of an image of the half set that a generation uses: the first so many. */
static int candidates_used(const struct spi_half_set *h, const struct spi_generation *gen,
                           int64_t image)
{
    const int32_t *kept = h->candidate + image * h->keep;
    int n = 0;

    while (n < gen->best_of && n < h->keep && kept[n] >= 0)
        n++;
    return n;
}

/* The candidate pairs of the images of a batch: counted, then listed. */
struct pairs {
    struct spi_generation_context *w;
    const struct spi_half_set *h;
    const struct spi_generation *gen;
    const struct near *near;
    struct spi_rooms mark; /* [nd] the last image that had the direction */
    bool list;
    struct spi_failure failure;
};

/* Directions of image i, each once; list NULL: how many, and w->row of each becomes 1. */
static int64_t pairs_of(const struct pairs *x, int64_t i, int32_t *mark, int32_t *list)
{
    const struct near *near = x->near;
    const int32_t *kept = x->h->candidate + x->w->batch[i] * x->h->keep;
    int32_t stamp = (int32_t)(x->list ? -1 - i : 1 + i);
    int64_t n = 0;

    for (int k = 0; k < candidates_used(x->h, x->gen, x->w->batch[i]); k++)
        for (int64_t j = near->first[kept[k]]; j < near->first[kept[k] + 1]; j++) {
            int32_t dir = near->list[j];

            if (mark[dir] == stamp)
                continue;
            mark[dir] = stamp;
            if (list)
                list[n] = dir;
            else
                __atomic_store_n(&x->w->row[dir], 1, __ATOMIC_RELAXED);
            n++;
        }
    return n;
}

static void pairs_chunk(void *ctx, int rank, int64_t item)
{
    struct pairs *x = ctx;
    int32_t *mark = spi_rooms_of(&x->mark, rank);
    int64_t *first = x->w->first, from, to;

    if (!mark) {
        spi_failure_note(&x->failure, SPI_ENOMEM);
        return;
    }
    chunk(x->w->n_batch, item, &from, &to);
    for (int64_t i = from; i < to; i++)
        if (x->list)
            (void)pairs_of(x, i, mark, x->w->dir + first[i]);
        else
            first[i + 1] = pairs_of(x, i, mark, NULL);
}

static spi_err list_pairs(struct pairs *x)
{
    struct spi_generation_context *w = x->w;
    size_t nd = (size_t)w->level->views.nd;
    spi_err err =
        spi_rooms_init(&x->mark, SPI_THREADS_MAX, nd * sizeof(int32_t), "candidates");

    SPI_TRY(err, out);
    spi_parallel_for(SPI_THREADS_MAX, CHUNKS, pairs_chunk, x);
    SPI_TRY(err = spi_failure_end(&x->failure), out);
    for (int64_t i = 0; i < w->n_batch; i++)
        w->first[i + 1] += w->first[i];
    SPI_TRY(err = SPI_NEW_UNSET(w->dir, w->first[w->n_batch], "candidates"), out);
    x->list = true;
    spi_parallel_for(SPI_THREADS_MAX, CHUNKS, pairs_chunk, x);
    err = spi_failure_end(&x->failure);
out:
    spi_rooms_clear(&x->mark);
    return err;
}

/* Candidate pairs of every image of the batch and the directions they need. */
static spi_err find_pairs(struct spi_generation_context *w, const struct spi_half_set *h,
                          const struct spi_generation *gen)
{
    int64_t nd = w->level->views.nd;
    struct near near = {.nd_from = h->candidate_nd, .nd_to = nd, .radius = gen->radius};
    struct pairs pairs = {.w = w, .h = h, .gen = gen, .near = &near};
    spi_err err;

    SPI_TRY(err = SPI_NEW(near.wanted, h->candidate_nd, "candidates"), out);
    for (int64_t i = 0; i < w->n_batch; i++)
        for (int k = 0; k < candidates_used(h, gen, w->batch[i]); k++)
            near.wanted[h->candidate[w->batch[i] * h->keep + k]] = 1;
    SPI_TRY(err = near_find(&near), out);
    SPI_TRY(err = SPI_NEW(w->first, w->n_batch + 1, "candidates"), out);
    SPI_TRY(err = SPI_NEW(w->row, nd, "candidates"), out);
    SPI_TRY(err = list_pairs(&pairs), out);
    SPI_TRY(err = SPI_NEW(w->used, nd, "candidates"), out);
    for (int32_t d = 0; d < nd; d++)
        if (w->row[d]) {
            w->used[w->n_rows] = d;
            w->row[d] = (int32_t)w->n_rows++;
        }
out:
    near_clear(&near);
    return err;
}

/* All directions, or with a point group those of its asymmetric unit.  With dense weights
 * the directions are ordered in tiles of neighbours, so that zero weights fill whole tiles.
 */
static spi_err all_rows(struct spi_generation_context *w, const struct spi_replica *c)
{
    const struct spi_resolution_level *l = w->level;
    int64_t nd = l->views.nd;
    int32_t *order = NULL;
    spi_err err;

    w->n_rows = nd;
    if (w->n_group < 2 && !w->n_soft)
        return SPI_OK;
    SPI_TRY(err = SPI_NEW(w->used, nd, "candidates"), out);
    SPI_TRY(err = SPI_NEW(order, nd, "candidates"), out);
    /* tiles of SPI_LANES = 16: 4 x 4 cells */
    SPI_TRY(err = spi_sphere_order(nd, 4 * l->views.cell, order), out);
    w->n_rows = 0;
    for (int32_t i = 0; i < nd; i++) {
        double dir[3];

        spi_sphere_point(nd, order[i], dir);
        if (w->n_group < 2 || spi_symmetry_in_unit(c->n_group, c->group, dir))
            w->used[w->n_rows++] = order[i];
    }
out:
    free(order);
    return err;
}

static bool all_have_weight(const struct spi_replica *c, const struct spi_generation *gen)
{
    double n = (double)gen->level->views.nd * gen->level->views.Na / fmax(1, c->n_group);

    return gen->merge && !gen->local && gen->perplexity >= spi_all_from * n;
}

/* ---- what tasks read ---------------------------------------------------------------- */

static void context_clear(struct spi_generation_context *x)
{
    spi_points_free(x->points);
    spi_nufft_free(x->plan);
    spi_average_clear(&x->average);
    free(x->ring_signal);
    free(x->batch);
    free(x->first);
    free(x->dir);
    free(x->row);
    free(x->used);
}

static spi_err context_init(struct spi_generation_context *x, const struct spi_replica *c,
                            const struct spi_generation *gen, int block_images)
{
    const struct spi_resolution_level *l = gen->level;
    spi_err err;

    *x = (struct spi_generation_context){
        .data = c->data,
        .level = l,
        .image = c->half->image,
        .ring_scale = c->ring_scale,
        .n_group = c->n_group,
        .group = (const double(*)[9])c->group,
        .keep = c->half->keep,
        .perplexity = gen->perplexity,
        .beta_stays = gen->beta_stays,
        .keep_candidates = gen->keep_candidates,
        .store_best = gen->store_best,
        .only_candidates = gen->only_candidates,
        .merge = gen->merge,
        .n_batch = gen->n_batch,
        .block_images = block_images,
        .n_blocks = (int)((gen->n_batch + block_images - 1) / block_images),
        /* the number of partial sums depends on memory only, never on the number of
         * workers; the blocks are few and large, because each sweeps the whole grid */
        .n_partials = l->n <= 32 ? SPI_PARTIALS_MAX : 2};
    x->n_merges = 2 * x->n_partials;
    if (all_have_weight(c, gen))
        x->n_soft = x->n_blocks < SPI_PARTIALS_MAX ? x->n_blocks : SPI_PARTIALS_MAX;
    if (gen->ring_signal) {
        SPI_TRY(err = SPI_NEW(x->ring_signal, l->band.R, "slice"), out);
        memcpy(x->ring_signal, gen->ring_signal,
               (size_t)l->band.R * sizeof *x->ring_signal);
    }
    SPI_TRY(err = SPI_NEW(x->batch, x->n_batch, "batch"), out);
    memcpy(x->batch, gen->batch, (size_t)x->n_batch * sizeof *x->batch);
    SPI_TRY(err = gen->local ? find_pairs(x, c->half, gen) : all_rows(x, c), out);
    SPI_TRY(err = spi_nufft_new(c->A.n, c->A.step, l->nufft_tol, &x->plan), out);
    spi_nufft_set_threads(x->plan, SPI_THREADS_MAX);
    SPI_TRY(err = spi_ring_points(&c->data->rings, l->band.R, x->plan, &x->points), out);
    if (x->n_soft)
        err = spi_average_init(&x->average, &c->data->rings, l->R_merge, l->views.Na,
                               x->n_rows);
out:
    return err;
}

/* ---- arrays ------------------------------------------------------------------------- */

#define ARRAY(to, T, text, ...)                                                        \
    spi_array_new(w->g, &(struct spi_array_shape){SPI_ARRAY_OF(T, text), __VA_ARGS__}, \
                  &(to))
#define RAGGED(to, T, text, ...)                                                          \
    spi_array_ragged(w->g, &(struct spi_array_shape){SPI_ARRAY_OF(T, text), __VA_ARGS__}, \
                     &(to))
#define WRAP(to, T, text, n, memory)                                                      \
    spi_array_wrap(w->g,                                                                  \
                   &(struct spi_array_shape){SPI_ARRAY_OF(T, text), .rows = (int64_t)(n), \
                                             .columns = 1},                               \
                   (memory), &(to))

/* The model's memory and, if the solution has another grid or scale, that of the next. */
static spi_err model_arrays(struct spi_generation_work *w, struct spi_replica *c)
{
    const struct spi_resolution_level *l = w->context.level;
    bool other;
    spi_err err;

    SPI_TRY(err = WRAP(w->model, float, "model", spi_volume_count(&c->A), c->A.data), out);
    SPI_TRY(err = WRAP(w->beta, float, "beta", 1, &c->beta), out);
    if (!w->context.merge)
        goto out;
    other = c->A.n != l->n || fabs(c->A.step / l->dx - 1) > 1e-12 || c->ring_scale;
    SPI_TRY(err = WRAP(w->residual, double, "residual", 1, &c->residual), out);
    if (!other)
        goto out;
    SPI_TRY(err = spi_volume_init(&w->next, l->n, l->dx), out);
    err = WRAP(w->solved, float, "next model", spi_volume_count(&w->next), w->next.data);
out:
    return err;
}

static spi_err half_set_arrays(struct spi_generation_work *w, struct spi_half_set *h)
{
    spi_err err = SPI_OK;

    if (w->context.keep_candidates)
        SPI_TRY(err = WRAP(w->candidate, int32_t, "candidates", h->n_images * h->keep,
                           h->candidate),
                out);
    if (w->context.store_best) {
        SPI_TRY(err = WRAP(w->half_best, struct spi_best, "best orientations", h->n_images,
                           h->best),
                out);
        err = WRAP(w->half_fluence, float, "fluences", h->n_images, h->fluence);
    }
out:
    return err;
}

static spi_err template_arrays(struct spi_generation_work *w)
{
    const struct spi_generation_context *x = &w->context;
    const struct spi_resolution_level *l = x->level;
    spi_err err;

    SPI_TRY(err = ARRAY(w->fine, float, "fine grid",
                        .rows = (int64_t)spi_nufft_grid_floats(x->plan, 1), .columns = 1,
                        .unset = true),
            out);
    SPI_TRY(err = ARRAY(w->rings, float, "rings of the model", .rows = 2 * l->band.R,
                        .columns = 1),
            out);
    SPI_TRY(err = ARRAY(w->templates, float, "templates", .rows = x->n_rows,
                        .columns = l->band.floats, .parts = SPI_TEMPLATE_PARTS,
                        .unset = true),
            out);
    SPI_TRY(err = ARRAY(w->table, float, "template table", .rows = x->n_rows,
                        .columns = l->views.Na, .parts = SPI_TEMPLATE_PARTS, .unset = true),
            out);
    err = ARRAY(w->S, float, "template sums", .rows = x->n_rows, .columns = l->views.Na,
                .parts = SPI_TEMPLATE_PARTS, .unset = true);
out:
    return err;
}

static spi_err batch_arrays(struct spi_generation_work *w)
{
    const struct spi_generation_context *x = &w->context;
    spi_err err;

    SPI_TRY(err = ARRAY(w->counts, float, "counts", .rows = x->n_batch, .columns = 1,
                        .parts = x->n_blocks, .part_rows = x->block_images),
            out);
    if (!x->only_candidates) {
        SPI_TRY(err = ARRAY(w->fluence, float, "fluence", .rows = x->n_batch, .columns = 1,
                            .parts = x->n_blocks, .part_rows = x->block_images),
                out);
        SPI_TRY(err =
                    ARRAY(w->best, struct spi_best, "best", .rows = x->n_batch,
                          .columns = 1, .parts = x->n_blocks, .part_rows = x->block_images),
                out);
    }
    if (x->keep_candidates)
        SPI_TRY(err = ARRAY(w->kept, int32_t, "kept directions", .rows = x->n_batch,
                            .columns = x->keep, .parts = x->n_blocks,
                            .part_rows = x->block_images),
                out);
    if (x->merge && !x->n_soft) {
        SPI_TRY(
            err = RAGGED(w->pair, struct spi_posterior_pair, "pairs", .parts = x->n_blocks),
            out);
        SPI_TRY(err = RAGGED(w->angle, uint16_t, "angles", .parts = x->n_blocks), out);
        SPI_TRY(err = RAGGED(w->weight, float, "weights", .parts = x->n_blocks), out);
    }
out:
    return err;
}

static spi_err merge_arrays(struct spi_generation_work *w)
{
    const struct spi_generation_context *x = &w->context;
    spi_err err;

    SPI_TRY(err = ARRAY(w->scale, float, "scale of fluences", .rows = 1, .columns = 1),
            out);
    for (int s = 0; s < x->n_soft; s++)
        SPI_TRY(err =
                    ARRAY(w->soft[s], float, "averages", .rows = x->average.tiles,
                          .columns = spi_average_floats(&x->average), .parts = x->n_merges),
                out);
    if (!x->n_soft) {
        SPI_TRY(err = RAGGED(w->sorted, struct spi_view_pair, "sorted pairs", .parts = 1),
                out);
        SPI_TRY(err = ARRAY(w->sorted_at, int64_t, "blocks of pairs",
                            .rows = x->n_merges + 1, .columns = 1),
                out);
        SPI_TRY(err = ARRAY(w->place, int32_t, "places of directions",
                            .rows = x->level->views.nd, .columns = 1),
                out);
    }
    for (int s = 0; s < x->n_partials; s++)
        SPI_TRY(err = ARRAY(w->partial[s], float, "partial sums",
                            .rows = (int64_t)spi_nufft_grid_floats(x->level->plan2, 2),
                            .columns = 1, .unset = true),
                out);
    err = ARRAY(w->partial_weight, double, "partial weights", .rows = x->n_partials,
                .columns = 1, .parts = x->n_partials);
out:
    return err;
}

/* ---- tasks -------------------------------------------------------------------------- */

/* Append to a list of accesses. */
static int name(struct spi_access *list, int n, struct spi_array *a, int part,
                enum spi_privilege p)
{
    list[n] = (struct spi_access){a, part, p};
    return n + 1;
}

static spi_err submit(struct spi_generation_work *w, const char *stage, spi_task_fn *fn,
                      int block, int64_t first, int64_t count, int n,
                      const struct spi_access *access)
{
    struct spi_range a = {&w->context, block, first, count};

    return spi_graph_submit(w->g, stage, fn, &a, sizeof a, n, access);
}

/* slice: fine grid, rings <- A; templates of each part of the directions <- both */
static spi_err submit_slice(struct spi_generation_work *w)
{
    struct spi_access access[5];
    int n = name(access, 0, w->model, 0, SPI_READ);
    spi_err err;

    n = name(access, n, w->fine, 0, SPI_WRITE);
    n = name(access, n, w->rings, 0, SPI_WRITE);
    err = submit(w, "slice", spi_task_prepare, 0, 0, 0, n, access);
    for (int b = 0; b < SPI_TEMPLATE_PARTS && !err; b++) {
        int64_t first, count = spi_array_part_rows(w->templates, b, &first);

        n = name(access, 0, w->fine, 0, SPI_READ);
        n = name(access, n, w->rings, 0, SPI_READ);
        n = name(access, n, w->templates, b, SPI_WRITE);
        n = name(access, n, w->table, b, SPI_WRITE);
        n = name(access, n, w->S, b, SPI_WRITE);
        err = submit(w, "slice", spi_task_slice, b, first, count, n, access);
    }
    return err;
}

/* match: posterior of each block of images <- all templates; beta from the first block;
 * where all orientations have weight, averages <- images, blocks in turn to fixed sums */
static spi_err submit_match(struct spi_generation_work *w)
{
    enum { SHOWN = 64 }; /* blocks from one look of the progress to the next */
    const struct spi_generation_context *x = &w->context;
    spi_err err = SPI_OK;

    for (int b = 0; b < x->n_blocks && !err; b++) {
        struct spi_access access[SPI_ACCESSES_MAX];
        int64_t first, count = spi_array_part_rows(w->counts, b, &first);
        int n = name(access, 0, w->templates, SPI_WHOLE, SPI_READ);

        n = name(access, n, w->table, SPI_WHOLE, SPI_READ);
        n = name(access, n, w->S, SPI_WHOLE, SPI_READ);
        n = name(access, n, w->beta, 0,
                 b == 0 && !x->beta_stays ? SPI_READ_WRITE : SPI_READ);
        n = name(access, n, w->counts, b, SPI_WRITE);
        if (!x->only_candidates) {
            n = name(access, n, w->fluence, b, SPI_WRITE);
            n = name(access, n, w->best, b, SPI_WRITE);
        }
        if (x->n_soft) {
            n = name(access, n, w->soft[b % x->n_soft], SPI_WHOLE, SPI_READ_WRITE);
        } else if (x->merge) {
            n = name(access, n, w->pair, b, SPI_WRITE);
            n = name(access, n, w->angle, b, SPI_WRITE);
            n = name(access, n, w->weight, b, SPI_WRITE);
        }
        if (x->keep_candidates)
            n = name(access, n, w->kept, b, SPI_WRITE);
        err = submit(w, "match", spi_task_match, b, first, count, n, access);
        if (!err && w->progress && b % SHOWN == SHOWN - 1) {
            err = spi_graph_wait(w->g);
            w->progress(first + count, x->n_batch, w->user);
        }
    }
    return err;
}

/* candidates, best orientations and fluences of the half set <- those of the batch */
static spi_err submit_keep(struct spi_generation_work *w)
{
    const struct spi_generation_context *x = &w->context;
    struct spi_access access[6];
    int n = 0;

    if (x->keep_candidates) {
        n = name(access, n, w->kept, SPI_WHOLE, SPI_READ);
        n = name(access, n, w->candidate, 0, SPI_READ_WRITE);
    }
    if (x->store_best) {
        n = name(access, n, w->best, SPI_WHOLE, SPI_READ);
        n = name(access, n, w->fluence, SPI_WHOLE, SPI_READ);
        n = name(access, n, w->half_best, 0, SPI_READ_WRITE);
        n = name(access, n, w->half_fluence, 0, SPI_READ_WRITE);
    }
    return n ? submit(w, "match", spi_task_keep, 0, 0, 0, n, access) : SPI_OK;
}

/* merge: mean fluence 1; pairs sorted by direction <- posteriors */
static spi_err submit_index(struct spi_generation_work *w)
{
    struct spi_access access[6];
    int n = name(access, 0, w->fluence, SPI_WHOLE, SPI_READ_WRITE);

    n = name(access, n, w->scale, 0, SPI_WRITE);
    if (!w->context.n_soft) {
        n = name(access, n, w->pair, SPI_WHOLE, SPI_READ);
        n = name(access, n, w->place, 0, SPI_WRITE);
        n = name(access, n, w->sorted, 0, SPI_WRITE);
        n = name(access, n, w->sorted_at, 0, SPI_WRITE);
    }
    return submit(w, "merge", spi_task_index, 0, 0, 0, n, access);
}

/* partial sums <- pairs or averages; A <- sums */
static spi_err submit_merge(struct spi_generation_work *w)
{
    const struct spi_generation_context *x = &w->context;
    struct spi_access access[SPI_ACCESSES_MAX];
    spi_err err = SPI_OK;
    int n;

    for (int b = 0; b < x->n_merges && !err; b++) {
        int s = b % x->n_partials;
        enum spi_privilege p = b < x->n_partials ? SPI_WRITE : SPI_READ_WRITE;
        int64_t first = 0, count = 0;

        n = name(access, 0, w->partial[s], 0, p);
        n = name(access, n, w->partial_weight, s, p);
        if (x->n_soft) {
            count = spi_array_part_rows(w->soft[0], b, &first);
            n = name(access, n, w->scale, 0, SPI_READ);
            for (int i = 0; i < x->n_soft; i++)
                n = name(access, n, w->soft[i], b, i ? SPI_READ : SPI_READ_WRITE);
        } else {
            n = name(access, n, w->fluence, SPI_WHOLE, SPI_READ);
            n = name(access, n, w->place, 0, SPI_READ);
            n = name(access, n, w->sorted, 0, SPI_READ);
            n = name(access, n, w->sorted_at, 0, SPI_READ);
            n = name(access, n, w->angle, SPI_WHOLE, SPI_READ);
            n = name(access, n, w->weight, SPI_WHOLE, SPI_READ);
        }
        err = submit(w, "merge", spi_task_merge, b, first, count, n, access);
    }
    if (err)
        return err;
    n = name(access, 0, w->solved ? w->solved : w->model, 0, SPI_READ_WRITE);
    n = name(access, n, w->residual, 0, SPI_WRITE);
    n = name(access, n, w->partial_weight, SPI_WHOLE, SPI_READ);
    for (int s = 0; s < x->n_partials; s++)
        n = name(access, n, w->partial[s], 0, s ? SPI_READ : SPI_READ_WRITE);
    return submit(w, "solve", spi_task_solve, 0, 0, 0, n, access);
}

/* ---- a generation ------------------------------------------------------------------- */

spi_err spi_replica_begin(struct spi_replica *c, struct spi_graph *g,
                          const struct spi_generation *gen, int block_images)
{
    struct spi_generation_work *w;
    spi_err err = SPI_NEW(w, 1, "generation");

    if (err)
        return err;
    w->g = g;
    w->progress = gen->progress;
    w->user = gen->user;
    c->work = w;
    SPI_TRY(err = context_init(&w->context, c, gen, block_images), out);
    SPI_TRY(err = model_arrays(w, c), out);
    SPI_TRY(err = half_set_arrays(w, c->half), out);
    SPI_TRY(err = template_arrays(w), out);
    SPI_TRY(err = batch_arrays(w), out);
    if (gen->merge)
        err = merge_arrays(w);
out:
    return err;
}

spi_err spi_replica_slice(struct spi_replica *c)
{
    return submit_slice(c->work);
}

/* Templates are what takes most memory, partial sums come next: not both at once. */
static spi_err release_templates(struct spi_generation_work *w)
{
    struct spi_array *const done[] = {w->fine, w->templates, w->table, w->S};
    spi_err err = SPI_OK;

    for (size_t i = 0; i < sizeof done / sizeof *done && !err; i++)
        err = spi_array_release(w->g, done[i]);
    return err;
}

spi_err spi_replica_match(struct spi_replica *c)
{
    spi_err err = submit_match(c->work);

    if (!err)
        err = release_templates(c->work);
    return err || c->work->context.merge ? err : submit_keep(c->work);
}

spi_err spi_replica_merge(struct spi_replica *c)
{
    spi_err err = submit_index(c->work);

    if (!err)
        err = submit_keep(c->work); /* with fluences whose mean is 1 */
    return err ? err : submit_merge(c->work);
}

static double mean_score(struct spi_generation_work *w)
{
    const struct spi_best *best = spi_array_data(w->best, SPI_WHOLE, NULL);
    const float *counts = spi_array_data(w->counts, SPI_WHOLE, NULL);
    double sum = 0, all = 0;

    for (int64_t i = 0; i < w->context.n_batch; i++) {
        sum += (double)best[i].score;
        all += (double)counts[i];
    }
    return all > 0 ? sum / all : 0;
}

static void work_free(struct spi_generation_work *w)
{
    struct spi_array *const all[] = {
        w->model,     w->solved,  w->beta,   w->residual,  w->candidate, w->half_fluence,
        w->half_best, w->fine,    w->rings,  w->templates, w->table,     w->S,
        w->counts,    w->fluence, w->best,   w->kept,      w->pair,      w->angle,
        w->weight,    w->scale,   w->sorted, w->sorted_at, w->place,     w->partial_weight};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        spi_array_free(w->g, all[i]);
    for (int s = 0; s < SPI_PARTIALS_MAX; s++) {
        spi_array_free(w->g, w->soft[s]);
        spi_array_free(w->g, w->partial[s]);
    }
    context_clear(&w->context);
    spi_volume_clear(&w->next);
    free(w);
}

/* The solution becomes the model; its scale is the data's. */
static void take_next(struct spi_replica *c, struct spi_generation_work *w)
{
    spi_array_free(w->g, w->model);
    spi_array_free(w->g, w->solved);
    w->model = w->solved = NULL;
    spi_volume_clear(&c->A);
    c->A = w->next;
    w->next = (struct spi_volume){0};
    free(c->ring_scale);
    c->ring_scale = NULL;
}

void spi_replica_settle(struct spi_replica *c, bool done)
{
    struct spi_generation_work *w = c->work;

    if (!w)
        return;
    if (done) {
        const struct spi_views *views = &w->context.level->views;

        if (!w->context.only_candidates)
            c->score = mean_score(w);
        if (w->solved)
            take_next(c, w);
        if (w->context.keep_candidates) {
            c->half->candidate_nd = views->nd;
            c->half->candidate_cell = views->cell;
        }
        if (w->context.store_best)
            c->half->best_nd = views->nd;
    }
    work_free(w);
    c->work = NULL;
}
