/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/inspect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "base/sort.h"
#include "match/hits.h"
#include "mtip/reference.h"

enum { BLOCK = 64, PARTIALS = 8 };
enum { WORK = 5 }; /* floats for each pixel of an image that is looked at */
static const double half_explained = 0.5;
static const double doubtful_before = 0.5, other_before = 0.95, of_map = 0.1,
                    of_others = 0.35; /* (Q26) */
static const double rings_most =
    0.1; /* (J21); good images of 5,000 photons have 0.03 and less */

/* What is left of an image beside the map: (Q9), (J20), with their errors; (J21). */
struct seen {
    float share[2], sigma[2]; /* NAN: not known */
    uint32_t other_rings;
};

/* What the tasks read. */
struct frame {
    struct spi_run *r;
    const struct spi_orientations *o; /* all but misfit and particle */
    struct spi_pixel_list pixels;
    struct spi_misfit_pairs pairs;
    struct spi_hits hits;
    struct spi_reference model[2];
    spi_packed *kept[2];
    spi_points *points[2];             /* the pixels, for each model's plan */
    float *mean;                       /* of all images on the pixel's ring */
    const struct spi_likelihood *like; /* of the noise of such images */
    float *inv_var;                    /* NULL: not weighted */
};

/* What a task adds to: a partial of what spi_inspection says. */
struct partial {
    struct spi_misfit *all; /* [n_shells] of images that are no outliers */
    struct spi_outliers *outliers;
    int64_t *images;
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
    spi_hits_clear(&f->hits);
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
                          const struct spi_volume *const A[2],
                          const struct spi_orientations *o)
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
    SPI_TRY(err = spi_hits_init(&f->hits, d->det, g->diameter_A, g->q[R - 1]), out);
    for (int h = 0; h < 2; h++) {
        SPI_TRY(err =
                    spi_reference_init(&f->model[h], d, r->q_max, r->set->nufft_tol, A[h]),
                out);
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
    const struct frame *f;
    int64_t first, n;
};

/* A block of images, one item each; what an item finds is added afterwards, image by image.
 */
struct block {
    const struct frame *f;
    const volatile int *stop;
    int64_t first;
    const float *pixels;           /* [images][n_pixels] */
    spi_points *const *points;     /* [2] of these images */
    struct spi_rooms work;         /* WORK floats for each pixel of the list */
    struct spi_rooms hits;         /* two images, and twice what spi_hits asks for */
    struct spi_misfit *one;        /* [images][n_shells] */
    struct spi_outliers *outliers; /* [images] */
    bool *explained;               /* [images] */
    float *misfit;                 /* [images] NAN: none, the image takes no part */
    struct seen *seen;             /* [images] */
    struct spi_failure failure;
};

/* (J20): structure along the rings alone, which a droplet does not have and two particles
 * have otherwise; (J21): an image that is round may be a view of the particle that is, but
 * then its rings are those of the particle. */
static spi_err along_rings(struct block *b, int rank, const float *K, const float *T,
                           float times, struct seen *seen, bool *explained)
{
    const struct frame *f = b->f;
    const struct spi_pixel_list *l = &f->pixels;
    int64_t n_pixels = f->r->data->det->n_pixels;
    float *counts = spi_rooms_of(&b->hits, rank), *model;
    const float *even = f->r->data->even;
    struct spi_hit hit;
    double share, sigma, rings;
    spi_err err = SPI_OK;

    if (!counts)
        return SPI_ENOMEM;
    model = counts + n_pixels;
    memset(counts, 0, 2 * (size_t)n_pixels * sizeof *counts);
    for (int64_t p = 0; p < l->n; p++) {
        counts[l->pixel[p]] = K[p];
        model[l->pixel[p]] = l->geometry[p] * T[p];
    }
    spi_hits_unexplained(&f->hits, counts, model, model + n_pixels, &share, &sigma);
    seen->share[1] = (float)share;
    seen->sigma[1] = (float)sigma;
    if (share - 2 * sigma > half_explained)
        *explained = false;
    rings = spi_hits_rings(&f->hits, counts, model, model + n_pixels);
    for (int64_t p = 0; p < l->n && even; p++) /* as (J19) looks at images */
        counts[l->pixel[p]] += times * even[l->pixel[p]];
    SPI_TRY(err = spi_hits_image(&f->hits, counts, model + n_pixels, &hit), out);
    if (spi_hits_round(&hit, f->r->data->structure) && rings > rings_most) {
        *explained = false;
        seen->other_rings = true;
    }
out:
    return err;
}

