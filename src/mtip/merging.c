/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/merging.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "plot/plot.h"

enum {
    PIXELS_AT_ONCE = 1 << 22, /* of one task: 16 MiB, 256 images of 128 x 128 */
    POINTS_AT_ONCE = 1 << 20, /* double: 56 bytes a point */
    SERIAL_BELOW = 48,        /* voxels an axis: a product takes less than its tasks */
    VIEW_BLOCKS = 32,         /* of directions */
    CHUNKS = 16               /* tasks of one pass over a cube */
};
static const double partial_bytes =
    6e8; /* partials of all sets, if there are more than 2 a set */

/* ---- spreading ---------------------------------------------------------------------- */

struct block {
    struct spi_merging *m; /* [n_sets] */
    int n_sets, partial;
    int64_t first, n;
};

/* Images of a block that take part in a set. */
static spi_err choose(const struct block *a, int set, struct spi_merging_chosen *c)
{
    const struct spi_merging_spec *s = &a->m[set].spec;
    spi_err err;

    *c = (struct spi_merging_chosen){0};
    SPI_TRY(err = SPI_NEW(c->quat, a->n, "merge"), out);
    SPI_TRY(err = SPI_NEW(c->phi, a->n, "merge"), out);
    for (int64_t k = a->first; k < a->first + a->n; k++)
        if (s->fluence[k] > 0) {
            memcpy(c->quat[c->n], s->quat[k], sizeof *c->quat);
            c->phi[c->n++] = s->fluence[k];
        }
out:
    return err;
}

static void choose_clear(struct spi_merging_chosen *c)
{
    free(c->quat);
    free(c->phi);
    *c = (struct spi_merging_chosen){0};
}

/* The images of a block that take part in a set, in counts: from `all` to `pixels`, which
 * may be the same memory. */
static void take_images(const struct block *a, int set, const float *all, float *pixels)
{
    const struct spi_merging_spec *s = &a->m[set].spec;
    int64_t n_pixels = spi_images_detector(s->images)->n_pixels, kept = 0;

    for (int64_t i = 0; i < a->n; i++) {
        float *to = pixels + kept * n_pixels;

        if (!(s->fluence[a->first + i] > 0))
            continue;
        for (int64_t p = 0; p < n_pixels; p++)
            to[p] = (float)s->scale * all[i * n_pixels + p];
        kept++;
    }
}

/* Only images that take part, in counts. */
static spi_err read_block(const struct block *a, float *pixels)
{
    spi_err err = spi_images_read(a->m->spec.images, a->first, a->n, pixels);

    if (!err)
        take_images(a, 0, pixels, pixels);
    return err;
}

/* (V12): var b = K / (phi g)^2 for photons, so w var b = kappa K / (phi g). */
static double expected_misfit(const struct spi_pixel_list *l,
                              const struct spi_merging_chosen *c, int64_t n_pixels,
                              const float *pixels)
{
    double sum = 0;

    for (int64_t k = 0; k < c->n; k++)
        for (int64_t p = 0; p < l->n; p++)
            sum += (double)(l->kappa[p] * pixels[k * n_pixels + l->pixel[p]] /
                            (c->phi[k] * l->geometry[p]));
    return sum;
}

static void tell_progress(const struct block *a, spi_err err)
{
    struct spi_merging *m = a->m;
    int64_t done = __atomic_add_fetch(&m->done, a->n, __ATOMIC_RELAXED);

    if (!err && m->spec.progress)
        m->spec.progress(done, m->n_images, m->spec.user);
}

