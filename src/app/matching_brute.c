/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Matching pixel by pixel, as published. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/matching_parts.h"
#include "app/stage.h"
#include "base/mem.h"
#include "math/rot.h"

struct brute_job {
    const struct spi_matching *m;
    struct spi_pixel_list list;
    float *inv_var; /* [list.n], or NULL */
    struct spi_brute brute;
    struct spi_brute_images images;
    struct spi_matching_partials partials;
    struct spi_brute_best *best[SPI_MATCHING_TASKS]; /* [images.n] of each partial */
    float *group_best;                               /* [images.n][nd] */
    int64_t done, total;                             /* pairs */
    struct spi_orientations *o;
};

struct brute_args {
    struct brute_job *j;
    int partial;
    int64_t first, n; /* directions */
};

static spi_err task_brute(struct spi_view *view, const void *arg, const volatile int *stop)
{
    const struct brute_args *a = arg;
    struct brute_job *j = a->j;
    const struct spi_views *v = &j->m->views;
    int64_t n = a->n * v->Na;
    double(*quat)[4] = NULL;
    spi_err err;

    (void)view;
    (void)stop;
    SPI_TRY(err = SPI_NEW(quat, n, "orientations"), out);
    for (int64_t i = 0; i < n; i++)
        spi_view_quat(v, a->first + i / v->Na, 2 * SPI_PI * (double)(i % v->Na) / v->Na,
                      quat[i]);
    err = spi_brute_match(&j->brute, j->m->plan, j->m->grid, a->first * v->Na, n,
                          (const double(*)[4])quat, &j->images, j->best[a->partial], v->Na,
                          v->nd, j->group_best);
out:
    free(quat);
    return err;
}

static spi_err brute_init(struct brute_job *j)
{
    const struct spi_matching *m = j->m;
    spi_err err;

    SPI_TRY(err = spi_pixel_list_init(&j->list, m->det, m->rings.q[0],
                                      m->rings.q[m->band.R - 1]),
            out);
    if (m->inv_var) {
        SPI_TRY(err = SPI_NEW(j->inv_var, j->list.n, "variances"), out);
        spi_pixel_list_from_rings(&j->list, &m->rings, m->band.R, m->inv_var, j->inv_var);
    }
    SPI_TRY(err =
                spi_brute_init(&j->brute, m->spec.like, &j->list, j->inv_var, m->rings.dq),
            out);
    err = spi_matching_partials_init(&j->partials, m->spec.graph);
out:
    return err;
}

static void brute_clear(struct brute_job *j)
{
    if (j->partials.g)
        spi_matching_partials_clear(&j->partials);
    spi_brute_clear(&j->brute);
    spi_pixel_list_clear(&j->list);
    free(j->inv_var);
}

