/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/geometry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/rot.h"
#include "mtip/orientations.h"

enum { IMAGES_MOST = 2000, IMAGES_LEAST = 300, BLOCK = 25, PARTIALS = 8 };
static const double photons = 4e6; /* of all images that are looked at, about, for ... */
enum { PANELS = 4 };               /* ... so many panels; more for more */
/* (Q30): what matters to a map and how sure it must be; less, once something has moved. */
static const struct level {
    double stretch, shift_px, sigmas, gain; /* gain: of log-likelihood */
} to_begin = {0.006, 0.15, 5, 20}, to_go_on = {0.002, 0.05, 2, 2};
static const double drift_least_px = 0.3; /* (Q31) */

/* ---- sums over images ------------------------------------------------------------------- */

/* What the tasks read. */
struct frame {
    const struct spi_run *r;
    const struct spi_orientations *o;
    const uint8_t *outlier;
    struct spi_half_models models;
    struct spi_geometry_moves moves;
    float *slope[2];              /* [pixels] of the models' means (Q29), owned */
    int64_t n, *image;            /* [n] that are looked at, owned */
    struct spi_drift_image *seen; /* [n], owned */
};

static void frame_clear(struct frame *f)
{
    spi_half_models_clear(&f->models);
    spi_geometry_moves_clear(&f->moves);
    free(f->slope[0]);
    free(f->slope[1]);
    free(f->image);
    free(f->seen);
}

/* As many images as hold enough photons. */
static int64_t enough(const struct spi_run *r)
{
    const struct spi_data *d = r->data;
    double of_image = 0;

    if (r->set->correct_drift)
        return IMAGES_MOST;
    for (int64_t p = 0; p < d->det->n_pixels; p++)
        of_image += d->det->bad[p] ? 0 : (double)d->mean_image[p];
    return (int64_t)fmin(
        fmax(photons * fmax(1, (double)d->det->panels / PANELS) / fmax(of_image, 1),
             IMAGES_LEAST),
        IMAGES_MOST);
}

/* An image that makes a model, and that the model explains. */
static bool tells(const struct frame *f, int64_t k)
{
    const struct spi_orientations *o = f->o;

    return o->half[k] && !o->aside[k] && spi_orientations_has(o, k) &&
           !(f->outlier && f->outlier[k]);
}

/* Images evenly from all of the file. */
static spi_err choose(struct frame *f)
{
    const struct spi_orientations *o = f->o;
    int64_t all = 0, seen = 0, most = enough(f->r);
    spi_err err = SPI_NEW(f->image, most, "geometry");

    for (int64_t k = 0; k < o->n; k++)
        all += tells(f, k);
    for (int64_t k = 0; k < o->n && !err; k++)
        if (tells(f, k)) {
            int64_t take = all < most ? all : most;

            if ((seen + 1) * take / all > seen * take / all)
                f->image[f->n++] = k;
            seen++;
        }
    return err;
}

/* From some of the images of a half set. */
static spi_err mean_slope(struct frame *f, int h)
{
    enum { ENOUGH = 30 };
    struct spi_geometry_slopes sums = {{0}, {0}};
    int seen = 0;
    spi_err err = SPI_NEW(f->slope[h], f->moves.n, "geometry");

    for (int64_t i = 0; i < f->n && seen < ENOUGH && !err; i++) {
        int64_t k = f->image[i];
        double M[1][9];

        if (f->o->half[k] != h + 1)
            continue;
        spi_pixel_rotations(1, (const double(*)[4])(f->o->quat + 4 * k), M);
        spi_geometry_slopes_add(&f->models.set[h].r, &f->moves, M[0], &sums);
        seen++;
    }
    if (!err)
        spi_geometry_slopes_at(&sums, &f->moves, f->slope[h]);
    return err;
}