/* The images c of one set, of a block that has been read, to its partial. */
static spi_err spread_set(const struct block *a, int set,
                          const struct spi_merging_chosen *c, const float *pixels)
{
    struct spi_merging *m = &a->m[set];
    const struct spi_merging_spec *s = &m->spec;
    struct spi_merging_partial *partial = &m->partial[a->partial];
    int64_t n_pixels = spi_images_detector(s->images)->n_pixels;
    double t0 = spi_now_s();
    spi_err err;

    partial->noise2 += expected_misfit(s->pixels, c, n_pixels, pixels);
    if (s->f64)
        err = spi_direct_merge_f64(s->pixels, c->n, n_pixels, pixels,
                                   (const double(*)[4])c->quat, c->phi, &m->modes,
                                   partial->modes, &partial->weight, &partial->norm2);
    else
        err = spi_merge_pixels(s->pixels, c->n, n_pixels, pixels,
                               (const double(*)[4])c->quat, c->phi, m->plan, partial->grid,
                               &partial->weight, &partial->norm2);
    partial->merged += c->n;
    partial->spread_s += spi_now_s() - t0;
    return err;
}

static spi_err task_spread(void *const *data, const void *arg, const volatile int *stop)
{
    const struct block *a = arg;
    int64_t n_pixels = spi_images_detector(a->m->spec.images)->n_pixels, n = 0;
    double t0 = spi_now_s();
    struct spi_merging_chosen c[SPI_MERGING_SETS_MAX] = {{0}};
    float *all = NULL, *pixels = NULL;
    spi_err err = SPI_OK;

    (void)data;
    (void)stop;
    for (int i = 0; i < a->n_sets; i++) {
        SPI_TRY(err = choose(a, i, &c[i]), out);
        n += c[i].n;
    }
    if (n == 0)
        goto out;
    SPI_TRY(err = SPI_NEW(all, a->n * n_pixels, "merge"), out);
    if (a->n_sets > 1)
        SPI_TRY(err = SPI_NEW(pixels, a->n * n_pixels, "merge"), out);
    SPI_TRY(err = spi_images_read(a->m->spec.images, a->first, a->n, all), out);
    a->m->partial[a->partial].read_s += spi_now_s() - t0;
    for (int i = 0; i < a->n_sets && !err; i++)
        if (c[i].n > 0) {
            float *own = pixels ? pixels : all;

            take_images(a, i, all, own);
            err = spread_set(a, i, &c[i], own);
        }
out:
    for (int i = 0; i < a->n_sets; i++)
        choose_clear(&c[i]);
    free(all);
    free(pixels);
    tell_progress(a, err);
    return err;
}

static struct block block_at(struct spi_merging *m, int n_sets, int64_t first, int64_t b)
{
    int64_t left = m->n_images - first;

    return (struct block){m, n_sets, (int)(b % m->n_partials), first,
                          left < m->block ? left : m->block};
}

/* One task a block; each partial is written in the order of submission. */
static spi_err each_block(struct spi_merging *m, int n_sets, const char *name,
                          spi_task_fn *fn)
{
    spi_err err = SPI_OK, late;

    for (int64_t first = 0, b = 0; first < m->n_images && !err; first += m->block, b++) {
        struct block a = block_at(m, n_sets, first, b);
        struct spi_access access[SPI_MERGING_SETS_MAX];

        for (int i = 0; i < n_sets; i++)
            access[i] = (struct spi_access){m[i].region[a.partial], SPI_READ_WRITE};
        err = spi_graph_submit(m->spec.graph, name, fn, &a, sizeof a, n_sets, access);
    }
    late = spi_graph_wait(m->spec.graph);
    return err ? err : late;
}

/* Reals of a partial. */
static size_t partial_values(const struct spi_merging *m)
{
    size_t side = (size_t)m->modes.m;

    return m->spec.f64 ? 2 * side * side * side : spi_nufft_grid_floats(m->plan, 2);
}

/* partial 0 += all others, in their order. */
static void sum_partials(struct spi_merging *m)
{
    size_t count = partial_values(m);

    for (int s = 1; s < m->n_partials; s++)
        for (size_t i = 0; i < count; i++)
            if (m->spec.f64)
                ((double *)m->partial[0].modes)[i] += ((double *)m->partial[s].modes)[i];
            else
                m->partial[0].grid[i] += m->partial[s].grid[i];
}

static void clear_partials(struct spi_merging *m)
{
    for (int s = 0; s < m->n_partials; s++)
        if (m->spec.f64)
            memset(m->partial[s].modes, 0, partial_values(m) * sizeof(double));
        else
            memset(m->partial[s].grid, 0, partial_values(m) * sizeof(float));
}

