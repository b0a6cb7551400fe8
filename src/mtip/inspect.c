/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/inspect.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "mtip/reference.h"

enum { BLOCK = 64, PARTIALS = 8 };
static const double half_explained = 0.5;

/* What the tasks read. */
struct frame {
    struct spi_run *r;
    struct spi_orientations *o;
    struct spi_pixel_list pixels;
    struct spi_misfit_pairs pairs;
    struct spi_reference model[2];
    spi_packed *kept[2];
    spi_points *points[2];             /* the pixels, for each model's plan */
    float *mean;                       /* of all images on the pixel's ring */
    const struct spi_likelihood *like; /* of the noise of such images */
    float *inv_var;                    /* NULL: not weighted */
};

/* What a task adds to. */
struct partial {
    struct spi_misfit *all; /* [n_shells] of images that are no outliers */
    struct spi_outliers outliers;
    int64_t images, outlier_images;
    struct spi_region *region;
};

static spi_err ring_to_pixels(const struct frame *f, const struct spi_rings *g, int R,
                              const float *ring, float **out)
{
    spi_err err = SPI_NEW(*out, f->pixels.n, "inspection");

    if (!err)
        spi_pixel_list_from_rings(&f->pixels, g, R, ring, *out);
    return err;
}

static void frame_clear(struct frame *f)
{
    spi_misfit_pairs_clear(&f->pairs);
    spi_pixel_list_clear(&f->pixels);
    for (int h = 0; h < 2; h++) {
        spi_points_free(f->points[h]);
        spi_packed_free(f->kept[h]);
        spi_reference_clear(&f->model[h]);
    }
    free(f->mean);
    free(f->inv_var);
}

static spi_err frame_init(struct frame *f, struct spi_run *r,
                          const struct spi_volume *const A[2], struct spi_orientations *o)
{
    const struct spi_data *d = r->data;
    const struct spi_rings *g = &d->rings;
    int R = spi_rings_upto(g, r->q_max);
    float *ring = NULL;
    spi_err err;

    *f = (struct frame){.r = r, .o = o, .like = spi_likelihood_of(d->kind)};
    SPI_TRY(err = SPI_NEW(ring, R, "inspection"), out);
    SPI_TRY(err = spi_pixel_list_init(&f->pixels, d->det, g->q[0], g->q[R - 1]), out);
    SPI_TRY(err = spi_misfit_pairs_init(&f->pairs, &f->pixels, d->det, g->q[0], g->q[R - 1],
                                        g->diameter_A),
            out);
    for (int h = 0; h < 2; h++) {
        SPI_TRY(err = spi_reference_init(&f->model[h], r, A[h]), out);
        SPI_TRY(err = spi_packed_new(f->model[h].plan, f->model[h].grid, &f->kept[h]), out);
        spi_reference_drop_grid(&f->model[h], f->kept[h]);
        SPI_TRY(err = spi_points_new(f->model[h].plan, f->pixels.n,
                                     (const float(*)[3])f->pixels.q, &f->points[h]),
                out);
    }
    for (int i = 0; i < R; i++)
        ring[i] = (float)d->ring_mean[i];
    SPI_TRY(err = ring_to_pixels(f, g, R, ring, &f->mean), out);
    spi_data_inv_var(d, f->like, R, ring);
    if (f->like->weighted)
        err = ring_to_pixels(f, g, R, ring, &f->inv_var);
out:
    free(ring);
    return err;
}

struct block_args {
    struct frame *f;
    int64_t first, n;
};

static spi_err look(struct frame *f, int64_t k, const float *image, float *work,
                    struct spi_misfit *one, struct partial *s)
{
    const struct spi_pixel_list *l = &f->pixels;
    struct spi_orientations *o = f->o;
    int h = o->half[k] - 1;
    float *K = work, *T = work + l->n;
    struct spi_misfit sum;
    double M[1][9];
    spi_err err;

    spi_pixel_rotations(1, (const double(*)[4])(o->quat + 4 * k), M);
    err = spi_packed_slice(f->points[h], f->kept[h], 1, (const double(*)[9])M, T);
    if (err)
        return err;
    for (int64_t p = 0; p < l->n; p++)
        K[p] = (float)(f->r->data->scale * (double)image[l->pixel[p]]);
    spi_misfit_image(&f->pairs, l, f->like, K, T, f->mean, f->inv_var, k, work + 2 * l->n,
                     one, &s->outliers);
    sum = spi_misfit_sum(f->pairs.n_shells, one);
    o->misfit[k] = (float)spi_misfit_share(&sum);
    s->images++;
    if (spi_misfit_share(&sum) - 2 * spi_misfit_sigma(&sum) > half_explained)
        s->outlier_images++;
    else
        spi_misfit_add(f->pairs.n_shells, one, s->all);
    return SPI_OK;
}