static spi_err frame_init(struct frame *f, const struct spi_run *r,
                          const struct spi_volume *const A[2],
                          const struct spi_orientations *o, const uint8_t *outlier)
{
    spi_err err;

    *f = (struct frame){.r = r, .o = o, .outlier = outlier};
    SPI_TRY(err = choose(f), out);
    if (f->n == 0)
        goto out;
    SPI_TRY(err = spi_half_models_init(r, A, &f->models), out);
    SPI_TRY(err =
                spi_geometry_moves_init(&f->moves, r->data->det, &f->models.set[0].pixels),
            out);
    for (int h = 0; h < 2; h++)
        SPI_TRY(err = mean_slope(f, h), out);
    err = SPI_NEW(f->seen, f->n, "geometry");
out:
    return err;
}

/* Doubles of a partial: of each half set its gradient and its Fisher matrix. */
static int64_t values_of(const struct frame *f, int half)
{
    int64_t n = f->moves.unknowns;

    return half * (n + n * n);
}

struct block_args {
    const struct frame *f;
    int64_t first, n;
};

/* One image -> the sums of its half set. */
static spi_err add_image(const struct frame *f, int64_t k, float *image, float *K,
                         double *sums, struct spi_drift_image *seen)
{
    const struct spi_data *d = f->r->data;
    const struct spi_beside beside = spi_data_beside(d);
    int h = f->o->half[k] - 1;
    struct spi_refine model = f->models.set[h].r;
    struct spi_pixel_list own = {0};
    float times = spi_beside_times(&beside, k);
    double M[1][9];
    spi_err err;

    SPI_TRY(err = spi_pixel_list_of(&f->models.set[h].pixels, d->images, k, 1, &own,
                                    &model.pixels),
            out);
    SPI_TRY(err = spi_images_read(d->images, k, 1, image), out);
    for (int64_t p = 0; p < model.pixels->n; p++) {
        int32_t at = model.pixels->pixel[p];

        K[p] = image[at] * (float)d->scale - spi_beside_at(&beside, times, at);
    }
    spi_pixel_rotations(1, (const double(*)[4])(f->o->quat + 4 * k), M);
    *seen = (struct spi_drift_image){.image = k, .half = h};
    err = spi_geometry_add(&model, &f->moves, K, f->slope[h], M[0], sums + values_of(f, h),
                           sums + values_of(f, h) + f->moves.unknowns, &seen->centre);
    /* a beam that moves one way moves all pixels' places the other way */
    seen->centre.gradient[0] = -seen->centre.gradient[0];
    seen->centre.gradient[1] = -seen->centre.gradient[1];
out:
    spi_pixel_list_of_clear(&own);
    return err;
}

/* v: a partial, what is seen of each image. */
static spi_err task_add(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct block_args *a = arg;
    const struct frame *f = a->f;
    struct spi_drift_image *seen = v[1].data;
    float *image = NULL, *K = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(image, f->r->data->det->n_pixels, "geometry"), out);
    SPI_TRY(err = SPI_NEW(K, f->models.set[0].pixels.n, "geometry"), out);
    for (int64_t i = 0; i < a->n && !err; i++)
        err = *stop ? spi_fail(SPI_ECANCEL, "stopped on request")
                    : add_image(f, f->image[a->first + i], image, K, v[0].data, &seen[i]);
out:
    free(image);
    free(K);
    return err;
}

/* total [values_of(f, 2)]: all of them, in the order of the partials. */
static spi_err sum_images(const struct frame *f, double *total)
{
    struct spi_graph *g = f->r->graph;
    int64_t n = values_of(f, 2);
    struct spi_array *partial = NULL, *seen = NULL;
    const struct spi_array_shape each = {
        SPI_ARRAY_OF(struct spi_drift_image, "centres"), .rows = f->n, .columns = 1,
        .parts = (int)((f->n + BLOCK - 1) / BLOCK), .part_rows = BLOCK};
    const struct spi_array_shape shape = {SPI_ARRAY_OF(double, "geometry"),
                                          .rows = PARTIALS, .columns = n,
                                          .parts = PARTIALS};
    spi_err err, late;
    int b = 0;

    SPI_TRY(err = spi_array_new(g, &shape, &partial), out);
    SPI_TRY(err = spi_array_wrap(g, &each, f->seen, &seen), out);
    for (int64_t first = 0; first < f->n; first += BLOCK, b++) {
        struct block_args a = {f, first, f->n - first < BLOCK ? f->n - first : BLOCK};
        struct spi_access access[2] = {{partial, b % PARTIALS, SPI_READ_WRITE},
                                       {seen, b, SPI_WRITE}};

        SPI_TRY(err = spi_graph_submit(g, "geometry", task_add, &a, sizeof a, 2, access),
                out);
    }
out:
    late = spi_graph_wait(g);
    err = err ? err : late;
    for (int s = 0; s < PARTIALS && !err; s++) {
        const double *of = spi_array_data(partial, s, NULL);

        for (int64_t i = 0; i < n; i++)
            total[i] += of[i];
    }
    spi_array_free(g, partial);
    spi_array_free(g, seen);
    return err;
}