static void look(void *ctx, int rank, int64_t i)
{
    struct block *b = ctx;
    const struct frame *f = b->f;
    const struct spi_pixel_list *l = &f->pixels;
    const float *image = b->pixels + i * f->r->data->det->n_pixels;
    const struct spi_beside beside = spi_data_beside(f->r->data);
    float times = spi_beside_times(&beside, b->first + i);
    int64_t k = b->first + i;
    int h = f->o->half[k] - 1;
    float *K = spi_rooms_of(&b->work, rank), *T;
    struct spi_misfit *one = b->one + i * f->pairs.n_shells, sum;
    double M[1][9];
    spi_err err = K ? SPI_OK : SPI_ENOMEM;

    b->misfit[i] = NAN;
    SPI_TRY(err, out);
    T = K + l->n;
    SPI_TRY(err = *b->stop ? spi_fail(SPI_ECANCEL, "stopped on request") : SPI_OK, out);
    if (h < 0)
        return;
    spi_pixel_rotations(1, (const double(*)[4])(f->o->quat + 4 * k), M);
    SPI_TRY(err = spi_packed_slice(b->points[h], f->kept[h], 1, (const double(*)[9])M, T),
            out);
    for (int64_t p = 0; p < l->n; p++)
        K[p] = (float)(f->r->data->scale * (double)image[l->pixel[p]]) -
               spi_beside_at(&beside, times, l->pixel[p]);
    spi_misfit_image(&f->pairs, l, f->like, K, T, f->mean, f->inv_var, k, T + l->n, one,
                     &b->outliers[i]);
    sum = spi_misfit_sum(f->pairs.n_shells, one);
    b->misfit[i] = (float)spi_misfit_share(&sum);
    b->seen[i] = (struct seen){.share = {b->misfit[i], NAN},
                               .sigma = {(float)spi_misfit_sigma(&sum), NAN}};
    b->explained[i] =
        !(spi_misfit_share(&sum) - 2 * spi_misfit_sigma(&sum) > half_explained);
    err = along_rings(b, rank, K, T, times, &b->seen[i], &b->explained[i]);
out:
    spi_failure_note(&b->failure, err);
}

static void add(const struct block *b, int64_t n, struct partial *s)
{
    for (int64_t i = 0; i < n; i++) {
        if (b->f->o->half[b->first + i] == 0 || b->f->o->aside[b->first + i])
            continue;
        spi_outliers_add(&b->outliers[i], s->outliers);
        ++*s->images;
        if (b->explained[i])
            spi_misfit_add(b->f->pairs.n_shells, b->one + i * b->f->pairs.n_shells, s->all);
    }
}

/* v: misfit, and of one partial: shells, outliers, number of images; what is seen of each. */
static spi_err task_look(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct block_args *a = arg;
    const struct frame *f = a->f;
    struct partial s = {v[1].data, v[2].data, v[3].data};
    struct block b = {
        .f = f, .stop = stop, .first = a->first, .misfit = v[0].data, .seen = v[4].data};
    float *pixels = NULL;
    struct spi_pixel_list own = {0};
    const struct spi_pixel_list *l;
    spi_points *moved[2] = {NULL, NULL};
    spi_err err;

    SPI_TRY(err =
                spi_pixel_list_of(&f->pixels, f->r->data->images, a->first, a->n, &own, &l),
            out);
    for (int h = 0; h < 2 && l == &own; h++)
        SPI_TRY(err = spi_points_new(f->model[h].plan, l->n, (const float(*)[3])l->q,
                                     &moved[h]),
                out);
    b.points = l == &own ? moved : f->points;
    SPI_TRY(err = SPI_NEW_UNSET(pixels, a->n * f->r->data->det->n_pixels, "inspection"),
            out);
    SPI_TRY(err =
                spi_rooms_init(&b.work, SPI_THREADS_MAX,
                               (size_t)(WORK * f->pixels.n) * sizeof(float), "inspection"),
            out);
    SPI_TRY(err = spi_rooms_init(&b.hits, SPI_THREADS_MAX,
                                 2 * ((size_t)f->r->data->det->n_pixels * sizeof(float) +
                                      spi_hits_work_bytes(&f->hits)) +
                                     64,
                                 "inspection"),
            out);
    SPI_TRY(err = SPI_NEW(b.one, a->n * f->pairs.n_shells, "inspection"), out);
    SPI_TRY(err = SPI_NEW(b.outliers, a->n, "inspection"), out);
    SPI_TRY(err = SPI_NEW(b.explained, a->n, "inspection"), out);
    SPI_TRY(err = spi_images_read(f->r->data->images, a->first, a->n, pixels), out);
    b.pixels = pixels;
    spi_parallel_for(SPI_THREADS_MAX, a->n, look, &b);
    SPI_TRY(err = spi_failure_end(&b.failure), out);
    add(&b, a->n, &s);
out:
    spi_pixel_list_of_clear(&own);
    spi_points_free(moved[0]);
    spi_points_free(moved[1]);
    free(pixels);
    spi_rooms_clear(&b.work);
    spi_rooms_clear(&b.hits);
    free(b.one);
    free(b.outliers);
    free(b.explained);
    return err;
}