static spi_err make_partials(struct spi_merging *m, int n_sets)
{
    const struct spi_merging_spec *s = &m->spec;
    double bytes;
    spi_err err;

    bytes = (double)partial_values(m) * (s->f64 ? sizeof(double) : sizeof(float));
    m->n_partials = (int)fmin(SPI_MERGING_PARTIALS_MAX / n_sets,
                              fmax(2, partial_bytes / bytes / n_sets));
    for (int i = 0; i < m->n_partials; i++) {
        struct spi_merging_partial *partial = &m->partial[i];

        if (s->f64)
            SPI_TRY(err = SPI_NEW(partial->modes, partial_values(m) / 2, "merge"), out);
        else
            SPI_TRY(err = spi_nufft_grid_new(m->plan, 2, &partial->grid), out);
        SPI_TRY(err = spi_region_new(s->graph, partial, sizeof *partial, &m->region[i]),
                out);
    }
out:
    return err;
}

/* ---- images summed by view direction ------------------------------------------------ */

/* Harmonics of the images of a block that take part. */
static spi_err analyse(struct spi_merging *m, struct spi_merging_partial *partial,
                       int64_t i, const float *image, float (*value)[2])
{
    float phi = partial->chosen.phi[i];

    spi_merge_pixels_weigh(m->spec.pixels, image, phi, value, &partial->weight,
                           &partial->norm2);
    return spi_view_sums_analyse(&m->views, (const float(*)[2])value,
                                 partial->h + i * spi_view_sums_harmonics(&m->views));
}

static spi_err task_rings(void *const *data, const void *arg, const volatile int *stop)
{
    const struct block *a = arg;
    struct spi_merging *m = a->m;
    struct spi_merging_partial *partial = &m->partial[a->partial];
    int64_t n_pixels = spi_images_detector(m->spec.images)->n_pixels;
    float *pixels = NULL, (*value)[2] = NULL;
    double t0 = spi_now_s(), t1;
    spi_err err;

    (void)data;
    (void)stop;
    choose_clear(&partial->chosen);
    SPI_TRY(err = choose(a, 0, &partial->chosen), out);
    SPI_TRY(err = SPI_NEW(pixels, a->n * n_pixels, "merge"), out);
    SPI_TRY(err = SPI_NEW(value, m->spec.pixels->n, "merge"), out);
    if (!partial->h)
        SPI_TRY(err = SPI_NEW(partial->h, m->block * spi_view_sums_harmonics(&m->views),
                              "merge"),
                out);
    SPI_TRY(err = read_block(a, pixels), out);
    t1 = spi_now_s();
    partial->noise2 += expected_misfit(m->spec.pixels, &partial->chosen, n_pixels, pixels);
    for (int64_t i = 0; i < partial->chosen.n && !err; i++)
        err = analyse(m, partial, i, pixels + i * n_pixels, value);
    partial->merged += partial->chosen.n;
    partial->read_s += t1 - t0;
    partial->spread_s += spi_now_s() - t1;
out:
    free(value);
    free(pixels);
    tell_progress(a, err);
    return err;
}

/* Their sums by view direction, one block after another. */
static spi_err task_sum(void *const *data, const void *arg, const volatile int *stop)
{
    const struct block *a = arg;
    struct spi_merging *m = a->m;
    const struct spi_merging_partial *partial = &m->partial[a->partial];

    (void)data;
    (void)stop;
    for (int64_t i = 0; i < partial->chosen.n; i++)
        spi_view_sums_add(&m->views, partial->h + i * spi_view_sums_harmonics(&m->views),
                          partial->chosen.quat[i], partial->chosen.phi[i]);
    return SPI_OK;
}

/* Directions first .. first + n - 1. */
static spi_err task_views(void *const *data, const void *arg, const volatile int *stop)
{
    const struct block *a = arg;
    struct spi_merging_partial *partial = &a->m->partial[a->partial];
    double t0 = spi_now_s();
    spi_err err =
        spi_view_sums_spread(&a->m->views, a->first, a->n, a->m->plan, partial->grid);

    (void)data;
    (void)stop;
    partial->spread_s += spi_now_s() - t0;
    return err;
}

