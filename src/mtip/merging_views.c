/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Of mtip/merging_parts.h: images summed by view direction before they are spread. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "mtip/merging_parts.h"

enum { VIEW_BLOCKS = 32 }; /* of directions */

struct view_sums {
    const struct spi_merging *m;
    struct spi_view_sums s; /* its sums are the arrays below while tasks run */
    struct spi_array *num, *phasor, *count, *one;
    struct spi_array *h, *quat, *phi, *chosen; /* of a block: a part a partial */
};

/* Argument of the tasks. */
struct views_block {
    struct spi_merging_block block;
    const struct view_sums *x;
};

/* v: sums, h, quat, phi, chosen.  Harmonics of the images of a block that take part. */
static spi_err task_rings(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct views_block *arguments = arg;
    const struct spi_merging_block *a = &arguments->block;
    const struct spi_view_sums *views = &arguments->x->s;
    const struct spi_merging_spec *s = &a->m->spec;
    struct spi_merging_sums *sums = v[0].data;
    float complex *h = v[1].data;
    int64_t n_pixels = spi_images_detector(s->images)->n_pixels;
    struct spi_merging_chosen c = {0};
    float *pixels = NULL, (*value)[2] = NULL;
    double t0 = spi_now_s(), t1;
    spi_err err;

    (void)stop;
    SPI_TRY(err = spi_merging_choose(a, 0, &c), out);
    SPI_TRY(err = SPI_NEW(pixels, a->n * n_pixels, "merge"), out);
    SPI_TRY(err = SPI_NEW(value, s->pixels->n, "merge"), out);
    SPI_TRY(err = spi_images_read(s->images, a->first, a->n, pixels), out);
    spi_merging_take(a, 0, pixels, pixels);
    t1 = spi_now_s();
    sums->noise2 += spi_merging_expected_misfit(s, &c, n_pixels, pixels);
    for (int64_t i = 0; i < c.n; i++) {
        spi_merge_pixels_weigh(s->pixels, pixels + i * n_pixels, c.phi[i], value,
                               &sums->weight, &sums->norm2);
        SPI_TRY(err = spi_view_sums_analyse(views, (const float(*)[2])value,
                                            h + i * spi_view_sums_harmonics(views)),
                out);
    }
    sums->merged += c.n;
    sums->read_s += t1 - t0;
    sums->spread_s += spi_now_s() - t1;
    if (c.n) {
        memcpy(v[2].data, c.quat, (size_t)c.n * sizeof *c.quat);
        memcpy(v[3].data, c.phi, (size_t)c.n * sizeof *c.phi);
    }
    *(int64_t *)v[4].data = c.n;
out:
    spi_merging_chosen_clear(&c);
    free(value);
    free(pixels);
    spi_merging_tell(a, err);
    return err;
}

/* v: h, quat, phi, chosen, num, phasor, count, one.  Sums by view direction, one block
 * after another. */
static spi_err task_sum(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct views_block *a = arg;
    struct spi_view_sums s = a->x->s;
    const float complex *h = v[0].data;
    const double *quat = v[1].data;
    const float *phi = v[2].data;
    int64_t n = *(const int64_t *)v[3].data;

    (void)stop;
    s.num = v[4].data;
    s.phasor = v[5].data;
    s.count = v[6].data;
    s.one = v[7].data;
    for (int64_t i = 0; i < n; i++)
        spi_view_sums_add(&s, h + i * spi_view_sums_harmonics(&s), quat + 4 * i, phi[i]);
    return SPI_OK;
}

/* v: partial, sums, num, phasor, count.  Directions first .. first + n - 1. */
static spi_err task_views(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct views_block *a = arg;
    struct spi_view_sums s = a->x->s;
    struct spi_merging_sums *sums = v[1].data;
    double t0 = spi_now_s();
    spi_err err;

    (void)stop;
    s.num = v[2].data;
    s.phasor = v[3].data;
    s.count = v[4].data;
    s.one = NULL;
    err = spi_view_sums_spread(&s, a->block.first, a->block.n, a->x->m->plan, v[0].data);
    sums->spread_s += spi_now_s() - t0;
    return err;
}

static spi_err wrap(struct spi_graph *g, const char *name, enum spi_type type, size_t item,
                    int64_t n, void *data, struct spi_array **out)
{
    struct spi_array_shape shape = {
        .name = name, .type = type, .item = item, .rows = n, .columns = 1};

    return spi_array_wrap(g, &shape, data, out);
}

/* A part a partial, each of `columns` elements. */
static spi_err by_partial(const struct spi_merging *m, const char *name, enum spi_type type,
                          size_t item, int64_t columns, struct spi_array **out)
{
    struct spi_array_shape shape = {.name = name,
                                    .type = type,
                                    .item = item,
                                    .rows = m->n_partials,
                                    .columns = columns,
                                    .parts = m->n_partials};

    return spi_array_new(m->spec.graph, &shape, out);
}

