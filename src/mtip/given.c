/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/given.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "kernel/lanes.h"
#include "math/sphere.h"
#include "mtip/background.h"
#include "mtip/brightness.h"
#include "mtip/orientations.h"
#include "mtip/plan.h"
#include "mtip/reference.h"
#include "mtip/replica.h"
#include "ring/pixel_rings.h"

/* Images of a task: as many as a tile of directions takes several times.  Nothing is kept
 * of a block, so that it may be larger than one of the loop. */
enum { BLOCK = 8 * SPI_GROUP };
/* Images are put in order within windows of so many bytes of records: the records of a
 * window stay in memory, also where all of them do not fit. */
static const double window_bytes = 256e6;
/* rms of the excess of a background; less stays in the model.  Refinement finds the
 * brightness again beside the model, so that a rough one does no harm (mtip/brightness.h). */
static const double excess_least = 0.1;

/* ---- preparation -------------------------------------------------------------------- */

/* Counts of the mean image on the rings, where mean [R] is that of a live sample. */
static double counts_of(const struct spi_data *d, int R, const double *mean)
{
    double total = 0;

    for (int r = 0; r < R; r++)
        total += fmax(mean[r], 0) * (double)crealf(d->map.live_h[d->rings.h_at[r]]);
    return total;
}

static void multiply(struct spi_volume *A, double factor)
{
    size_t n = spi_volume_count(A);

    for (size_t i = 0; i < n; i++)
        A->data[i] = (float)((double)A->data[i] * factor);
}

/* A += the autocorrelation of an intensity that is f in all directions, as it is at q_max
 * beyond. */
static spi_err add_level(struct spi_volume *A, const struct spi_pixel_rings *f,
                         double q_max)
{
    struct spi_volume W = {0}, level = {0};
    int n = A->n;
    size_t i = 0, all = spi_volume_count(A);
    spi_err err;

    SPI_TRY(err = spi_volume_init(&W, n, 1 / (n * A->step)), out);
    for (int z = 0; z < n; z++)
        for (int y = 0; y < n; y++)
            for (int x = 0; x < n; x++, i++) {
                double a = z - n / 2, b = y - n / 2, c = x - n / 2;
                double q = W.step * sqrt(a * a + b * b + c * c);

                W.data[i] = (float)spi_pixel_rings_at(f, fmin(q, q_max));
            }
    SPI_TRY(err = spi_volume_fourier_even_inverse(&W, &level), out);
    for (i = 0; i < all; i++)
        A->data[i] += level.data[i];
out:
    spi_volume_clear(&W);
    spi_volume_clear(&level);
    return err;
}

/* What of the background is the same in all directions, in counts of a model, and how many
 * counts of an image it is on the rings. */
static spi_err find_level(const struct spi_data *d, int R, struct spi_pixel_rings *f,
                          double *counts)
{
    double *mean = NULL;
    spi_err err;

    SPI_TRY(err = spi_pixel_rings_init(d->det, f), out);
    SPI_TRY(err = SPI_NEW(mean, R, "background"), out);
    spi_pixel_rings_of(d->det, d->background, f);
    for (int r = 0; r < R; r++)
        mean[r] = spi_pixel_rings_at(f, d->rings.q[r]);
    *counts = counts_of(d, R, mean);
out:
    free(mean);
    return err;
}

/* The model whose mean image has as many counts as that of the data; where a background is
 * known, as much of it as is the same in all directions. */
static spi_err scale_model(struct spi_given *m)
{
    const struct spi_data *d = m->spec.data;
    int R = spi_rings_upto(&d->rings, m->spec.q_max);
    struct spi_reference reference = {0};
    struct spi_pixel_rings f = {.n = 0};
    size_t n = spi_volume_count(m->spec.A);
    double largest = 0, total, all = counts_of(d, R, d->ring_mean), light = 0;
    spi_err err;

    if (d->background)
        SPI_TRY(err = find_level(d, R, &f, &light), out);
    if (!(light < all)) {
        err = spi_fail(SPI_EFORMAT,
                       "the background that is given has %.4g counts on the rings, more "
                       "than the images have on average, %.4g; is it in the same unit?",
                       light / d->scale, all / d->scale);
        goto out;
    }
    SPI_TRY(err = spi_volume_copy(m->spec.A, &m->A), out);
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)m->A.data[i]));
    multiply(&m->A, 1 / largest); /* so that sums stay within a float's range */
    SPI_TRY(err = spi_reference_init(&reference, d, m->spec.q_max, m->spec.set->nufft_tol,
                                     &m->A),
            out);
    total = counts_of(d, R, reference.ring_mean);
    if (!(total > 0)) {
        err = spi_fail(SPI_EINVAL,
                       "the model has no positive intensity between |q| = %g and "
                       "%g 1/A; is it an autocorrelation?",
                       d->rings.q[0], d->rings.q[R - 1]);
        goto out;
    }
    multiply(&m->A, (all - light) / total);
    if (d->background)
        err = add_level(&m->A, &f, d->rings.q[R - 1]);
