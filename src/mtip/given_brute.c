/* SPDX-License-Identifier: GPL-3.0-or-later */
/* given_brute.c, of mtip/given.h: matching pixel by pixel, as published. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "match/brute.h"
#include "math/rot.h"
#include "mtip/given.h"
#include "mtip/orientations.h"
#include "mtip/reference.h"

enum {
    PARTIALS = 64,
    TASKS = 64
};                              /* at most, of the best orientations; between two waits */
enum { READ_PIXELS = 1 << 23 }; /* at once: 32 MiB */

struct brute_job {
    const struct spi_given *m;
    struct spi_reference reference;
    struct spi_pixel_list list;
    float *inv_var; /* [list.n], or NULL: not weighted */
    struct spi_brute brute;
    struct spi_brute_images images;
    int64_t block; /* directions of a task */
    int n_blocks, n_partials;
    struct spi_array *best;       /* [n_partials][images.n] */
    struct spi_array *group_best; /* [n_blocks][images.n][block] */
    int64_t done;                 /* pairs */
    struct spi_orientations *o;
};

struct brute_args {
    const struct brute_job *j;
    int64_t first, n; /* directions */
};

/* v: best orientations of the partial, best scores of the block's directions. */
static spi_err task_brute(struct spi_view *view, const void *arg, const volatile int *stop)
{
    const struct brute_args *a = arg;
    const struct brute_job *j = a->j;
    const struct spi_views *v = &j->m->views;
    int64_t n = a->n * v->Na;
    float *group_best = view[1].data;
    double(*quat)[4] = NULL;
    spi_err err;

    (void)stop;
    SPI_TRY(err = SPI_NEW(quat, n, "orientations"), out);
    for (int64_t i = 0; i < n; i++)
        spi_view_quat(v, a->first + i / v->Na, 2 * SPI_PI * (double)(i % v->Na) / v->Na,
                      quat[i]);
    for (int64_t i = 0; i < view[1].n; i++)
        group_best[i] = -INFINITY;
    err = spi_brute_match(&j->brute, j->reference.plan, j->reference.grid, a->first * v->Na,
                          n, (const double(*)[4])quat, &j->images, view[0].data, v->Na,
                          j->block, group_best);
out:
    free(quat);
    return err;
}

/* 1 / variance of each pixel, of a weighted likelihood. */
static spi_err pixel_variances(struct brute_job *j, int R)
{
    const struct spi_data *d = j->m->spec.data;
    float *ring = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(ring, R, "variances"), out);
    SPI_TRY(err = SPI_NEW(j->inv_var, j->list.n, "variances"), out);
    spi_data_inv_var(d, j->m->spec.like, R, ring);
    spi_pixel_list_from_rings(&j->list, &d->rings, R, ring, j->inv_var);
out:
    free(ring);
    return err;
}

static spi_err brute_init(struct brute_job *j)
{
    const struct spi_given *m = j->m;
    const struct spi_data *d = m->spec.data;
    int R = spi_rings_upto(&d->rings, m->spec.q_max);
    spi_err err;

    SPI_TRY(err = spi_reference_init(&j->reference, d, m->spec.q_max,
                                     m->spec.set->nufft_tol, &m->A),
            out);
    SPI_TRY(err = spi_pixel_list_init(&j->list, d->det, d->rings.q[0], d->rings.q[R - 1]),
            out);
    if (m->spec.like->weighted)
        SPI_TRY(err = pixel_variances(j, R), out);
    SPI_TRY(err =
                spi_brute_init(&j->brute, m->spec.like, &j->list, j->inv_var, d->rings.dq),
            out);
    j->block = m->views.Na < 2048 ? 2048 / m->views.Na : 1;
    j->n_blocks = (int)((m->views.nd + j->block - 1) / j->block);
    j->n_partials = 2 * spi_graph_workers(m->spec.graph);
    j->n_partials = j->n_partials < PARTIALS ? j->n_partials : PARTIALS;
out:
    return err;
}

static void brute_clear(struct brute_job *j)
{
    spi_brute_clear(&j->brute);
    spi_pixel_list_clear(&j->list);
    spi_reference_clear(&j->reference);
    free(j->inv_var);
}

/* Read n images in blocks, keeping only the pixels that take part. */
static spi_err pack_images(struct brute_job *j, int64_t first, int64_t n)
{
    const struct spi_data *d = j->m->spec.data;
    int64_t n_pixels = d->det->n_pixels, P = j->list.n, block = READ_PIXELS / n_pixels;
    struct spi_beside beside = spi_data_beside(d);
    struct spi_brute_images part = {0};
    float *pixels = NULL;
    spi_err err;

    block = block < 1 ? 1 : block;
    j->images = (struct spi_brute_images){.n = n};
    SPI_TRY(err = SPI_NEW(pixels, block * n_pixels, "images"), out);
    SPI_TRY(err = SPI_NEW(j->images.row, n * P, "images"), out);
    SPI_TRY(err = SPI_NEW(j->images.count, n, "images"), out);
    SPI_TRY(err = SPI_NEW(j->images.norm2, n, "images"), out);
    for (int64_t k = 0; k < n; k += block) {
        int64_t c = n - k < block ? n - k : block;

        SPI_TRY(err = spi_images_read(d->images, first + k, c, pixels), out);
        for (int64_t i = 0; i < c; i++) {
            float times = spi_beside_times(&beside, first + k + i);

            for (int64_t p = 0; p < n_pixels; p++)
                pixels[i * n_pixels + p] = pixels[i * n_pixels + p] * (float)d->scale -
                                           spi_beside_at(&beside, times, p);
        }
        SPI_TRY(err = spi_brute_images_init(&part, &j->list, c, n_pixels, pixels), out);
        memcpy(j->images.row + k * P, part.row, (size_t)(c * P) * sizeof *part.row);
        memcpy(j->images.count + k, part.count, (size_t)c * sizeof *part.count);
        memcpy(j->images.norm2 + k, part.norm2, (size_t)c * sizeof *part.norm2);
        spi_brute_images_clear(&part);
    }
out:
    free(pixels);
    return err;
}