struct arrays {
    struct spi_array *misfit, *shells, *outliers, *images, *seen;
};

/* Partials in their order. */
static void sum_up(struct arrays *a, int n_shells, struct spi_inspection *in)
{
    struct spi_misfit sum;

    for (int s = 0; s < PARTIALS; s++) {
        const int64_t *images = spi_array_data(a->images, s, NULL);

        spi_misfit_add(n_shells, spi_array_data(a->shells, s, NULL), in->shell);
        spi_outliers_add(spi_array_data(a->outliers, s, NULL), &in->outliers);
        in->images += images[0];
    }
    sum = spi_misfit_sum(n_shells, in->shell);
    in->unexplained_variance = spi_misfit_share(&sum);
    in->unexplained_shells = spi_misfit_share_of_shells(n_shells, in->shell);
}

static spi_err arrays_init(struct arrays *a, struct spi_graph *g,
                           struct spi_orientations *o, int n_shells)
{
    const struct spi_array_shape
        misfit = {SPI_ARRAY_OF(float, "misfit"), .rows = o->n, .columns = 1,
                  .parts = (int)((o->n + BLOCK - 1) / BLOCK), .part_rows = BLOCK},
        look = {SPI_ARRAY_OF(struct seen, "images beside the map"), .rows = o->n,
                .columns = 1, .parts = (int)((o->n + BLOCK - 1) / BLOCK),
                .part_rows = BLOCK},
        shells = {SPI_ARRAY_OF(struct spi_misfit, "misfit shells"), .rows = PARTIALS,
                  .columns = n_shells, .parts = PARTIALS},
        outliers = {SPI_ARRAY_OF(struct spi_outliers, "outliers"), .rows = PARTIALS,
                    .columns = 1, .parts = PARTIALS},
        images = {SPI_ARRAY_OF(int64_t, "images"), .rows = PARTIALS, .columns = 1,
                  .parts = PARTIALS};
    spi_err err;

    SPI_TRY(err = spi_array_wrap(g, &misfit, o->misfit, &a->misfit), out);
    SPI_TRY(err = spi_array_new(g, &look, &a->seen), out);
    SPI_TRY(err = spi_array_new(g, &shells, &a->shells), out);
    SPI_TRY(err = spi_array_new(g, &outliers, &a->outliers), out);
    err = spi_array_new(g, &images, &a->images);
out:
    return err;
}

/* ---- what is said of each image -------------------------------------------------------- */

/* (Q26): how far the shares of images of the particle lie apart, beyond 0 and noise. */
static spi_err spread_of(const struct seen *seen, const struct spi_orientations *o,
                         int which, double *spread)
{
    double *x, middle;
    int64_t n = 0;
    spi_err err = SPI_NEW(x, o->n, "inspection");

    if (err)
        return err;
    for (int64_t k = 0; k < o->n; k++)
        if (o->half[k] && !o->aside[k] && !isnan(seen[k].share[which]))
            x[n++] = (double)seen[k].share[which];
    middle = fmax(0, spi_median(n, x));
    for (int64_t i = 0; i < n; i++)
        x[i] = fabs(x[i] - middle);
    *spread = fmax(of_map, middle + 1.4826 * spi_median(n, x));
    free(x);
    return SPI_OK;
}

/* (Q26) of one share: 0 but for the errors of image and map where the image shows the
 * particle, 1 and more or less where it shows something else. */
