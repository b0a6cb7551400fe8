/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Of mtip/merging_parts.h: blocks of images -> partial sums, pixel by pixel. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "mtip/merging_parts.h"

static const double partial_bytes =
    6e8; /* partials of all sets, if there are more than 2 a set */

/* ---- the images of a block ---------------------------------------------------------- */

struct spi_merging_block spi_merging_block_at(struct spi_merging *m, int n_sets,
                                              int64_t first, int64_t number)
{
    int64_t left = m->n_images - first;

    return (struct spi_merging_block){.m = m,
                                      .done = &m->done,
                                      .n_sets = n_sets,
                                      .partial = (int)(number % m->n_partials),
                                      .first = first,
                                      .n = left < m->block ? left : m->block};
}

spi_err spi_merging_choose(const struct spi_merging_block *a, int set,
                           struct spi_merging_chosen *c)
{
    const struct spi_merging_spec *s = &a->m[set].spec;
    spi_err err;

    *c = (struct spi_merging_chosen){0};
    SPI_TRY(err = SPI_NEW(c->quat, a->n, "merge"), out);
    SPI_TRY(err = SPI_NEW(c->phi, a->n, "merge"), out);
    SPI_TRY(err = SPI_NEW(c->times, a->n, "merge"), out);
    for (int64_t k = a->first; k < a->first + a->n; k++)
        if (s->fluence[k] > 0) {
            memcpy(c->quat[c->n], s->quat[k], sizeof *c->quat);
            c->times[c->n] = spi_beside_times(&s->beside, k);
            c->phi[c->n++] = s->fluence[k];
        }
out:
    return err;
}

void spi_merging_chosen_clear(struct spi_merging_chosen *c)
{
    free(c->quat);
    free(c->phi);
    free(c->times);
    *c = (struct spi_merging_chosen){0};
}

struct taking {
    int64_t n_pixels;
    float scale;
    const struct spi_beside *beside;
    int64_t first; /* image of the file where `all` begins */
    const float *all;
    float *pixels;
    const int64_t *image; /* of each that takes part, in `all` */
};

static void take_one(void *ctx, int rank, int64_t item)
{
    const struct taking *t = ctx;
    const float *from = t->all + t->image[item] * t->n_pixels;
    float *to = t->pixels + item * t->n_pixels,
          times = spi_beside_times(t->beside, t->first + t->image[item]);

    (void)rank;
    for (int64_t p = 0; p < t->n_pixels; p++)
        to[p] = t->scale * from[p] - spi_beside_at(t->beside, times, p);
}

void spi_merging_take(const struct spi_merging_block *a, int set, const float *all,
                      float *pixels)
{
    const struct spi_merging_spec *s = &a->m[set].spec;
    int64_t image[SPI_MERGING_BLOCK_MAX], n = 0;
    struct taking t = {.n_pixels = spi_images_detector(s->images)->n_pixels,
                       .scale = (float)s->scale,
                       .beside = &s->beside,
                       .first = a->first,
                       .all = all,
                       .pixels = pixels,
                       .image = image};

    for (int64_t i = 0; i < a->n; i++)
        if (s->fluence[a->first + i] > 0)
            image[n++] = i;
    /* in one memory an image may take the place of the one before only */
    spi_parallel_for(all == pixels ? 1 : SPI_THREADS_MAX, n, take_one, &t);
}

double spi_merging_expected_misfit(const struct spi_merging_spec *s,
                                   const struct spi_merging_chosen *c, int64_t n_pixels,
                                   const float *pixels)
{
    const struct spi_pixel_list *l = s->pixels;
    double sum = 0;

    for (int64_t k = 0; k < c->n; k++)
        for (int64_t p = 0; p < l->n; p++) { /* what was taken out is noise all the same */
            float K = pixels[k * n_pixels + l->pixel[p]] +
                      spi_beside_at(&s->beside, c->times[k], l->pixel[p]);

            sum += (double)(l->kappa[p] * K / (c->phi[k] * l->geometry[p]));
        }
    return sum;
}

void spi_merging_tell(const struct spi_merging_block *a, spi_err err)
{
    const struct spi_merging *m = a->m;
    int64_t done = __atomic_add_fetch(a->done, a->n, __ATOMIC_RELAXED);

    if (!err && m->spec.progress)
        m->spec.progress(done, m->n_images, m->spec.user);
}

/* ---- spreading ---------------------------------------------------------------------- */

/* The images c of one set, of a block that has been read, to its partial; l: the pixels of
 * the block. */