out:
    spi_pixel_rings_clear(&f);
    spi_reference_clear(&reference);
    return err;
}

static spi_err choose_views(struct spi_given *m)
{
    const struct spi_rings *g = &m->spec.data->rings;
    struct spi_band band;
    spi_err err = spi_band_init(&band, g, spi_rings_upto(g, m->spec.q_max));

    if (err)
        return err;
    m->views = spi_views_for(g, &band, m->spec.finer);
    spi_band_clear(&band);
    if (m->views.Na > UINT16_MAX || m->views.nd > INT32_MAX)
        return spi_fail(SPI_EINVAL, "%lld directions x %d angles are too many",
                        (long long)m->views.nd, m->views.Na);
    return SPI_OK;
}

spi_err spi_given_init(struct spi_given *m, const struct spi_given_spec *spec)
{
    double reach = 0.5 / spec->A->step;
    spi_err err;

    *m = (struct spi_given){.spec = *spec};
    if (!(spec->q_max < reach))
        return spi_fail(SPI_EINVAL, "|q| up to %g 1/A is asked; the model ends at %g 1/A",
                        spec->q_max, reach);
    SPI_TRY(err = choose_views(m), fail);
    SPI_TRY(err = scale_model(m), fail);
    if (spec->data->background)
        SPI_TRY(err = spi_brightness_given(spec->data, spec->q_max, excess_least), fail);
    return SPI_OK;
fail:
    spi_given_clear(m);
    return err;
}

void spi_given_clear(struct spi_given *m)
{
    spi_volume_clear(&m->A);
    *m = (struct spi_given){0};
}

spi_err spi_given_none(const struct spi_given *m, bool entropy, struct spi_orientations *o)
{
    int64_t n = m->spec.data->n_images;
    spi_err err;

    *o = (struct spi_orientations){.n = n};
    SPI_TRY(err = SPI_NEW(o->quat, 4 * n, "orientations"), fail);
    SPI_TRY(err = SPI_NEW(o->score, n, "orientations"), fail);
    SPI_TRY(err = SPI_NEW(o->margin, n, "orientations"), fail);
    SPI_TRY(err = SPI_NEW(o->fluence, n, "orientations"), fail);
    if (entropy)
        SPI_TRY(err = SPI_NEW(o->entropy, n, "orientations"), fail);
    for (int64_t k = 0; k < n; k++)
        spi_orientations_none(o, k);
    return SPI_OK;
fail:
    spi_orientations_clear(o);
    return err;
}

/* ---- the generations ---------------------------------------------------------------- */

struct search {
    const struct spi_given *m;
    struct spi_half_set half;
    struct spi_replica replica;
    int64_t *batch; /* [half.n_images] */
    int step, steps, rounds;
};

/* An image, and where its best candidate lies among its neighbours on the sphere. */
struct place {
    int32_t rank;
    int64_t image;
};

static int by_rank(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->image < y->image ? -1 : x->image > y->image;
}

/* Images of one block that have their candidates near each other share templates in cache. */
static spi_err order_batch(struct search *s)
{
    const struct spi_half_set *h = &s->half;
    double most = window_bytes / (double)spi_data_record_bytes(s->m->spec.data);
    int64_t nd = h->candidate_nd, window = most > BLOCK ? (int64_t)most : BLOCK;
    int32_t *order = NULL, *rank = NULL;
    struct place *place = NULL;
    spi_err err;

    window = window < h->n_images ? window : h->n_images;
    SPI_TRY(err = SPI_NEW(order, nd, "search"), out);
    SPI_TRY(err = SPI_NEW(rank, nd, "search"), out);
    SPI_TRY(err = SPI_NEW(place, window, "search"), out);
    SPI_TRY(err = spi_sphere_order(nd, 2 * h->candidate_cell, order), out);
    for (int32_t i = 0; i < nd; i++)
        rank[order[i]] = i;
    for (int64_t first = 0; first < h->n_images; first += window) {
        int64_t n = h->n_images - first < window ? h->n_images - first : window;

        for (int64_t i = 0; i < n; i++)
            place[i] = (struct place){rank[h->candidate[(first + i) * h->keep]], first + i};
        qsort(place, (size_t)n, sizeof *place, by_rank);
        for (int64_t i = 0; i < n; i++)
            s->batch[first + i] = place[i].image;
    }
out:
    free(order);
    free(rank);
    free(place);
    return err;
}

/* Each step counts as much as another. */
static void on_progress(int64_t done, int64_t total, void *user)
{
    const struct search *s = user;

    int step = s->rounds * s->steps + s->step,
        steps = s->m->spec.data->even ? 2 * s->steps : s->steps;

    s->m->spec.progress((step * total + done) / steps, total, s->m->spec.user);
}