/* images -> harmonics (a partial holds a block) -> sums by direction -> partial sums */
static spi_err spread_sums(struct spi_merging *m)
{
    const struct spi_merging_spec *s = &m->spec;
    struct spi_graph *g = s->graph;
    spi_err err, late;

    SPI_TRY(err = spi_view_sums_init(&m->views, s->pixels,
                                     spi_images_detector(s->images)->wavelength_A,
                                     s->diameter_A, s->average),
            out);
    SPI_TRY(err = spi_region_new(g, &m->views, sizeof m->views, &m->views_region), out);
    for (int64_t first = 0, b = 0; first < m->n_images && !err; first += m->block, b++) {
        struct block a = block_at(m, 1, first, b);
        struct spi_access access[2] = {{m->region[a.partial], SPI_READ_WRITE},
                                       {m->views_region, SPI_READ_WRITE}};

        err = spi_graph_submit(g, "rings", task_rings, &a, sizeof a, 1, access);
        access[0].privilege = SPI_READ;
        if (!err)
            err = spi_graph_submit(g, "sum", task_sum, &a, sizeof a, 2, access);
    }
    for (int b = 0; b < VIEW_BLOCKS && !err; b++) {
        int64_t from = m->views.nd * b / VIEW_BLOCKS,
                to = m->views.nd * (b + 1) / VIEW_BLOCKS;
        struct block a = {m, 1, b % m->n_partials, from, to - from};
        struct spi_access access[2] = {{m->region[a.partial], SPI_READ_WRITE},
                                       {m->views_region, SPI_READ}};

        err = spi_graph_submit(g, "merge", task_views, &a, sizeof a, 2, access);
    }
out:
    late = spi_graph_wait(g);
    spi_region_free(g, m->views_region);
    m->views_region = NULL;
    return err ? err : late;
}

/* ---- the normal equations ----------------------------------------------------------- */

/* The even part of the middle n^3 of m^3 modes: its real or its imaginary part. */
static void even_part(int m, const double complex *modes, int n, bool imaginary, double *to)
{
    size_t at = 0;

    for (int z = -n / 2; z < n / 2; z++)
        for (int y = -n / 2; y < n / 2; y++)
            for (int x = -n / 2; x < n / 2; x++, at++) {
                int h = m / 2;
                bool edge = z == -h || y == -h || x == -h; /* no partner */
                double complex v =
                    modes[((z + h) * (size_t)m + (size_t)(y + h)) * (size_t)m +
                          (size_t)(x + h)];
                double complex w =
                    edge ? 0
                         : modes[((size_t)(h - z) * (size_t)m + (size_t)(h - y)) *
                                     (size_t)m +
                                 (size_t)(h - x)];

                to[at] = edge ? 0 : imaginary ? cimag(v + w) / 2 : creal(v + w) / 2;
            }
}

static spi_err collect_f32(struct spi_merging *m, int c, int n, double *to)
{
    size_t count = (size_t)n * (size_t)n * (size_t)n;
    float *modes = NULL;
    spi_err err = SPI_NEW(modes, count, "merge");

    if (!err)
        err = spi_nufft_collect(m->plan, m->partial[0].grid, c, n, modes);
    for (size_t i = 0; i < count && !err; i++)
        to[i] = (double)modes[i];
    free(modes);
    return err;
}

/* Component c (0: w b, 1: w) of the summed partials, the middle n^3 modes. */
static spi_err collect(struct spi_merging *m, int c, int n, double *to)
{
    if (!m->spec.f64)
        return collect_f32(m, c, n, to);
    even_part(m->modes.m, m->partial[0].modes, n, c == 1, to);
    return SPI_OK;
}

static spi_err apply_direct(const void *self, const double *x, double *y);
static spi_err apply_tasks(const void *self, const double *x, double *y);

