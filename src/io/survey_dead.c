/* SPDX-License-Identifier: GPL-3.0-or-later */
/* survey_dead.c, of io/survey_priv.h: rings, and pixels that never see light. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/sort.h"
#include "io/survey_priv.h"

enum { CONSTANT_LEAST = 20 }; /* images; exp(-1) is the likeliest number of all counts */
enum { RING_LEAST = 8, ROUNDS = 40, AROUND = 3 };

/* Where all images show one orientation, rings have dark speckles: deviation = mean.  A
 * particle in all orientations makes even rings, panels of other backgrounds vary by less.
 */
static const double measured = 0.1; /* error of the square of that, */
static const double counts_least =
    10; /* and a mean that few pixels without counts change */
static const double uneven_most = 0.3;  /* square of deviation over mean */
static const double trimmed = 0.1;      /* brightest part of a ring that is left out */
static const double false_alarms = 0.1; /* of a detector: runs masked by chance */

int spi_survey_ring(const struct spi_look *l, int64_t p)
{
    const double *q = l->im->s.det.q + 3 * p;
    double at = sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]) / l->corner;

    return (int)fmin(at * l->rings, l->rings - 1);
}

static double median(int64_t n, double *x)
{
    spi_sort(n, x);
    return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

static double quantile(int64_t n, double *x, double part)
{
    spi_sort(n, x);
    return x[(int64_t)(part * (double)(n - 1))];
}

/* m of m / (1 - exp(-m)) = mean: the mean of all counts, from the mean of those above 0. */
static double untruncated(double mean)
{
    double m = mean;

    for (int i = 0; i < ROUNDS && m > 0; i++)
        m = mean * -expm1(-m);
    return m;
}

/* (X4): the images in which a pixel of the ring is not 0, of the pixels that are not always
 * 0; sorted. */
static double evidence_of(int64_t n, const double *lit, int64_t n_images)
{
    int64_t kept = n - (int64_t)(trimmed * (double)n);
    double sum = 0, m, N = (double)n_images;

    for (int64_t i = 0; i < kept; i++)
        sum += lit[i];
    m = untruncated(sum / (double)kept);
    return -N * log(fmax(1 - m / N, 1 / (N + 1)));
}

struct ring_scratch {
    int64_t *start; /* [rings + 2] */
    double *sum, *lit, *fano;
    double *uneven, *sorted; /* [rings] */
};

static void look_at_ring(struct spi_look *l, int r, int64_t n, double *sum, double *lit,
                         double *fano, double *uneven)
{
    const double N = (double)l->s->n_images;
    int64_t kept = n - (int64_t)(trimmed * (double)n);
    double mean = 0, var = 0, shot;

    *uneven = l->mean[r] = l->evidence[r] = l->fano[r] = NAN;
    if (n < RING_LEAST)
        return;
    l->fano[r] = median(n, fano);
    l->mean[r] = median(n, sum); /* sorts */
    for (int64_t i = 0; i < kept; i++)
        mean += sum[i] / (double)kept;
    for (int64_t i = 0; i < kept; i++)
        var += (sum[i] - mean) * (sum[i] - mean) / (double)kept;
    shot = l->fano[r] / (N * mean);
    if (mean * N > counts_least * l->fano[r] && sqrt(2 / (double)n) * shot < measured)
        *uneven = var / (mean * mean) - shot;
    spi_sort(n, lit);
    l->evidence[r] = evidence_of(n, lit, l->s->n_images);
}

static double median_known(int n, const double *x, double *scratch)
{
    int m = 0;

    for (int i = 0; i < n; i++)
        if (!isnan(x[i]))
            scratch[m++] = x[i];
    return m > 0 ? median(m, scratch) : (double)NAN;
}

/* A ring is as uneven as those around it; where counts are too few to tell, as most are. */
static void leave_out_uneven(struct spi_look *l, const double *uneven, double *scratch)
{
    double all = median_known(l->rings, uneven, scratch);

    for (int r = 0; r < l->rings; r++) {
        int from = r > AROUND ? r - AROUND : 0,
            to = r + AROUND < l->rings ? r + AROUND : l->rings - 1;
        double here = median_known(to - from + 1, uneven + from, scratch);

        l->uneven[r] = (isnan(here) ? all : here) > uneven_most;
        if (l->uneven[r])
            l->evidence[r] = NAN;
    }
}

spi_err spi_survey_rings(struct spi_look *l)
{
    const struct spi_detector *d = &l->im->s.det;
    struct ring_scratch s = {0};
    spi_err err;

    SPI_TRY(err = SPI_NEW(s.start, l->rings + 2, "survey"), out);
    SPI_TRY(err = SPI_NEW_UNSET(s.sum, d->n_pixels, "survey"), out);
    SPI_TRY(err = SPI_NEW_UNSET(s.lit, d->n_pixels, "survey"), out);
    SPI_TRY(err = SPI_NEW_UNSET(s.fano, d->n_pixels, "survey"), out);
    SPI_TRY(err = SPI_NEW(s.uneven, l->rings, "survey"), out);
    SPI_TRY(err = SPI_NEW(s.sorted, l->rings, "survey"), out);
    for (int64_t p = 0; p < d->n_pixels; p++)
        if (!d->bad[p] && spi_survey_mean(l, p) > 0)
            s.start[spi_survey_ring(l, p) + 2]++;
    for (int r = 0; r < l->rings; r++)
        s.start[r + 2] += s.start[r + 1];
    for (int64_t p = 0; p < d->n_pixels; p++) {
        double mean = spi_survey_mean(l, p);
        int64_t at;

        if (d->bad[p] || !(mean > 0))
            continue;
        at = s.start[spi_survey_ring(l, p) + 1]++;
        s.sum[at] = mean;
        s.fano[at] = spi_survey_variance(l, p) / mean;
        s.lit[at] = (double)(spi_survey_valid(l, p) - l->zero[p]);
    }
    for (int r = 0; r < l->rings; r++) {
        int64_t at = s.start[r];

        look_at_ring(l, r, s.start[r + 1] - at, s.sum + at, s.lit + at, s.fano + at,
                     s.uneven + r);
    }
    leave_out_uneven(l, s.uneven, s.sorted);
out:
    free(s.start);
    free(s.sum);
    free(s.lit);
    free(s.fano);
    free(s.uneven);
    free(s.sorted);
    return err;
}

static bool is_zero(const struct spi_look *l, int64_t p)
{
    return !l->im->s.det.bad[p] && spi_survey_valid(l, p) > 0 &&
           l->zero[p] == spi_survey_valid(l, p);
}

/* (X5) along n pixels: a run of pixels that are always 0, longer than chance makes it. */
static void scan(const struct spi_look *l, int64_t first, int64_t step, int64_t n,
                 double least, uint8_t *dead)
{
    double sum = 0;
    int64_t begin = 0;

    for (int64_t i = 0; i <= n; i++) {
        int64_t p = first + i * step;

        if (i < n && is_zero(l, p)) {
            double e = l->evidence[spi_survey_ring(l, p)];

            sum += isnan(e) ? 0 : e;
            continue;
        }
        for (int64_t k = begin; k < i && sum > least; k++)
            dead[first + k * step] = 1;
        sum = 0;
        begin = i + 1;
    }
}

spi_err spi_survey_dead(struct spi_look *l)
{
    const struct spi_detector *d = &l->im->s.det;
    double least = log(2 * (double)d->n_pixels / false_alarms);
    uint8_t *dead = NULL;
    spi_err err;

    if (l->s->analogue && l->negative > 0) /* noise is never 0 */
        return SPI_OK;
    SPI_TRY(err = spi_survey_rings(l), out);
    SPI_TRY(err = SPI_NEW(dead, d->n_pixels, "survey"), out);
    for (int panel = 0; panel < d->panels; panel++) {
        int64_t at = (int64_t)panel * d->ny * d->nx;

        for (int y = 0; y < d->ny; y++)
            scan(l, at + (int64_t)y * d->nx, 1, d->nx, least, dead);
        for (int x = 0; x < d->nx; x++)
            scan(l, at + x, d->nx, d->ny, least, dead);
    }
    for (int64_t p = 0; p < d->n_pixels; p++)
        if (dead[p])
            spi_survey_mask(l, p, SPI_REASON_DEAD);
out:
    free(dead);
    return err;
}

/* ---- constant pixels ---------------------------------------------------------------- */

/* Without noise many pixels hold no photon in all images: how likely that is, the other
 * pixels say by the share of the images in which they have their smallest value. */
static spi_err typical(const struct spi_look *l, double *evidence)
{
    const struct spi_detector *d = &l->im->s.det;
    int64_t n = 0;
    double *x = NULL;
    spi_err err = SPI_NEW_UNSET(x, d->n_pixels, "survey");

    *evidence = 0;
    for (int64_t p = 0; p < d->n_pixels && !err; p++)
        if (!d->bad[p] && l->top[p][0] > l->least[p])
            x[n++] = -(double)spi_survey_valid(l, p) *
                     log((double)l->at_least[p] / (double)spi_survey_valid(l, p));
    if (n > 0) /* of the pixels that vary least */
        *evidence = quantile(n, x, 0.1);
    free(x);
    return err;
}

spi_err spi_survey_constant(struct spi_look *l)
{
    const struct spi_detector *d = &l->im->s.det;
    int64_t varying = 0, used = 0;
    double evidence;
    bool noisy;
    spi_err err = typical(l, &evidence);

    if (err || l->s->n_images < CONSTANT_LEAST)
        return err;
    noisy = l->s->analogue && evidence > log((double)d->n_pixels / false_alarms);
    for (int64_t p = 0; p < d->n_pixels; p++)
        if (!d->bad[p]) {
            used += l->top[p][0] != 0 || l->least[p] != 0;
            varying += l->top[p][0] > l->least[p];
        }
    for (int64_t p = 0; p < d->n_pixels; p++)
        if (2 * varying > used && !d->bad[p] && l->top[p][0] == l->least[p] &&
            (l->s->analogue ? noisy : l->top[p][0] != 0))
            spi_survey_mask(l, p, SPI_REASON_CONSTANT);
    return SPI_OK;
}