static spi_err spread_set(const struct spi_merging *m, const struct spi_pixel_list *l,
                          const struct spi_merging_chosen *c, const float *pixels,
                          void *partial, struct spi_merging_sums *sums)
{
    const struct spi_merging_spec *s = &m->spec;
    int64_t n_pixels = spi_images_detector(s->images)->n_pixels;
    double t0 = spi_now_s();
    spi_points *own = NULL;
    spi_err err;

    sums->noise2 += spi_merging_expected_misfit(s, c, n_pixels, pixels);
    if (l != s->pixels && !s->f64)
        SPI_TRY(err = spi_points_new(m->plan, l->n, (const float(*)[3])l->q, &own), out);
    if (s->f64)
        err = spi_direct_merge_f64(l, c->n, n_pixels, pixels, (const double(*)[4])c->quat,
                                   c->phi, &m->modes, partial, &sums->weight, &sums->norm2);
    else
        err = spi_merge_pixels(l, own ? own : m->points, c->n, n_pixels, pixels,
                               (const double(*)[4])c->quat, c->phi, SPI_THREADS_MAX,
                               partial, &sums->weight, &sums->norm2);
    sums->merged += c->n;
    sums->spread_s += spi_now_s() - t0;
out:
    spi_points_free(own);
    return err;
}

/* v: of each set a partial and its sums. */
static spi_err task_spread(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct spi_merging_block *a = arg;
    int64_t n_pixels = spi_images_detector(a->m->spec.images)->n_pixels, n = 0;
    double t0 = spi_now_s();
    struct spi_merging_chosen c[SPI_MERGING_SETS_MAX] = {{0}};
    struct spi_merging_sums *first = v[1].data;
    float *all = NULL, *pixels = NULL;
    struct spi_pixel_list moved;
    const struct spi_pixel_list *l;
    spi_err err;

    (void)stop;
    SPI_TRY(err = spi_pixel_list_of(a->m->spec.pixels, a->m->spec.images, a->first, a->n,
                                    &moved, &l),
            out);
    for (int i = 0; i < a->n_sets; i++) {
        SPI_TRY(err = spi_merging_choose(a, i, &c[i]), out);
        n += c[i].n;
    }
    if (n == 0)
        goto out;
    SPI_TRY(err = SPI_NEW(all, a->n * n_pixels, "merge"), out);
    if (a->n_sets > 1)
        SPI_TRY(err = SPI_NEW(pixels, a->n * n_pixels, "merge"), out);
    SPI_TRY(err = spi_images_read(a->m->spec.images, a->first, a->n, all), out);
    first->read_s += spi_now_s() - t0;
    for (int i = 0; i < a->n_sets && !err; i++)
        if (c[i].n > 0) {
            float *own = pixels ? pixels : all;

            spi_merging_take(a, i, all, own);
            err = spread_set(&a->m[i], l, &c[i], own, v[2 * i].data, v[2 * i + 1].data);
        }
out:
    spi_pixel_list_of_clear(&moved);
    for (int i = 0; i < a->n_sets; i++)
        spi_merging_chosen_clear(&c[i]);
    free(all);
    free(pixels);
    spi_merging_tell(a, err);
    return err;
}

spi_err spi_merging_each_block(struct spi_merging *m, int n_sets, const char *name,
                               spi_task_fn *fn, struct spi_array *extra)
{
    spi_err err = SPI_OK, late;

    for (int64_t first = 0, b = 0; first < m->n_images && !err; first += m->block, b++) {
        struct spi_merging_block a = spi_merging_block_at(m, n_sets, first, b);
        struct spi_access access[2 * SPI_MERGING_SETS_MAX + 1];
        int n = 0;

        for (int i = 0; i < n_sets; i++) {
            access[n++] = (struct spi_access){m[i].partial[a.partial], 0, SPI_READ_WRITE};
            access[n++] = (struct spi_access){m[i].sums, a.partial, SPI_READ_WRITE};
        }
        if (extra)
            access[n++] = (struct spi_access){extra, 0, SPI_READ};
        err = spi_graph_submit(m->spec.graph, name, fn, &a, sizeof a, n, access);
    }
    late = spi_graph_wait(m->spec.graph);
    return err ? err : late;
}

spi_err spi_merging_spread(struct spi_merging *m, int n_sets)
{
    return spi_merging_each_block(m, n_sets, "merge", task_spread, NULL);
}

/* ---- partial sums ------------------------------------------------------------------- */