static void drop_partials(struct spi_merging *m)
{
    for (int s = 0; s < m->n_partials; s++) {
        spi_region_free(m->spec.graph, m->region[s]);
        m->region[s] = NULL;
        free(m->partial[s].grid);
        free(m->partial[s].modes);
        free(m->partial[s].h);
        choose_clear(&m->partial[s].chosen);
        m->partial[s].h = NULL;
        m->partial[s].grid = NULL;
        m->partial[s].modes = NULL;
    }
}

static spi_err make_normal(struct spi_merging *m)
{
    const struct spi_merging_spec *s = &m->spec;
    size_t n = (size_t)m->n;
    double *b = NULL, *Q = NULL;
    spi_err err;

    if (!s->direct && !s->f64) {
        SPI_TRY(err = spi_normal_collect(m->plan, m->partial[0].grid, m->n, &b, &Q), out);
    } else {
        SPI_TRY(err = SPI_NEW(b, n * n * n, "merge"), out);
        SPI_TRY(err = collect(m, 0, m->n, b), out);
        if (!s->direct) {
            SPI_TRY(err = SPI_NEW(Q, 8 * n * n * n, "merge"), out);
            SPI_TRY(err = collect(m, 1, 2 * m->n, Q), out);
        }
    }
    if (!s->direct)
        drop_partials(m); /* large, and no longer needed */
    SPI_TRY(err = spi_normal_new(&m->normal, m->n, m->dx, s->diameter_A, b, Q, m->weight,
                                 s->f64),
            out);
    m->normal.op.apply = s->direct ? apply_direct : apply_tasks;
    m->normal.op.self = m;
    if (s->corner_weight > 0)
        spi_normal_damp_corners(&m->normal, s->corner_weight, s->pixels->q_max);
    if (s->direct && !s->f64)
        SPI_TRY(err = spi_nufft_grid_new(m->plan, 1, &m->prepared), out);
    if (s->direct && s->f64)
        SPI_TRY(err = SPI_NEW(m->A, n * n * n, "merge"), out);
    if (s->prior)
        err = spi_normal_prior(&m->normal, s->prior);
out:
    free(b);
    free(Q);
    return err;
}

static spi_err make_plan(struct spi_merging *m)
{
    const struct spi_merging_spec *s = &m->spec;

    spi_merge_grid(s->diameter_A, s->pixels->q_max, &m->n, &m->dx);
    m->modes =
        (struct spi_modes){.m = s->direct ? m->n : 2 * m->n, .dx = m->dx, .tol = s->tol};
    return s->f64 ? SPI_OK : spi_nufft_new(m->modes.m, m->dx, s->tol, &m->plan);
}

/* The sums of all partials and the normal equations; the images took `wall` s. */
static spi_err collect_sums(struct spi_merging *m, double wall)
{
    double t0 = spi_now_s(), read_s = 0, spread_s = 0;
    spi_err err;

    spi_view_sums_clear(&m->views);
    for (int s = 0; s < m->n_partials; s++) {
        m->weight += m->partial[s].weight;
        m->norm2 += m->partial[s].norm2;
        m->noise2 += m->partial[s].noise2;
        m->n_merged += m->partial[s].merged;
        read_s += m->partial[s].read_s;
        spread_s += m->partial[s].spread_s;
    }
    /* the workers' seconds as shares of the wall clock's */
    m->read_s = wall * read_s / fmax(read_s + spread_s, 1e-9);
    m->spread_s = wall - m->read_s;
    sum_partials(m);
    err = make_normal(m);
    m->collect_s = spi_now_s() - t0;
    return err;
}