/* Read n images in blocks, keeping only the pixels that take part. */
static spi_err pack_images(struct brute_job *j, int64_t first, int64_t n)
{
    const struct spi_matching *m = j->m;
    int64_t n_pixels = m->det->n_pixels, P = j->list.n, block = spi_stage_block(m->det);
    struct spi_brute_images part = {0};
    float *pixels = NULL;
    spi_err err;

    j->images = (struct spi_brute_images){.n = n};
    SPI_TRY(err = SPI_NEW(pixels, block * n_pixels, "images"), out);
    SPI_TRY(err = SPI_NEW(j->images.row, n * P, "images"), out);
    SPI_TRY(err = SPI_NEW(j->images.count, n, "images"), out);
    SPI_TRY(err = SPI_NEW(j->images.norm2, n, "images"), out);
    for (int64_t k = 0; k < n; k += block) {
        int64_t c = n - k < block ? n - k : block;

        SPI_TRY(err = spi_images_read(m->spec.images, first + k, c, pixels), out);
        for (int64_t i = 0; i < c * n_pixels; i++)
            pixels[i] *= (float)m->scale;
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
    int64_t groups = n * j->m->views.nd;
    spi_err err;

    SPI_TRY(err = pack_images(j, first, n), out);
    SPI_TRY(err = SPI_NEW(j->group_best, groups, "scores"), out);
    for (int64_t i = 0; i < groups; i++)
        j->group_best[i] = -INFINITY;
    for (int s = 0; s < j->partials.n; s++) {
        SPI_TRY(err = SPI_NEW(j->best[s], n, "scores"), out);
        for (int64_t k = 0; k < n; k++)
            j->best[s][k] = spi_brute_best_none;
    }
out:
    return err;
}

static void chunk_clear(struct brute_job *j)
{
    spi_brute_images_clear(&j->images);
    free(j->group_best);
    j->group_best = NULL;
    for (int s = 0; s < SPI_MATCHING_TASKS; s++) {
        free(j->best[s]);
        j->best[s] = NULL;
    }
}

static void chunk_store(struct brute_job *j, int64_t first)
{
    const struct spi_views *v = &j->m->views;

    for (int s = 1; s < j->partials.n; s++)
        spi_brute_reduce(j->images.n, j->best[s], j->best[0]);
    for (int64_t k = 0; k < j->images.n; k++) {
        const struct spi_brute_best *b = &j->best[0][k];
        int64_t i = first + k, at = b->at < 0 ? 0 : b->at;

        spi_view_quat(v, at / v->Na, 2 * SPI_PI * (double)(at % v->Na) / v->Na,
                      j->o->quat + 4 * i);
        j->o->score[i] = b->at < 0 ? 0 : b->score;
        j->o->fluence[i] = b->fluence;
        j->o->margin[i] =
            b->at < 0 ? 0 : spi_brute_margin(v, j->group_best + k * v->nd, at / v->Na);
    }
}

/* All orientations against the images in memory. */
static spi_err match_chunk(struct brute_job *j)
{
    const struct spi_matching_spec *spec = &j->m->spec;
    const struct spi_views *v = &j->m->views;
    int64_t block = v->Na < 2048 ? 2048 / v->Na : 1;
    int turn = 0;
    spi_err err = SPI_OK;

    for (int64_t d = 0; d < v->nd; d += block, turn++) {
        int partial = turn % j->partials.n;
        struct brute_args a = {j, partial, d, v->nd - d < block ? v->nd - d : block};
        struct spi_access access = {j->partials.turn, partial, SPI_READ_WRITE};

        SPI_TRY(err = spi_graph_submit(j->partials.g, "match", task_brute, &a, sizeof a, 1,
                                       &access),
                out);
        j->done += a.n * j->images.n;
        if (partial == j->partials.n - 1) {
            SPI_TRY(err = spi_graph_wait(j->partials.g), out);
            if (spec->progress)
                spec->progress(j->done / v->nd, j->m->n_images, spec->user);
        }
    }
out:
    return err ? err : spi_graph_wait(j->partials.g);
}

spi_err spi_matching_brute(const struct spi_matching *m, double bytes,
                           struct spi_orientations *o)
{
    struct brute_job j = {.m = m, .o = o};
    int64_t chunk;
    spi_err err;

    *o = (struct spi_orientations){0};
    SPI_TRY(err = brute_init(&j), out);
    SPI_TRY(err = spi_matching_results_new(m->n_images, false, o), out);
    bytes /= 4.0 * (double)(j.list.n + m->views.nd);
    chunk = bytes < 1 ? 1 : bytes > (double)m->n_images ? m->n_images : (int64_t)bytes;
    for (int64_t k = 0; k < m->n_images; k += chunk) {
        int64_t n = m->n_images - k < chunk ? m->n_images - k : chunk;

        err = chunk_new(&j, k, n);
        if (!err)
            err = match_chunk(&j);
        if (err)
            (void)!spi_graph_wait(m->spec.graph);
        else
            chunk_store(&j, k);
        chunk_clear(&j);
        SPI_TRY(err, out);
    }
    err = spi_matching_results_finish(m, o);
out:
    brute_clear(&j);
    if (err)
        spi_orientations_clear(o);
    return err;
}
