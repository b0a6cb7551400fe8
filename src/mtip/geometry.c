/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/geometry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "math/rot.h"
#include "mtip/orientations.h"

enum { IMAGES_MOST = 2000, IMAGES_LEAST = 300, BLOCK = 25, PARTIALS = 8 };
static const double photons = 4e6; /* of all images that are looked at, about */
/* (Q30): what matters to a map and how sure it must be; less, once something has moved. */
static const struct level {
    double stretch, shift_px, sigmas;
} to_begin = {0.004, 0.15, 5}, to_go_on = {0.002, 0.05, 2};
static const double gain_least = 20; /* of log-likelihood: e^20 to 1 */

/* ---- sums over images ------------------------------------------------------------------- */

/* What the tasks read. */
struct frame {
    const struct spi_run *r;
    const struct spi_orientations *o;
    struct spi_half_models models;
    struct spi_geometry_moves moves;
    float *slope[2];   /* [pixels] of the models' ring means, owned */
    int64_t n, *image; /* [n] that are looked at, owned */
};

static void frame_clear(struct frame *f)
{
    spi_half_models_clear(&f->models);
    spi_geometry_moves_clear(&f->moves);
    free(f->slope[0]);
    free(f->slope[1]);
    free(f->image);
}

/* As many images as hold enough photons. */
static int64_t enough(const struct spi_data *d)
{
    double of_image = 0;

    for (int64_t p = 0; p < d->det->n_pixels; p++)
        of_image += d->det->bad[p] ? 0 : (double)d->mean_image[p];
    return (int64_t)fmin(fmax(photons / fmax(of_image, 1), IMAGES_LEAST), IMAGES_MOST);
}

/* Images evenly from all of the file that make the models. */
static spi_err choose(struct frame *f)
{
    const struct spi_orientations *o = f->o;
    int64_t all = 0, seen = 0, most = enough(f->r->data);
    spi_err err = SPI_NEW(f->image, most, "geometry");

    for (int64_t k = 0; k < o->n; k++)
        all += o->half[k] && !o->aside[k] && spi_orientations_has(o, k);
    for (int64_t k = 0; k < o->n && !err; k++)
        if (o->half[k] && !o->aside[k] && spi_orientations_has(o, k)) {
            int64_t take = all < most ? all : most;

            if ((seen + 1) * take / all > seen * take / all)
                f->image[f->n++] = k;
            seen++;
        }
    return err;
}

static spi_err frame_init(struct frame *f, const struct spi_run *r,
                          const struct spi_volume *const A[2],
                          const struct spi_orientations *o)
{
    const struct spi_rings *g = &r->data->rings;
    spi_err err;

    *f = (struct frame){.r = r, .o = o};
    SPI_TRY(err = choose(f), out);
    SPI_TRY(err = spi_half_models_init(r, A, &f->models), out);
    for (int h = 0; h < 2; h++) {
        const struct spi_pixel_list *l = &f->models.set[h].pixels;

        SPI_TRY(err = SPI_NEW(f->slope[h], l->n, "geometry"), out);
        spi_geometry_slopes(l, g, spi_rings_upto(g, r->q_max),
                            f->models.reference[h].ring_mean, f->slope[h]);
    }
    err = spi_geometry_moves_init(&f->moves, r->data->det, &f->models.set[0].pixels);
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
                         double *sums)
{
    const struct spi_data *d = f->r->data;
    const struct spi_beside beside = spi_data_beside(d);
    int h = f->o->half[k] - 1;
    const struct spi_refine *model = &f->models.set[h].r;
    float times = spi_beside_times(&beside, k);
    double M[1][9];
    struct spi_geometry_centre centre;
    spi_err err = spi_images_read(d->images, k, 1, image);

    if (err)
        return err;
    for (int64_t p = 0; p < model->pixels->n; p++) {
        int32_t at = model->pixels->pixel[p];

        K[p] = image[at] * (float)d->scale - spi_beside_at(&beside, times, at);
    }
    spi_pixel_rotations(1, (const double(*)[4])(f->o->quat + 4 * k), M);
    return spi_geometry_add(model, &f->moves, K, f->slope[h], M[0], sums + values_of(f, h),
                            sums + values_of(f, h) + f->moves.unknowns, &centre);
}