spi_err spi_merging_init_sets(struct spi_merging *m, const struct spi_merging_spec *spec,
                              int n_sets, const float *const *fluence)
{
    int64_t per_image = spi_images_detector(spec->images)->n_pixels;
    double t0 = spi_now_s(), wall;
    spi_err err;

    for (int i = 0; i < n_sets; i++) {
        m[i] =
            (struct spi_merging){.spec = *spec, .n_images = spi_images_count(spec->images)};
        m[i].spec.fluence = fluence[i];
        m[i].block = (spec->f64 ? POINTS_AT_ONCE : PIXELS_AT_ONCE) / per_image;
        m[i].block = m[i].block < 1 ? 1 : m[i].block > 256 ? 256 : m[i].block;
    }
    if (n_sets < 1 || n_sets > SPI_MERGING_SETS_MAX || (spec->average > 0 && n_sets > 1))
        return spi_fail(SPI_EINVAL, "merge: %d sets at once; needed 1 to %d, summed: 1",
                        n_sets, SPI_MERGING_SETS_MAX);
    if (spec->average > 0 && (spec->direct || spec->f64))
        return spi_fail(SPI_EINVAL,
                        "merge: summed images need the Toeplitz product, single "
                        "precision");
    for (int i = 0; i < n_sets; i++) {
        SPI_TRY(err = make_plan(&m[i]), out);
        SPI_TRY(err = make_partials(&m[i], n_sets), out);
    }
    SPI_TRY(err = spec->average > 0 ? spread_sums(m)
                                    : each_block(m, n_sets, "merge", task_spread),
            out);
    wall = spi_now_s() - t0;
    for (int i = 0; i < n_sets && !err; i++)
        err = collect_sums(&m[i], wall);
out:
    return err;
}

spi_err spi_merging_init(struct spi_merging *m, const struct spi_merging_spec *spec)
{
    return spi_merging_init_sets(m, spec, 1, &spec->fluence);
}

void spi_merging_clear(struct spi_merging *m)
{
    drop_partials(m);
    spi_normal_clear(&m->normal);
    spi_view_sums_clear(&m->views);
    spi_nufft_free(m->plan);
    free(m->prepared);
    free(m->A);
    *m = (struct spi_merging){0};
}

static void count_product(struct spi_merging *m)
{
    m->products++;
    if (m->spec.stepped)
        m->spec.stepped(m->products, m->spec.user);
}

/* ---- products ----------------------------------------------------------------------- */

struct chunk {
    struct spi_merging *m;
    int part, from, to;
};

static spi_err task_convolve(void *const *data, const void *arg, const volatile int *stop)
{
    const struct chunk *a = arg;
    const struct spi_normal *N = &a->m->normal;

    (void)data;
    (void)stop;
    if (a->part == 0)
        return spi_convolve_planes(N->toeplitz, N->cube, a->from, a->to);
    if (a->part == 1)
        return spi_convolve_columns(N->toeplitz, a->from, a->to);
    return spi_convolve_back(N->toeplitz, N->cube, a->from, a->to);
}

/* The Toeplitz product, its planes and columns as tasks. */
static spi_err apply_tasks(const void *self, const double *x, double *y)
{
    /* the operator's counter and scratch; CG sees a constant product */
    struct spi_merging *m = (struct spi_merging *)(uintptr_t)self;
    const struct spi_normal *N = &m->normal;

    count_product(m);
    spi_even_vector_put_f64(&N->u, x, N->cube);
    if (m->n < SERIAL_BELOW) {
        spi_err err = spi_convolve_apply(N->toeplitz, N->cube, N->cube);

        spi_even_vector_get_f64(&N->u, N->cube, y);
        return err;
    }
    for (int part = 0; part < 3; part++) {
        int planes = part == 1 ? 2 * m->n : m->n;
        spi_err err = SPI_OK, late;

        for (int i = 0; i < CHUNKS && !err; i++) {
            struct chunk a = {m, part, planes * i / CHUNKS, planes * (i + 1) / CHUNKS};

            if (a.to > a.from)
                err = spi_graph_submit(m->spec.graph, "solve", task_convolve, &a, sizeof a,
                                       0, NULL);
        }
        late = spi_graph_wait(m->spec.graph);
        if (err || late)
            return err ? err : late;
    }
    spi_even_vector_get_f64(&N->u, N->cube, y);
    return SPI_OK;
}