/* ---- what follows ----------------------------------------------------------------------- */

/* How far the farthest panel is, pixels. */
static double places_far_px(const struct spi_places *p)
{
    double far = 0;

    for (int k = 0; k < p->panels; k++)
        far = fmax(far, hypot(p->shift_invA[k][0], p->shift_invA[k][1]));
    return p->panels ? far / p->pixel_invA : 0;
}

static const struct level *level_of(bool moved)
{
    return moved ? &to_go_on : &to_begin;
}

/* (Q30): of distance and panels what is certain and matters.  A model that panels or a drift
 * have blurred shows a wrong distance: they come first. */
static spi_err decide(const struct spi_geometry_sums *sums, const struct spi_places *places,
                      bool drifts, struct spi_geometry_fit *fit, bool *better)
{
    const struct level *far = level_of(places->stretch != 0),
                       *shift = level_of(places_far_px(places) > 0);
    struct spi_geometry_fit part;
    bool distance, panels;
    spi_err err = spi_geometry_solve(sums, true, true, fit);

    *better = false;
    if (err)
        return err;
    panels = fit->far_px >= fmax(shift->shift_px, shift->sigmas * fit->sigma_px);
    distance = !panels && !drifts &&
               fabs(fit->stretch) >= fmax(far->stretch, far->sigmas * fit->stretch_sigma);
    if (!distance && !panels)
        return SPI_OK;
    SPI_TRY(err = spi_geometry_solve(sums, distance, panels, &part), out);
    *better = part.gain >= fmax(distance ? far->gain : 0, panels ? shift->gain : 0);
    if (*better) {
        spi_geometry_fit_clear(fit);
        *fit = part;
    } else {
        spi_geometry_fit_clear(&part);
    }
out:
    return err;
}

/* Places that are `fit` away from those of now. */
static spi_err move(const struct spi_geometry_fit *fit, int panels, double pixel_invA,
                    struct spi_places *places)
{
    double was = 1 + places->stretch;

    if (!places->panels) {
        spi_err err = SPI_NEW(places->shift_invA, panels, "geometry");

        if (err)
            return err;
        places->panels = panels;
        places->pixel_invA = pixel_invA;
    }
    for (int p = 0; p < panels; p++)
        for (int c = 0; c < 2; c++)
            places->shift_invA[p][c] += was * pixel_invA * fit->panel_px[p][c];
    places->stretch = was * (1 + fit->stretch) - 1;
    return SPI_OK;
}

/* (Q31): where the beam was in each image is where it is now, and further by the drift. */
static spi_err follow(const struct spi_run *r, const struct frame *f,
                      struct spi_geometry *g)
{
    double(*at)[2] = NULL;
    int64_t n = r->data->n_images;
    spi_err err;

    if (!g->drift_px_of)
        SPI_TRY(err = SPI_NEW(g->drift_px_of, n, "drift"), out);
    SPI_TRY(err = SPI_NEW(at, n, "drift"), out);
    for (int64_t k = 0; k < n; k++) {
        double px[2];

        spi_drift_at(&g->drift, k, px);
        for (int c = 0; c < 2; c++) {
            g->drift_px_of[k][c] += px[c];
            at[k][c] = f->moves.pixel_invA * g->drift_px_of[k][c];
        }
    }
    err = spi_images_set_drift(r->data->images, (const double(*)[2])at);
out:
    free(at);
    return err;
}