static double probability(double share, double sigma, double spread, double before)
{
    double s = hypot(sigma, spread), t = hypot(sigma, of_others), own, other;

    /* less structure is left than noise leaves: nothing else does so better */
    if (isnan(share) || isnan(sigma) || share <= 0)
        return before;
    own = log(before / s) - share * share / (2 * s * s);
    other = log((1 - before) / t) - (share - 1) * (share - 1) / (2 * t * t);
    return 1 / (1 + exp(other - own));
}

/* o->particle, and which images show something else (Q22). */
static spi_err say_of_each(const struct seen *seen, struct spi_orientations *o,
                           struct spi_inspection *in)
{
    double spread[2];
    int64_t n = 0;
    spi_err err;

    for (int w = 0; w < 2; w++)
        SPI_TRY(err = spread_of(seen, o, w, &spread[w]), out);
    for (int64_t k = 0; k < o->n; k++) {
        bool doubtful = o->aside[k] != SPI_ASIDE_NO;
        double before = doubtful ? doubtful_before : other_before, P = before;

        if (!o->half[k])
            continue;
        /* a view that is round has no structure along its rings to be told by */
        for (int w = 0; w < (o->aside[k] == SPI_ASIDE_ROUND ? 1 : 2); w++)
            P = fmin(P, probability((double)seen[k].share[w], (double)seen[k].sigma[w],
                                    spread[w], before));
        if (seen[k].other_rings)
            P = 0;
        o->particle[k] = (float)P;
        /* of a doubtful image something must speak for it */
        in->outlier[k] =
            P < 0.5 ||
            (doubtful && !((double)seen[k].share[0] + 2 * (double)seen[k].sigma[0] < 1));
        n += in->outlier[k] && !doubtful;
    }
    in->outlier_images = in->images > 0 ? (double)n / (double)in->images : 0;
out:
    return err;
}

spi_err spi_inspect_images(struct spi_run *r, const struct spi_volume *const A[2],
                           struct spi_orientations *o, struct spi_inspection *in)
{
    struct arrays arrays = {NULL};
    struct frame f;
    spi_err err, late;
    int block = 0;

    *in = (struct spi_inspection){0};
    SPI_TRY(err = frame_init(&f, r, A, o), out);
    in->n_shells = f.pairs.n_shells;
    SPI_TRY(err = SPI_NEW(in->q, in->n_shells, "inspection"), out);
    SPI_TRY(err = SPI_NEW(in->shell, in->n_shells, "inspection"), out);
    for (int s = 0; s < in->n_shells; s++)
        in->q[s] = f.pairs.q[s];
    SPI_TRY(err = SPI_NEW(in->outlier, o->n, "inspection"), out);
    SPI_TRY(err = arrays_init(&arrays, r->graph, o, in->n_shells), out);
    for (int64_t first = 0; first < o->n; first += BLOCK, block++) {
        struct block_args a = {&f, first, o->n - first < BLOCK ? o->n - first : BLOCK};
        struct spi_access access[5] = {{arrays.misfit, block, SPI_WRITE},
                                       {arrays.shells, block % PARTIALS, SPI_READ_WRITE},
                                       {arrays.outliers, block % PARTIALS, SPI_READ_WRITE},
                                       {arrays.images, block % PARTIALS, SPI_READ_WRITE},
                                       {arrays.seen, block, SPI_WRITE}};

        SPI_TRY(
            err = spi_graph_submit(r->graph, "inspect", task_look, &a, sizeof a, 5, access),
            out);
    }
out:
    late = spi_graph_wait(r->graph);
    err = err ? err : late;
    if (!err) {
        sum_up(&arrays, in->n_shells, in);
        err = say_of_each(spi_array_data(arrays.seen, SPI_WHOLE, NULL), o, in);
    }
    spi_array_free(r->graph, arrays.misfit);
    spi_array_free(r->graph, arrays.shells);
    spi_array_free(r->graph, arrays.outliers);
    spi_array_free(r->graph, arrays.images);
    spi_array_free(r->graph, arrays.seen);
    frame_clear(&f);
    if (err)
        spi_inspection_clear(in);
    return err;
}

void spi_inspection_clear(struct spi_inspection *in)
{
    free(in->q);
    free(in->shell);
    free(in->outlier);
    *in = (struct spi_inspection){0};
}