static spi_err task_direct(void *const *data, const void *arg, const volatile int *stop)
{
    const struct block *a = arg;
    struct spi_merging *m = a->m;
    const struct spi_merging_spec *s = &m->spec;
    struct spi_merging_chosen c;
    spi_err err = choose(a, 0, &c);

    (void)data;
    (void)stop;
    if (!err && c.n && s->f64)
        err = spi_direct_add_f64(s->pixels, c.n, (const double(*)[4])c.quat, c.phi,
                                 &m->modes, m->A, m->partial[a->partial].modes);
    else if (!err && c.n)
        err = spi_direct_add(s->pixels, c.n, (const double(*)[4])c.quat, c.phi, m->plan,
                             m->prepared, m->partial[a->partial].grid);
    choose_clear(&c);
    return err;
}

static spi_err prepare_direct(struct spi_merging *m)
{
    const struct spi_normal *N = &m->normal;
    size_t n = (size_t)m->n, count = n * n * n;
    float *A = NULL;
    spi_err err;

    if (m->spec.f64) {
        for (size_t i = 0; i < count; i++)
            m->A[i] = N->cube[i];
        return SPI_OK;
    }
    if ((err = SPI_NEW(A, count, "merge")) != SPI_OK)
        return err;
    for (size_t i = 0; i < count; i++)
        A[i] = (float)N->cube[i];
    err = spi_nufft_prepare(m->plan, A, m->prepared);
    free(A);
    return err;
}

/* The product point by point (V11), and the corner term, a convolution in either way. */
static spi_err apply_direct(const void *self, const double *x, double *y)
{
    struct spi_merging *m = (struct spi_merging *)(uintptr_t)self; /* as apply_tasks */
    const struct spi_normal *N = &m->normal;
    double *corner = NULL;
    spi_err err;

    count_product(m);
    clear_partials(m);
    spi_even_vector_put_f64(&N->u, x, N->cube);
    SPI_TRY(err = prepare_direct(m), out);
    SPI_TRY(err = each_block(m, 1, "solve", task_direct), out);
    if (m->spec.corner_weight > 0) {
        SPI_TRY(err = SPI_NEW(corner, N->u.count, "merge"), out);
        SPI_TRY(err = spi_convolve_apply(N->toeplitz, N->cube, N->cube), out);
        spi_even_vector_get_f64(&N->u, N->cube, corner);
    }
    sum_partials(m);
    SPI_TRY(err = collect(m, 0, m->n, N->cube), out);
    spi_even_vector_get_f64(&N->u, N->cube, y);
    for (int64_t i = 0; corner && i < N->u.count; i++)
        y[i] += corner[i];
out:
    free(corner);
    return err;
}

/* ---- solution ----------------------------------------------------------------------- */

struct spi_cg_options spi_merging_rules(const struct spi_merging *m,
                                        const struct spi_settings *set, int n_iter)
{
    double d = set->discrepancy;

    return (struct spi_cg_options){
        .n_iter = n_iter,
        .tol = set->cg_tol,
        .enough = d > 0 ? fmax(m->norm2 - d * d * m->noise2, 1e-300) : 0,
        .stop = m->spec.stop};
}

spi_err spi_merging_solve(struct spi_merging *m, double lambda,
                          const struct spi_cg_options *opt, float *A,
                          struct spi_cg_report *report)
{
    double t0 = spi_now_s();
    spi_err err = spi_normal_solve(&m->normal, lambda, opt, A, report);

    m->solve_s += spi_now_s() - t0;
    return err;
}

struct one_lambda {
    const struct spi_normal *N;
    double lambda;
    const struct spi_cg_options *opt;
    double *x;
    struct spi_cg_report *report;
};

/* CG of its own for one lambda, with a product of its own. */
static spi_err task_lambda(void *const *data, const void *arg, const volatile int *stop)
{
    const struct one_lambda *a = arg;
    struct spi_normal own;
    spi_err err = spi_normal_share(a->N, &own);

    (void)data;
    (void)stop;
    if (err)
        return err;
    err = spi_normal_cg(&own, a->lambda, a->opt, a->x, a->report);
    spi_normal_unshare(&own);
    return err;
}

