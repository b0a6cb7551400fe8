/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/brightness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "fsc/isotropic.h"
#include "math/rot.h"
#include "mtip/background.h"
#include "mtip/view_means.h"

enum { CHUNKS = 64, ROUNDS = 4 };
static const double share_least = 0.2, sigmas_least = 3; /* as of (Q19), in one shell */
/* rms of the excess: the fluence of a ring fit is off with the view, where that is not
 * known */
static const double excess_least = 0.45, excess_seen = 0.1;
static const double near_view = 0.1;       /* of the variance: where the view is known */
static const double particle_least = 1e-3; /* of a ring's mean counts */
static const double spread_least = 1e-6;   /* variance: nearly none */

/* ---- one image ----------------------------------------------------------------------- */

/* Normal equations of two unknowns. */
struct two {
    double N[3], y[2]; /* xx, xy, yy */
};

/* Something is known of both: they are 1, with these variances. */
static void add_prior(struct two *t, const struct spi_brightness_spread *variance)
{
    const double v[2] = {variance->fluence, variance->glow};

    for (int i = 0; i < 2; i++)
        if (isfinite(v[i])) {
            double w = 1 / fmax(v[i], spread_least);

            t->N[2 * i] += w;
            t->y[i] += w;
        }
}

static double determinant(const struct two *t)
{
    return t->N[0] * t->N[2] - t->N[1] * t->N[1];
}

void spi_brightness_fit(int n, const double *counts, const double *W, const double *b,
                        const double *varies, const struct spi_brightness_spread *variance,
                        struct spi_brightness *out)
{
    double all = 0, of = 0, x[2];

    for (int r = 0; r < n; r++)
        all += counts[r], of += W[r] + b[r];
    x[0] = x[1] = of > 0 ? fmax(0, all / of) : 0;
    out->sigma_fluence = out->sigma_glow = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        struct two t = {{0}, {0}};
        double det;

        for (int r = 0; r < n; r++) {
            double v =
                fmax(1, x[0] * W[r] + x[1] * b[r]) + x[0] * W[r] * x[0] * W[r] * varies[r];

            t.N[0] += W[r] * W[r] / v;
            t.N[1] += W[r] * b[r] / v;
            t.N[2] += b[r] * b[r] / v;
            t.y[0] += W[r] * counts[r] / v;
            t.y[1] += b[r] * counts[r] / v;
        }
        det = determinant(&t);
        if (det > 0) {
            out->sigma_fluence = sqrt(t.N[2] / det);
            out->sigma_glow = sqrt(t.N[0] / det);
        }
        add_prior(&t, variance);
        det = determinant(&t);
        if (!(det > 1e-9 * t.N[0] * t.N[2]))
            break;
        x[0] = fmax(0, (t.y[0] * t.N[2] - t.y[1] * t.N[1]) / det);
        x[1] = fmax(0, (t.y[1] * t.N[0] - t.y[0] * t.N[1]) / det);
    }
    out->fluence = x[0];
    out->glow = x[1];
}

/* ---- all images ----------------------------------------------------------------------- */

struct look {
    const struct spi_data *d;
    const struct spi_view_means *views; /* borrowed */
    int R;
    double *W, *b;         /* [R] of a mean image */
    double *varies, *near; /* [R]: of any image; of an image whose view is known */
    double *sum;           /* [CHUNKS][R] of the images that take part */
    float *fluence, *glow, *sigma_fluence, *sigma_glow; /* [n_images] */
    struct spi_brightness_spread spread;
    struct spi_rooms rooms; /* harmonics of an image, counts and particle of its rings */
    struct spi_failure failure;
};

static void chunk_of(const struct look *l, int64_t item, int64_t *from, int64_t *to)
{
    *from = l->d->n_images * item / CHUNKS;
    *to = l->d->n_images * (item + 1) / CHUNKS;
}

/* Counts of an image's rings, in memory of the rank. */
static const double *counts_of(const struct look *l, float complex *h, int64_t k)
{
    const struct spi_rings *g = &l->d->rings;
    double *counts = (double *)(void *)(h + g->h_at[g->R]);

    spi_data_record(l->d, k, l->R, h);
    for (int r = 0; r < l->R; r++)
        counts[r] = (double)crealf(h[g->h_at[r]]);
    return counts;
}

/* What the particle has on the rings of an image whose view is known, in the same memory. */
static const double *particle_of(const struct look *l, const double *view, float complex *h)
{
    const struct spi_rings *g = &l->d->rings;
    double *W = (double *)(void *)(h + g->h_at[g->R]) + l->R;

    for (int r = 0; r < l->R; r++) {
        double both = view[r] * (double)crealf(l->d->map.live_h[g->h_at[r]]);

        W[r] = fmax(both - l->b[r], particle_least * (l->W[r] + l->b[r]));
    }
    return W;
}

