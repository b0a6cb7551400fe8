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

enum { CHUNKS = 64, ROUNDS = 4 };
static const double share_least = 0.2, sigmas_least = 3; /* as of (Q19), in one shell */
/* rms of the excess; the fluence of a ring fit is off by 0.2 to 0.35 with the view */
static const double excess_least = 0.45;
static const double particle_least = 1e-3; /* of a ring's mean counts */

/* ---- one image ----------------------------------------------------------------------- */

void spi_brightness_fit(int n, const double *counts, const double *W, const double *b,
                        const double *qD, double tau2, double *fluence, double *glow,
                        double *sigma)
{
    double all = 0, of = 0, x[2];

    for (int r = 0; r < n; r++)
        all += counts[r], of += W[r] + b[r];
    x[0] = x[1] = of > 0 ? fmax(0, all / of) : 0;
    *sigma = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        double N[3] = {0}, y[2] = {0}, det;

        for (int r = 0; r < n; r++) {
            /* a ring of a particle has some pi q D / 2 speckles, and differs as they do */
            double speckle = x[0] * W[r] * x[0] * W[r] / (1 + SPI_PI * qD[r] / 2);
            double v = fmax(1, x[0] * W[r] + x[1] * b[r]) + speckle;

            N[0] += W[r] * W[r] / v;
            N[1] += W[r] * b[r] / v;
            N[2] += b[r] * b[r] / v;
            y[0] += W[r] * counts[r] / v;
            y[1] += b[r] * counts[r] / v;
        }
        det = N[0] * N[2] - N[1] * N[1];
        if (det > 0)
            *sigma = sqrt(N[0] / det);
        if (isfinite(tau2)) { /* nearly none: glow is 1 */
            double add = 1 / fmax(tau2, 1e-6);

            N[2] += add;
            y[1] += add;
            det = N[0] * N[2] - N[1] * N[1];
        }
        if (!(det > 1e-9 * N[0] * N[2]))
            break;
        x[0] = fmax(0, (y[0] * N[2] - y[1] * N[1]) / det);
        x[1] = fmax(0, (y[1] * N[0] - y[0] * N[1]) / det);
    }
    *fluence = x[0];
    *glow = x[1];
}

/* ---- all images ----------------------------------------------------------------------- */

struct look {
    const struct spi_data *d;
    int R;
    double *qD, *W, *b; /* [R] */
    double *sum;        /* [CHUNKS][R] of the images that take part */
    float *fluence, *glow, *sigma;
    double tau2;
    struct spi_rooms rooms; /* harmonics of an image, counts of its rings */
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
        double fluence, glow, sigma;

        spi_brightness_fit(l->R, counts_of(l, h, k), l->W, l->b, l->qD, l->tau2, &fluence,
                           &glow, &sigma);
        l->fluence[k] = (float)fluence;
        l->glow[k] = (float)glow;
        l->sigma[k] = (float)sigma;
    }
}

double spi_brightness_variance(const struct spi_data *d, const float *glow,
                               const float *sigma)
{
    double sum = 0, weight = 0;

    for (int64_t k = 0; k < d->n_images; k++) {
        double s2 = (double)sigma[k] * (double)sigma[k], w = 1 / (0.01 + s2);

        if (!spi_split_models(&d->split, k) || !isfinite(s2))
            continue;
        sum += w * w * (pow((double)glow[k] - 1, 2) - s2);
        weight += w * w;
    }
    return weight > 0 ? fmax(0, sum / weight) : 0;
}

static void look_clear(struct look *l)
{
    free(l->qD);
    free(l->W);
    free(l->b);
    free(l->sum);
    free(l->fluence);
    free(l->glow);
    free(l->sigma);
    spi_rooms_clear(&l->rooms);
}

/* What of each image is beside the models, d->even being the background of a mean one. */
static spi_err measure(struct spi_data *d, double q_max, struct look *l)
{
    const struct spi_rings *g = &d->rings;
    double images = (double)spi_split_count(&d->split);
    spi_err err;

    *l = (struct look){.d = d, .R = spi_rings_upto(g, q_max), .tau2 = INFINITY};
    SPI_TRY(err = SPI_NEW(l->qD, l->R, "background"), out);
    SPI_TRY(err = SPI_NEW(l->W, l->R, "background"), out);
    SPI_TRY(err = SPI_NEW(l->b, l->R, "background"), out);
    SPI_TRY(err = SPI_NEW(l->sum, (int64_t)CHUNKS * l->R, "background"), out);
    SPI_TRY(err = SPI_NEW(l->fluence, d->n_images, "background"), out);
    SPI_TRY(err = SPI_NEW(l->glow, d->n_images, "background"), out);
    SPI_TRY(err = SPI_NEW(l->sigma, d->n_images, "background"), out);
    SPI_TRY(err = spi_rooms_init(&l->rooms, SPI_THREADS_MAX,
                                 (size_t)g->h_at[g->R] * sizeof(float complex) +
                                     (size_t)l->R * sizeof(double) + sizeof(double),
                                 "background"),
            out);
    spi_parallel_for(SPI_THREADS_MAX, CHUNKS, add_up, l);
    SPI_TRY(err = spi_failure_end(&l->failure), out);
    for (int r = 0; r < l->R; r++) {
        double mean = 0;

        for (int c = 0; c < CHUNKS; c++)
            mean += l->sum[c * l->R + r];
        mean /= images;
        l->qD[r] = g->q[r] * g->diameter_A;
        l->b[r] = (double)crealf(d->even_h[g->h_at[r]]);
        l->W[r] = fmax(mean - l->b[r], particle_least * mean);
    }
    spi_parallel_for(SPI_THREADS_MAX, CHUNKS, fit, l);
    SPI_TRY(err = spi_failure_end(&l->failure), out);
    l->tau2 = spi_brightness_variance(d, l->glow, l->sigma);
    spi_parallel_for(SPI_THREADS_MAX, CHUNKS, fit, l);
    err = spi_failure_end(&l->failure);
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
static spi_err take(struct spi_data *d, double q_max, double least, float *even)
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
    SPI_TRY(err = measure(d, q_max, &l), out);
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

spi_err spi_brightness_given(struct spi_data *d, double q_max, double least)
{
    float *even = NULL;
    spi_err err = even_of_given(d, &even);

    if (err) {
        free(even);
        return err;
    }
    d->even_settled = true; /* it does not change */
    return take(d, q_max, least, even);
}

spi_err spi_brightness_find(struct spi_run *r, const struct spi_volume *const A[2],
                            double q_max)
{
    struct spi_data *d = r->data;
    float *even = NULL;
    spi_err err;

    if (d->even_settled)
        return SPI_OK;
    if (d->background)
        return spi_brightness_given(d, q_max, excess_least);
    if (r->have_pose && spi_background_shows(r, q_max))
        SPI_TRY(err = even_of_models(r, A, q_max, &even), out);
    err = spi_data_take_even(d, NULL, NULL, NULL);
out:
    if (err || !even) {
        free(even);
        return err;
    }
    return take(d, q_max, excess_least, even);
}