static spi_err chunk_new(struct brute_job *j, int64_t first, int64_t n)
{
    struct spi_array_shape best = {SPI_ARRAY_OF(struct spi_brute_best, "best orientations"),
                                   .rows = j->n_partials, .columns = n,
                                   .parts = j->n_partials},
                           groups = {SPI_ARRAY_OF(float, "best scores of directions"),
                                     .rows = j->n_blocks, .columns = n * j->block,
                                     .parts = j->n_blocks, .unset = true};
    struct spi_brute_best *none;
    int64_t all;
    spi_err err;

    SPI_TRY(err = pack_images(j, first, n), out);
    SPI_TRY(err = spi_array_new(j->m->spec.graph, &best, &j->best), out);
    SPI_TRY(err = spi_array_new(j->m->spec.graph, &groups, &j->group_best), out);
    none = spi_array_data(j->best, SPI_WHOLE, &all);
    for (int64_t k = 0; k < all; k++)
        none[k] = spi_brute_best_none;
out:
    return err;
}

static void chunk_clear(struct brute_job *j)
{
    spi_brute_images_clear(&j->images);
    spi_array_free(j->m->spec.graph, j->best);
    spi_array_free(j->m->spec.graph, j->group_best);
    j->best = j->group_best = NULL;
}

/* The best score of each direction, of image k. */
static void scores_of(struct brute_job *j, int64_t k, float *score)
{
    for (int b = 0; b < j->n_blocks; b++) {
        const float *block = spi_array_data(j->group_best, b, NULL);
        int64_t first = b * j->block, left = j->m->views.nd - first;

        memcpy(score + first, block + k * j->block,
               (size_t)(left < j->block ? left : j->block) * sizeof *score);
    }
}

static spi_err chunk_store(struct brute_job *j, int64_t first)
{
    const struct spi_views *v = &j->m->views;
    struct spi_brute_best *best = spi_array_data(j->best, 0, NULL);
    float *score;
    spi_err err = SPI_NEW(score, v->nd, "scores");

    for (int s = 1; s < j->n_partials; s++)
        spi_brute_reduce(j->images.n, spi_array_data(j->best, s, NULL), best);
    for (int64_t k = 0; k < j->images.n && !err; k++) {
        const struct spi_brute_best *b = &best[k];
        int64_t i = first + k, at = b->at < 0 ? 0 : b->at;

        if (!j->m->spec.data->split.half[i])
            continue; /* blank */
        scores_of(j, k, score);
        spi_view_quat(v, at / v->Na, 2 * SPI_PI * (double)(at % v->Na) / v->Na,
                      j->o->quat + 4 * i);
        j->o->score[i] = b->at < 0 ? 0 : b->score;
        j->o->fluence[i] = b->fluence;
        j->o->margin[i] = b->at < 0 ? 0 : spi_brute_margin(v, score, at / v->Na);
    }
    free(score);
    return err;
}

/* All orientations against the images in memory. */
static spi_err match_chunk(struct brute_job *j)
{
    const struct spi_given_spec *spec = &j->m->spec;
    int64_t nd = j->m->views.nd;
    spi_err err = SPI_OK, late;

    for (int b = 0; b < j->n_blocks; b++) {
        int64_t first = b * j->block, left = nd - first;
        struct brute_args a = {j, first, left < j->block ? left : j->block};
        struct spi_access access[2] = {{j->best, b % j->n_partials, SPI_READ_WRITE},
                                       {j->group_best, b, SPI_WRITE}};

        SPI_TRY(err = spi_graph_submit(spec->graph, "match", task_brute, &a, sizeof a, 2,
                                       access),
                out);
        j->done += a.n * j->images.n;
        if (b % TASKS == TASKS - 1) {
            SPI_TRY(err = spi_graph_wait(spec->graph), out);
            if (spec->progress)
                spec->progress(j->done / nd, spec->data->n_images, spec->user);
        }
    }
out:
    late = spi_graph_wait(spec->graph);
    return err ? err : late;
}

spi_err spi_given_brute(const struct spi_given *m, double bytes, struct spi_orientations *o)
{
    struct brute_job j = {.m = m, .o = o};
    int64_t n_images = m->spec.data->n_images, chunk;
    spi_err err;

    *o = (struct spi_orientations){0};
    SPI_TRY(err = brute_init(&j), out);
    SPI_TRY(err = spi_given_none(m, false, o), out);
    bytes /= 4.0 * (double)(j.list.n + m->views.nd);
    chunk = bytes < 1 ? 1 : bytes > (double)n_images ? n_images : (int64_t)bytes;
    for (int64_t k = 0; k < n_images; k += chunk) {
        int64_t n = n_images - k < chunk ? n_images - k : chunk;

        err = chunk_new(&j, k, n);
        if (!err)
            err = match_chunk(&j);
        if (!err)
            err = chunk_store(&j, k);
        chunk_clear(&j);
        SPI_TRY(err, out);
    }
    spi_orientations_normalise(o);
out:
    brute_clear(&j);
    if (err)
        spi_orientations_clear(o);
    return err;
}