/* Whether the beam moves, for certain, and is followed further. */
static bool moves(const struct spi_drift *d, const struct level *level, double least_px)
{
    return d->n > 0 && d->gain >= level->gain &&
           d->range_px >= fmax(least_px, level->sigmas * d->sigma_px);
}

static spi_err copy_fit(const struct spi_geometry_fit *from, int panels,
                        struct spi_geometry_fit *to)
{
    double(*panel_px)[2] = NULL;
    spi_err err = SPI_NEW(panel_px, panels, "geometry");

    if (err)
        return err;
    memcpy(panel_px, from->panel_px, (size_t)panels * sizeof *panel_px);
    *to = *from;
    to->panel_px = panel_px;
    return SPI_OK;
}

spi_err spi_geometry_look(const struct spi_run *r, const struct spi_volume *const A[2],
                          const struct spi_orientations *o, const uint8_t *outlier,
                          struct spi_geometry *g, bool *better)
{
    struct frame f;
    double *total = NULL;
    struct spi_geometry_sums sums;
    const struct level *level;
    bool drifts;
    spi_err err;

    *better = false;
    spi_geometry_fit_clear(&g->last);
    SPI_TRY(err = frame_init(&f, r, A, o, outlier), out);
    if (f.n == 0) /* the models explain none */
        goto out;
    SPI_TRY(err = SPI_NEW(total, values_of(&f, 2), "geometry"), out);
    SPI_TRY(err = sum_images(&f, total), out);
    sums = (struct spi_geometry_sums){
        .unknowns = f.moves.unknowns,
        .gradient = {total, total + values_of(&f, 1)},
        .fisher = {total + f.moves.unknowns, total + values_of(&f, 1) + f.moves.unknowns}};
    spi_drift_find(f.n, f.seen, &g->drift);
    level = level_of(g->drift_px_of != NULL);
    drifts = moves(&g->drift, level, level->shift_px);
    SPI_TRY(err = decide(&sums, &g->places, drifts, &g->last, better), out);
    g->images = f.n;
    g->panels = f.moves.panels;
    g->drift_pixel_invA = f.moves.pixel_invA;
    if (!g->first.panel_px)
        SPI_TRY(err = copy_fit(&g->last, f.moves.panels, &g->first), out);
    if (*better)
        SPI_TRY(err = move(&g->last, f.moves.panels, f.moves.pixel_invA, &g->places), out);
    g->drift_left_px = drifts ? g->drift.range_px : 0;
    if (!g->drift_px_of)
        g->drift_px = moves(&g->drift, level, drift_least_px) ? g->drift.range_px : 0;
    if (r->set->correct_drift && (g->drift_px_of || g->drift_px > 0) &&
        g->drift_left_px > 0) {
        *better = true;
        err = follow(r, &f, g);
    }
out:
    free(total);
    frame_clear(&f);
    return err;
}

double spi_geometry_far_px(const struct spi_geometry *g)
{
    return places_far_px(&g->places);
}

spi_err spi_geometry_tell(const struct spi_geometry *g, struct spi_orientations *o)
{
    spi_err err;

    SPI_TRY(err = spi_places_copy(&g->places, &o->places), out);
    if (!g->drift_px_of)
        return SPI_OK;
    SPI_TRY(err = SPI_NEW(o->drift, o->n, "drift"), out);
    for (int64_t k = 0; k < 2 * o->n; k++)
        o->drift[k / 2][k % 2] = g->drift_pixel_invA * g->drift_px_of[k / 2][k % 2];
out:
    return err;
}

void spi_geometry_clear(struct spi_geometry *g)
{
    spi_geometry_fit_clear(&g->first);
    spi_geometry_fit_clear(&g->last);
    spi_places_clear(&g->places);
    free(g->drift_px_of);
    *g = (struct spi_geometry){0};
}