static void add_up(void *ctx, int rank, int64_t item)
{
    struct look *l = ctx;
    float complex *h = spi_rooms_of(&l->rooms, rank);
    int64_t from, to;

    if (!h) {
        spi_failure_note(&l->failure, SPI_ENOMEM);
        return;
    }
    chunk_of(l, item, &from, &to);
    for (int64_t k = from; k < to; k++) {
        const double *counts;

        if (!spi_split_models(&l->d->split, k))
            continue;
        counts = counts_of(l, h, k);
        for (int r = 0; r < l->R; r++)
            l->sum[item * l->R + r] += counts[r];
    }
}

static void fit(void *ctx, int rank, int64_t item)
{
    struct look *l = ctx;
    float complex *h = spi_rooms_of(&l->rooms, rank);
    int64_t from, to;

    if (!h) {
        spi_failure_note(&l->failure, SPI_ENOMEM);
        return;
    }
    chunk_of(l, item, &from, &to);
    for (int64_t k = from; k < to; k++) {
        const double *view = spi_view_means_of(l->views, k), *counts = counts_of(l, h, k),
                     *W = view ? particle_of(l, view, h) : l->W;
        struct spi_brightness x;

        spi_brightness_fit(l->R, counts, W, l->b, view ? l->near : l->varies, &l->spread,
                           &x);
        l->fluence[k] = (float)x.fluence;
        l->glow[k] = (float)x.glow;
        l->sigma_fluence[k] = (float)x.sigma_fluence;
        l->sigma_glow[k] = (float)x.sigma_glow;
    }
}

double spi_brightness_variance(const struct spi_data *d, const float *x, const float *sigma,
                               bool alike)
{
    double sum = 0, weight = 0;

    for (int64_t k = 0; k < d->n_images; k++) {
        double s2 = (double)sigma[k] * (double)sigma[k], w = alike ? 1 : 1 / (0.01 + s2);

        if (!spi_split_models(&d->split, k) || !isfinite(s2))
            continue;
        sum += w * w * (pow((double)x[k] - 1, 2) - s2);
        weight += w * w;
    }
    return weight > 0 ? fmax(0, sum / weight) : 0;
}

static void look_clear(struct look *l)
{
    free(l->varies);
    free(l->near);
    free(l->W);
    free(l->b);
    free(l->sum);
    free(l->fluence);
    free(l->glow);
    free(l->sigma_fluence);
    free(l->sigma_glow);
    spi_rooms_clear(&l->rooms);
}

static spi_err look_init(struct look *l, const struct spi_data *d, double q_max,
                         const struct spi_view_means *views)
{
    const struct spi_rings *g = &d->rings;
    spi_err err;

    *l = (struct look){.d = d, .views = views, .R = spi_rings_upto(g, q_max)};
    SPI_TRY(err = SPI_NEW(l->varies, l->R, "background"), out);
    SPI_TRY(err = SPI_NEW(l->near, l->R, "background"), out);
    SPI_TRY(err = SPI_NEW(l->W, l->R, "background"), out);
    SPI_TRY(err = SPI_NEW(l->b, l->R, "background"), out);
    SPI_TRY(err = SPI_NEW(l->sum, (int64_t)CHUNKS * l->R, "background"), out);
    SPI_TRY(err = SPI_NEW(l->fluence, d->n_images, "background"), out);
    SPI_TRY(err = SPI_NEW(l->glow, d->n_images, "background"), out);
    SPI_TRY(err = SPI_NEW(l->sigma_fluence, d->n_images, "background"), out);
    SPI_TRY(err = SPI_NEW(l->sigma_glow, d->n_images, "background"), out);
    err = spi_rooms_init(&l->rooms, SPI_THREADS_MAX,
                         (size_t)g->h_at[g->R] * sizeof(float complex) +
                             2 * (size_t)l->R * sizeof(double) + sizeof(double),
                         "background");
out:
    return err;
}

/* Rings of a mean image; how much those of the particle vary: a ring has some pi q D / 2
 * speckles, and neighbouring rings share theirs. */
static spi_err mean_rings(struct look *l)
{
    const struct spi_data *d = l->d;
    const struct spi_rings *g = &d->rings;
    double images = (double)spi_split_count(&d->split),
           share = fmax(1, 1 / (2 * g->diameter_A * g->dq));
    spi_err err;

    spi_parallel_for(SPI_THREADS_MAX, CHUNKS, add_up, l);
    SPI_TRY(err = spi_failure_end(&l->failure), out);
    for (int r = 0; r < l->R; r++) {
        double mean = 0;

        for (int c = 0; c < CHUNKS; c++)
            mean += l->sum[c * l->R + r];
        mean /= images;
        l->b[r] = (double)crealf(d->even_h[g->h_at[r]]);
        l->W[r] = fmax(mean - l->b[r], particle_least * mean);
        l->varies[r] = share / (1 + SPI_PI * g->q[r] * g->diameter_A / 2);
        l->near[r] = near_view * l->varies[r];
    }
out:
    return err;
}

static spi_err fit_all(struct look *l, double fluence, double glow)
{
    l->spread = (struct spi_brightness_spread){fluence, glow};
    spi_parallel_for(SPI_THREADS_MAX, CHUNKS, fit, l);
    return spi_failure_end(&l->failure);
}

/* What of each image is beside the models, d->even being the background of a mean one: first
 * with nothing known, then with how much images differ. */