static spi_err one_generation(struct search *s, const struct spi_step *step)
{
    const struct spi_given_spec *spec = &s->m->spec;
    struct spi_resolution_level level = {0};
    struct spi_generation gen = {.level = &level,
                                 .perplexity = step->perplexity,
                                 .beta_stays = true,
                                 .n_batch = s->half.n_images,
                                 .batch = s->batch,
                                 .local = step->local,
                                 .radius = step->search_radius * s->half.candidate_cell,
                                 .best_of = step->best_of,
                                 .keep_candidates = step->keep,
                                 .only_candidates = step->keep,
                                 .store_best = !step->keep,
                                 .progress = spec->progress ? on_progress : NULL,
                                 .user = s};
    spi_err err, late;

    if (step->local)
        SPI_TRY(err = order_batch(s), out);
    SPI_TRY(err = spi_resolution_level_init(&level, &spec->data->rings, spec->set,
                                            spec->like, step->q_match, step->q_merge,
                                            step->oversampling, false),
            out);
    err = spi_replica_begin(&s->replica, spec->graph, &gen, BLOCK);
    if (!err)
        err = spi_replica_slice(&s->replica);
    if (!err)
        err = spi_replica_match(&s->replica);
    late = spi_graph_wait(spec->graph);
    err = err ? err : late;
    spi_replica_settle(&s->replica, !err);
out:
    spi_resolution_level_clear(&level);
    return err;
}

static spi_err search_init(const struct spi_given *m, struct search *s)
{
    const struct spi_given_spec *spec = &m->spec;
    spi_err err;

    *s = (struct search){.m = m};
    SPI_TRY(err = spi_half_set_init(&s->half, spec->data, 0, spec->set->N_candidates), out);
    SPI_TRY(err = spi_replica_given(&s->replica, spec->data, &s->half, &m->A), out);
    SPI_TRY(err = SPI_NEW(s->batch, s->half.n_images, "search"), out);
    for (int64_t i = 0; i < s->half.n_images; i++)
        s->batch[i] = i;
out:
    return err;
}

spi_err spi_given_match(const struct spi_given *m, bool exhaustive,
                        struct spi_orientations *o)
{
    const struct spi_given_spec *spec = &m->spec;
    double D = spec->data->rings.diameter_A;
    struct spi_step step;
    struct search s = {0};
    spi_err err;

    *o = (struct spi_orientations){0};
    if (!spec->like->rings)
        return spi_fail(SPI_EINVAL, "the likelihood \"%s\" compares pixels, not rings",
                        spec->like->name);
    SPI_TRY(err = search_init(m, &s), out);
    while (
        spi_plan_given(spec->set, D, spec->q_max, spec->finer, exhaustive, s.steps, &step))
        s.steps++;
    SPI_TRY(err = spi_given_none(m, true, o), out);
    for (; s.rounds < (spec->data->even ? 2 : 1); s.rounds++) {
        if (s.rounds > 0) /* brightness beside the model, and with it once more */
            SPI_TRY(err = spi_given_brightness(m, o), out);
        for (s.step = 0; s.step < s.steps; s.step++) {
            (void)spi_plan_given(spec->set, D, spec->q_max, spec->finer, exhaustive, s.step,
                                 &step);
            SPI_TRY(err = one_generation(&s, &step), out);
        }
        spi_replica_orientations(&s.replica, 0, o);
    }
    spi_orientations_normalise(o);
out:
    spi_replica_clear(&s.replica);
    spi_half_set_clear(&s.half);
    free(s.batch);
    return err;
}

/* ---- refinement --------------------------------------------------------------------- */

enum { BRIGHTNESS_ROUNDS = 2 }; /* orientations and brightness in turn */

spi_err spi_given_refine(const struct spi_given *m, struct spi_orientations *o)
{
    const struct spi_given_spec *spec = &m->spec;
    const struct spi_data *d = spec->data;
    struct spi_reference reference = {0};
    struct spi_refine_set set = {0};
    const struct spi_refine *model[2] = {&set.r, NULL};
    struct spi_beside beside;
    spi_err err;

    SPI_TRY(err =
                spi_reference_init(&reference, d, spec->q_max, spec->set->nufft_tol, &m->A),
            out);
    SPI_TRY(
        err = spi_reference_refine_set(&reference, d, spec->q_max, NULL, spec->like, &set),
        out);
    spi_reference_drop_grid(&reference, set.model);
    for (int i = 0; i < (d->even ? BRIGHTNESS_ROUNDS : 1) && !err; i++) {
        SPI_TRY(err = spi_given_brightness(m, o), out);
        beside = spi_data_beside(d);
        err = spi_refine_images(spec->graph, d->images, d->scale, &beside, model,
                                spec->progress, spec->user, o);
    }
out:
    spi_refine_set_clear(&set);
    spi_reference_clear(&reference);
    return err;
}

double spi_given_fluences(const struct spi_given *m, struct spi_orientations *o)
{
    const struct spi_data *d = m->spec.data;
    struct spi_background b = {.pixel = d->background, .even = d->even, .told = true};

    if (d->background)
        spi_background_fluences(d, m->spec.q_max, &b, o);
    return b.ratio;
}