/* v: a partial. */
static spi_err task_add(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct block_args *a = arg;
    const struct frame *f = a->f;
    float *image = NULL, *K = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(image, f->r->data->det->n_pixels, "geometry"), out);
    SPI_TRY(err = SPI_NEW(K, f->models.set[0].pixels.n, "geometry"), out);
    for (int64_t i = 0; i < a->n && !err; i++)
        err = *stop ? spi_fail(SPI_ECANCEL, "stopped on request")
                    : add_image(f, f->image[a->first + i], image, K, v[0].data);
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
    struct spi_array *partial = NULL;
    const struct spi_array_shape shape = {SPI_ARRAY_OF(double, "geometry"),
                                          .rows = PARTIALS, .columns = n,
                                          .parts = PARTIALS};
    spi_err err, late;
    int b = 0;

    SPI_TRY(err = spi_array_new(g, &shape, &partial), out);
    for (int64_t first = 0; first < f->n; first += BLOCK, b++) {
        struct block_args a = {f, first, f->n - first < BLOCK ? f->n - first : BLOCK};
        struct spi_access access = {partial, b % PARTIALS, SPI_READ_WRITE};

        SPI_TRY(err = spi_graph_submit(g, "geometry", task_add, &a, sizeof a, 1, &access),
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
    return err;
}

/* ---- what follows ----------------------------------------------------------------------- */

/* (Q30): of distance and panels what is certain and matters. */
static spi_err decide(const struct spi_geometry_sums *sums, const struct level *level,
                      struct spi_geometry_fit *fit, bool *better)
{
    struct spi_geometry_fit part;
    bool distance, panels;
    spi_err err = spi_geometry_solve(sums, true, true, fit);

    *better = false;
    if (err)
        return err;
    distance =
        fabs(fit->stretch) >= fmax(level->stretch, level->sigmas * fit->stretch_sigma);
    panels = fit->far_px >= fmax(level->shift_px, level->sigmas * fit->sigma_px);
    if (!distance && !panels)
        return SPI_OK;
    SPI_TRY(err = spi_geometry_solve(sums, distance, panels, &part), out);
    *better = part.gain >= gain_least;
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
                          const struct spi_orientations *o, struct spi_geometry *g,
                          bool *better)
{
    struct frame f;
    double *total = NULL;
    struct spi_geometry_sums sums;
    spi_err err;

    *better = false;
    spi_geometry_fit_clear(&g->last);
    SPI_TRY(err = frame_init(&f, r, A, o), out);
    SPI_TRY(err = SPI_NEW(total, values_of(&f, 2), "geometry"), out);
    SPI_TRY(err = sum_images(&f, total), out);
    sums = (struct spi_geometry_sums){
        .unknowns = f.moves.unknowns,
        .gradient = {total, total + values_of(&f, 1)},
        .fisher = {total + f.moves.unknowns, total + values_of(&f, 1) + f.moves.unknowns}};
    SPI_TRY(err = decide(&sums, g->places.panels ? &to_go_on : &to_begin, &g->last, better),
            out);
    g->images = f.n;
    g->panels = f.moves.panels;
    if (!g->first.panel_px)
        SPI_TRY(err = copy_fit(&g->last, f.moves.panels, &g->first), out);
    if (*better)
        err = move(&g->last, f.moves.panels, f.moves.pixel_invA, &g->places);
out:
    free(total);
    frame_clear(&f);
    return err;
}

double spi_geometry_far_px(const struct spi_geometry *g)
{
    double far = 0;

    for (int p = 0; p < g->places.panels; p++)
        far = fmax(far, hypot(g->places.shift_invA[p][0], g->places.shift_invA[p][1]));
    return g->places.panels ? far / g->places.pixel_invA : 0;
}

void spi_geometry_clear(struct spi_geometry *g)
{
    spi_geometry_fit_clear(&g->first);
    spi_geometry_fit_clear(&g->last);
    spi_places_clear(&g->places);
    *g = (struct spi_geometry){0};
}