static spi_err arrays_init(struct view_sums *x)
{
    const struct spi_merging *m = x->m;
    struct spi_graph *g = m->spec.graph;
    struct spi_view_sums *s = &x->s;
    int64_t H = spi_view_sums_harmonics(s);
    spi_err err;

    SPI_TRY(err = wrap(g, "view sums", SPI_C32, sizeof *s->num, s->nd * H, s->num, &x->num),
            out);
    SPI_TRY(err = wrap(g, "view weights", SPI_C32, sizeof *s->phasor, s->nd * s->M,
                       s->phasor, &x->phasor),
            out);
    SPI_TRY(err = wrap(g, "images of views", SPI_I32, sizeof *s->count, s->nd, s->count,
                       &x->count),
            out);
    SPI_TRY(err = wrap(g, "phasors", SPI_C32, sizeof *s->one, s->M, s->one, &x->one), out);
    SPI_TRY(err = by_partial(m, "harmonics", SPI_C32, sizeof(float complex), m->block * H,
                             &x->h),
            out);
    SPI_TRY(err = by_partial(m, "orientations", SPI_F64, sizeof(double), 4 * m->block,
                             &x->quat),
            out);
    SPI_TRY(err = by_partial(m, "fluences", SPI_F32, sizeof(float), m->block, &x->phi),
            out);
    err = by_partial(m, "images chosen", SPI_I64, sizeof(int64_t), 1, &x->chosen);
out:
    return err;
}

static void arrays_clear(struct view_sums *x)
{
    struct spi_array *const all[] = {x->num, x->phasor, x->count, x->one,
                                     x->h,   x->quat,   x->phi,   x->chosen};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        spi_array_free(x->m->spec.graph, all[i]);
    spi_view_sums_clear(&x->s);
}

static spi_err submit_images(struct spi_merging *m, const struct view_sums *x)
{
    struct spi_graph *g = m->spec.graph;
    spi_err err = SPI_OK;

    for (int64_t first = 0, b = 0; first < m->n_images && !err; first += m->block, b++) {
        struct views_block a = {spi_merging_block_at(m, 1, first, b), x};
        int p = a.block.partial;
        struct spi_access rings[] = {{m->sums, p, SPI_READ_WRITE},
                                     {x->h, p, SPI_WRITE},
                                     {x->quat, p, SPI_WRITE},
                                     {x->phi, p, SPI_WRITE},
                                     {x->chosen, p, SPI_WRITE}},
                          sum[] = {
                              {x->h, p, SPI_READ},           {x->quat, p, SPI_READ},
                              {x->phi, p, SPI_READ},         {x->chosen, p, SPI_READ},
                              {x->num, 0, SPI_READ_WRITE},   {x->phasor, 0, SPI_READ_WRITE},
                              {x->count, 0, SPI_READ_WRITE}, {x->one, 0, SPI_READ_WRITE}};

        err = spi_graph_submit(g, "rings", task_rings, &a, sizeof a, 5, rings);
        if (!err)
            err = spi_graph_submit(g, "sum", task_sum, &a, sizeof a, 8, sum);
    }
    return err;
}

static spi_err submit_views(struct spi_merging *m, const struct view_sums *x)
{
    spi_err err = SPI_OK;

    for (int b = 0; b < VIEW_BLOCKS && !err; b++) {
        int64_t from = x->s.nd * b / VIEW_BLOCKS, to = x->s.nd * (b + 1) / VIEW_BLOCKS;
        int p = b % m->n_partials;
        struct views_block a = {
            {.m = m, .n_sets = 1, .partial = p, .first = from, .n = to - from}, x};
        struct spi_access access[] = {{m->partial[p], 0, SPI_READ_WRITE},
                                      {m->sums, p, SPI_READ_WRITE},
                                      {x->num, 0, SPI_READ},
                                      {x->phasor, 0, SPI_READ},
                                      {x->count, 0, SPI_READ}};

        err = spi_graph_submit(m->spec.graph, "merge", task_views, &a, sizeof a, 5, access);
    }
    return err;
}

/* images -> harmonics (a partial holds a block) -> sums by direction -> partial sums */
spi_err spi_merging_spread_views(struct spi_merging *m)
{
    const struct spi_merging_spec *s = &m->spec;
    struct view_sums x = {.m = m};
    spi_err err, late;

    SPI_TRY(err = spi_view_sums_init(&x.s, s->pixels,
                                     spi_images_detector(s->images)->wavelength_A,
                                     s->diameter_A, s->average),
            out);
    SPI_TRY(err = arrays_init(&x), out);
    SPI_TRY(err = submit_images(m, &x), out);
    err = submit_views(m, &x);
out:
    late = spi_graph_wait(s->graph);
    arrays_clear(&x);
    return err ? err : late;
}