static spi_err task_look(void *const *data, const void *arg, const volatile int *stop)
{
    const struct block_args *a = arg;
    struct partial *s = data[0];
    int64_t n_pixels = a->f->r->data->det->n_pixels;
    float *pixels = NULL, *work = NULL;
    struct spi_misfit *one = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(pixels, a->n * n_pixels, "inspection"), out);
    SPI_TRY(err = SPI_NEW(work, 5 * a->f->pixels.n, "inspection"), out);
    SPI_TRY(err = SPI_NEW(one, a->f->pairs.n_shells, "inspection"), out);
    SPI_TRY(err = spi_images_read(a->f->r->data->images, a->first, a->n, pixels), out);
    for (int64_t i = 0; i < a->n; i++) {
        SPI_TRY(err = *stop ? spi_fail(SPI_ECANCEL, "stopped on request") : SPI_OK, out);
        if (a->f->o->half[a->first + i] == 0)
            a->f->o->misfit[a->first + i] = NAN;
        else
            SPI_TRY(err = look(a->f, a->first + i, pixels + i * n_pixels, work, one, s),
                    out);
    }
out:
    free(pixels);
    free(work);
    free(one);
    return err;
}

/* Partials in their order. */
static void sum_up(const struct partial *partial, int n_shells, struct spi_inspection *in)
{
    int64_t outlier_images = 0;
    struct spi_misfit sum;

    for (int s = 0; s < PARTIALS; s++) {
        spi_misfit_add(n_shells, partial[s].all, in->shell);
        spi_outliers_add(&partial[s].outliers, &in->outliers);
        in->images += partial[s].images;
        outlier_images += partial[s].outlier_images;
    }
    sum = spi_misfit_sum(n_shells, in->shell);
    in->outlier_images = in->images > 0 ? (double)outlier_images / (double)in->images : 0;
    in->unexplained_variance = spi_misfit_share(&sum);
}

spi_err spi_inspect_images(struct spi_run *r, const struct spi_volume *const A[2],
                           struct spi_orientations *o, struct spi_inspection *in)
{
    struct partial partial[PARTIALS] = {{0}};
    struct frame f;
    spi_err err, late;
    int turn = 0;

    *in = (struct spi_inspection){0};
    SPI_TRY(err = frame_init(&f, r, A, o), out);
    in->n_shells = f.pairs.n_shells;
    SPI_TRY(err = SPI_NEW(in->q, in->n_shells, "inspection"), out);
    SPI_TRY(err = SPI_NEW(in->shell, in->n_shells, "inspection"), out);
    for (int s = 0; s < in->n_shells; s++)
        in->q[s] = f.pairs.q[s];
    for (int s = 0; s < PARTIALS; s++) {
        SPI_TRY(err = SPI_NEW(partial[s].all, in->n_shells, "inspection"), out);
        SPI_TRY(err = spi_region_new(r->graph, partial + s, sizeof *partial,
                                     &partial[s].region),
                out);
    }
    for (int64_t first = 0; first < o->n; first += BLOCK, turn++) {
        struct block_args a = {&f, first, o->n - first < BLOCK ? o->n - first : BLOCK};
        struct spi_access access = {partial[turn % PARTIALS].region, SPI_READ_WRITE};

        SPI_TRY(err = spi_graph_submit(r->graph, "inspect", task_look, &a, sizeof a, 1,
                                       &access),
                out);
    }
out:
    late = spi_graph_wait(r->graph);
    err = err ? err : late;
    if (!err)
        sum_up(partial, in->n_shells, in);
    for (int s = 0; s < PARTIALS; s++) {
        spi_region_free(r->graph, partial[s].region);
        free(partial[s].all);
    }
    frame_clear(&f);
    if (err)
        spi_inspection_clear(in);
    return err;
}

void spi_inspection_clear(struct spi_inspection *in)
{
    free(in->q);
    free(in->shell);
    *in = (struct spi_inspection){0};
}