/* The published scheme.  The direct product is made of tasks itself: one after another. */
static spi_err solve_independent(struct spi_merging *m, int n, const double *lambdas,
                                 const struct spi_cg_options *opt, double *x,
                                 struct spi_cg_report *report)
{
    spi_err err = SPI_OK, late = SPI_OK;

    for (int i = 0; i < n && !err; i++) {
        struct one_lambda a = {&m->normal, lambdas[i], opt, x + i * m->normal.u.count,
                               report + i};

        err = m->spec.direct ? spi_normal_cg(a.N, a.lambda, opt, a.x, a.report)
                             : spi_graph_submit(m->spec.graph, "solve", task_lambda, &a,
                                                sizeof a, 0, NULL);
    }
    if (!m->spec.direct)
        late = spi_graph_wait(m->spec.graph);
    for (int i = 0; i < n && !err && !late; i++)
        m->products += m->spec.direct ? 0 : report[i].n_iter;
    return err ? err : late;
}

spi_err spi_merging_solve_lcurve(struct spi_merging *m, const struct spi_settings *set,
                                 bool independent, const struct spi_cg_options *opt,
                                 float *A, struct spi_merging_lcurve *curve)
{
    int n = set->N_lambda;
    double lo = set->lambda_min, hi = set->lambda_max, t0 = spi_now_s();
    double *lambdas = NULL, *x = NULL;
    struct spi_cg_report *report = NULL;
    spi_err err;

    *curve = (struct spi_merging_lcurve){.n = n};
    if (!(lo > 0 && hi > lo))
        return spi_fail(SPI_EINVAL,
                        "algorithm.lambda_min is %g, lambda_max %g; need 0 < min < max", lo,
                        hi);
    SPI_TRY(err = SPI_NEW(lambdas, n, "L-curve"), out);
    SPI_TRY(err = SPI_NEW(report, n, "L-curve"), out);
    SPI_TRY(err = SPI_NEW(curve->points, n, "L-curve"), out);
    SPI_TRY(err = SPI_NEW(x, n * m->normal.u.count, "L-curve"), out);
    for (int i = 0; i < n; i++)
        lambdas[i] = lo * pow(hi / lo, (double)i / (n - 1));
    SPI_TRY(err = independent ? solve_independent(m, n, lambdas, opt, x, report)
                              : spi_normal_krylov(&m->normal, n, lambdas, opt, x, report),
            out);
    err = spi_normal_choose(&m->normal, n, lambdas, m->norm2, x, report, A, curve->points,
                            &curve->choice, &curve->report);
out:
    m->solve_s += spi_now_s() - t0;
    free(x);
    free(report);
    free(lambdas);
    return err;
}

void spi_merging_lcurve_clear(struct spi_merging_lcurve *c)
{
    free(c->points);
    *c = (struct spi_merging_lcurve){0};
}

spi_err spi_merging_lcurve_plot(const struct spi_merging_lcurve *c, const char *path,
                                const char *title)
{
    const struct spi_lcurve_point *best = &c->points[c->choice.index];
    double *x = NULL, *y = NULL;
    char note[128];
    spi_err err;

    SPI_TRY(err = SPI_NEW(x, c->n, "L-curve"), out);
    SPI_TRY(err = SPI_NEW(y, c->n, "L-curve"), out);

    struct spi_curve curve[2] = {
        {.name = "lambda from small to large", .n = c->n, .x = x, .y = y},
        {.name = "chosen", .n = 1, .x = &best->residual, .y = &best->norm, .points = true}};
    struct spi_plot p = {.title = title,
                         .x_label = "misfit |W b - H x|",
                         .y_label = "norm of the autocorrelation",
                         .note = note,
                         .log_x = true,
                         .log_y = true,
                         .curves = curve,
                         .n_curves = 2};

    for (int i = 0; i < c->n; i++)
        x[i] = c->points[i].residual, y[i] = c->points[i].norm;
    snprintf(note, sizeof note, "lambda = %.3g of the trace (%s)", best->lambda,
             spi_lcurve_how_text(c->choice.how));
    err = spi_plot_curves(path, &p);
out:
    free(x);
    free(y);
    return err;
}