/* Reals of a partial. */
static int64_t partial_values(const struct spi_merging *m)
{
    int64_t side = m->modes.m;

    return m->spec.f64 ? 2 * side * side * side
                       : (int64_t)spi_nufft_grid_floats(m->plan, 2);
}

spi_err spi_merging_partials_new(struct spi_merging *m, int n_sets)
{
    int64_t values = partial_values(m);
    struct spi_array_shape one = {SPI_ARRAY_OF(float, "partial sums"), .rows = values,
                                  .columns = 1, .unset = true};
    struct spi_array_shape sums = {SPI_ARRAY_OF(struct spi_merging_sums, "sums"),
                                   .columns = 1};
    spi_err err;

    if (m->spec.f64) {
        one.type = SPI_F64;
        one.item = sizeof(double);
    }
    m->n_partials =
        (int)fmin(SPI_MERGING_PARTIALS_MAX / n_sets,
                  fmax(2, partial_bytes / ((double)values * (double)one.item) / n_sets));
    sums.rows = sums.parts = m->n_partials;
    SPI_TRY(err = spi_array_new(m->spec.graph, &sums, &m->sums), out);
    for (int i = 0; i < m->n_partials; i++)
        SPI_TRY(err = spi_array_new(m->spec.graph, &one, &m->partial[i]), out);
    spi_merging_partials_zero(m);
out:
    return err;
}

enum { CHUNKS = 256 }; /* of the partials, which are large */

struct partials {
    void *data[SPI_MERGING_PARTIALS_MAX];
    int n;
    int64_t values; /* of each */
    bool f64;
};

static struct partials partials_of(struct spi_merging *m)
{
    struct partials p = {.n = m->n_partials, .f64 = m->spec.f64};

    for (int s = 0; s < p.n; s++)
        p.data[s] = spi_array_data(m->partial[s], 0, &p.values);
    return p;
}

static void part(const struct partials *p, int64_t item, int64_t *from, int64_t *to)
{
    *from = p->values * item / CHUNKS;
    *to = p->values * (item + 1) / CHUNKS;
}

/* A chunk of partial 0 += those of the others, in their order. */
static void sum_chunk(void *ctx, int rank, int64_t item)
{
    const struct partials *p = ctx;
    int64_t from, to;

    (void)rank;
    part(p, item, &from, &to);
    for (int s = 1; s < p->n; s++)
        for (int64_t i = from; i < to; i++)
            if (p->f64)
                ((double *)p->data[0])[i] += ((const double *)p->data[s])[i];
            else
                ((float *)p->data[0])[i] += ((const float *)p->data[s])[i];
}

void spi_merging_partials_sum(struct spi_merging *m)
{
    struct partials p = partials_of(m);

    spi_parallel_for(SPI_THREADS_MAX, CHUNKS, sum_chunk, &p);
}

static void zero_chunk(void *ctx, int rank, int64_t item)
{
    const struct partials *p = ctx;
    size_t size = p->f64 ? sizeof(double) : sizeof(float);
    int64_t from, to;

    (void)rank;
    part(p, item, &from, &to);
    for (int s = 0; s < p->n; s++)
        memset((char *)p->data[s] + (size_t)from * size, 0, (size_t)(to - from) * size);
}

void spi_merging_partials_zero(struct spi_merging *m)
{
    struct partials p = partials_of(m);

    spi_parallel_for(SPI_THREADS_MAX, CHUNKS, zero_chunk, &p);
}

void spi_merging_partials_free(struct spi_merging *m)
{
    for (int s = 0; s < m->n_partials; s++) {
        spi_array_free(m->spec.graph, m->partial[s]);
        m->partial[s] = NULL;
    }
    spi_array_free(m->spec.graph, m->sums);
    m->sums = NULL;
}

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

spi_err spi_merging_collect(struct spi_merging *m, int c, int n, double *to)
{
    size_t count = (size_t)n * (size_t)n * (size_t)n;
    void *sum = spi_array_data(m->partial[0], 0, NULL);
    float *modes = NULL;
    spi_err err;

    if (m->spec.f64) {
        even_part(m->modes.m, sum, n, c == 1, to);
        return SPI_OK;
    }
    if ((err = SPI_NEW(modes, count, "merge")) != SPI_OK)
        return err;
    err = spi_nufft_collect(m->plan, sum, c, n, modes);
    for (size_t i = 0; i < count && !err; i++)
        to[i] = (double)modes[i];
    free(modes);
    return err;
}