static spi_err measure(struct spi_data *d, double q_max, const struct spi_view_means *views,
                       struct look *l)
{
    spi_err err;

    SPI_TRY(err = look_init(l, d, q_max, views), out);
    SPI_TRY(err = mean_rings(l), out);
    SPI_TRY(err = fit_all(l, INFINITY, INFINITY), out);
    SPI_TRY(err = fit_all(l, INFINITY,
                          spi_brightness_variance(d, l->glow, l->sigma_glow, false)),
            out);
    err = fit_all(l, spi_brightness_variance(d, l->fluence, l->sigma_fluence, true),
                  l->spread.glow);
out:
    return err;
}

/* ---- the background of a mean image ---------------------------------------------------- */

static double length(const double q[3])
{
    return sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
}

/* Of the models, where a shell shows it for certain; NULL: none does. */
static spi_err even_of_models(const struct spi_run *r, const struct spi_volume *const A[2],
                              double q_max, float **even)
{
    const struct spi_detector *det = r->data->det;
    const struct spi_rings *g = &r->data->rings;
    struct spi_isotropic s = {0};
    bool certain = false;
    spi_err err;

    *even = NULL;
    SPI_TRY(err = spi_background_levels(r, A, r->pose.R, g->q[0], q_max, &s), out);
    for (int i = 0; i < s.n; i++)
        certain |= s.q[i] >= SPI_BALL_QD / g->diameter_A &&
                   s.level[i] >= share_least * s.mean[i] &&
                   s.level[i] >= sigmas_least * s.sigma[i];
    if (!certain)
        goto out;
    SPI_TRY(err = SPI_NEW(*even, det->n_pixels, "background"), out);
    for (int64_t p = 0; p < det->n_pixels; p++)
        if (!det->bad[p])
            (*even)[p] =
                (float)((double)det->geometry[p] *
                        fmax(0, spi_isotropic_at(&s, s.level, length(det->q + 3 * p))));
out:
    spi_isotropic_clear(&s);
    return err;
}

static spi_err even_of_given(const struct spi_data *d, float **even)
{
    spi_err err = SPI_NEW(*even, d->det->n_pixels, "background");

    for (int64_t p = 0; p < d->det->n_pixels && !err; p++)
        (*even)[p] = d->background[p] - (d->uneven ? d->uneven[p] : 0);
    return err;
}

/* What each image has of a background `even` of a mean one, which becomes the data's, where
 * the excess is `least` (rms) or more. */
static spi_err take(struct spi_data *d, double q_max, const struct spi_view_means *views,
                    double least, float *even)
{
    struct look l = {.R = 0};
    float *glow = NULL, *nought = NULL;
    double sum = 0, images = 0;
    spi_err err;

    SPI_TRY(err = SPI_NEW(glow, d->n_images, "background"), out);
    SPI_TRY(err = SPI_NEW(nought, d->n_images, "background"), out);
    err = spi_data_take_even(d, even, glow, nought);
    even = glow = nought = NULL; /* the data's; nothing is taken out of images yet */
    SPI_TRY(err, out);
    SPI_TRY(err = measure(d, q_max, views, &l), out);
    for (int64_t k = 0; k < d->n_images; k++) {
        d->glow[k] = l.glow[k];
        d->excess[k] = l.glow[k] - l.fluence[k];
        if (spi_split_models(&d->split, k)) {
            sum += pow((double)d->excess[k], 2);
            images++;
        }
    }
    if (!(sum > least * least * images))
        err = spi_data_take_even(d, NULL, NULL, NULL);
out:
    look_clear(&l);
    free(even);
    free(glow);
    free(nought);
    return err;
}

static const struct spi_view_means nothing = {0};

spi_err spi_brightness_given(struct spi_data *d, double q_max, double least)
{
    float *even = NULL;
    spi_err err = even_of_given(d, &even);

    if (err) {
        free(even);
        return err;
    }
    return take(d, q_max, &nothing, least, even);
}

spi_err spi_brightness_find(struct spi_run *r, const struct spi_volume *const A[2],
                            double q_max)
{
    struct spi_data *d = r->data;
    struct spi_view_means views = {0};
    const bool known = r->half[0].best_nd > 0 && r->half[1].best_nd > 0;
    float *even = NULL;
    spi_err err;

    if (d->even_settled && !known)
        return SPI_OK;
    if (d->background) {
        SPI_TRY(err = even_of_given(d, &even), out);
        d->even_settled = true;
    } else if (r->have_pose && spi_background_shows(r, q_max)) {
        SPI_TRY(err = even_of_models(r, A, q_max, &even), out);
    }
    err = spi_data_take_even(d, NULL, NULL, NULL);
    if (err || !even)
        goto out;
    if (known) /* as far as the models go */
        q_max = fmin(q_max, 1 / (2.08 * fmax(A[0]->step, A[1]->step)));
    if (known)
        SPI_TRY(err = spi_view_means_find(r, A, spi_rings_upto(&d->rings, q_max), &views),
                out);
    err = take(d, q_max, &views, known ? excess_seen : excess_least, even);
    even = NULL;
out:
    spi_view_means_clear(&views);
    free(even);
    return err;
}
