/* SPDX-License-Identifier: GPL-3.0-or-later */
/* survey_unit.c, of io/survey_priv.h: the sums, and the unit of the values. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/survey_priv.h"

enum { VALUES_LEAST = 100 };      /* above 0 that tell the unit */
static const double whole = 1e-3; /* from a whole multiple of the gain, of the gain */
static const double singles_least = 0.02;         /* of the values above 0 are one gain */
static const double rounding = 1e-10;             /* of sums of squares */
static const double broken_most = 0.01;           /* of photons are no whole numbers */
static const double varies_least = 0.5;           /* of the variance of photons */
static const double own_most = 2, own_sigmas = 5; /* peaks of one pixel, of those of all */
enum { DARKEST = 10 };                            /* one in so many pixels */

/* ---- sums --------------------------------------------------------------------------- */

int64_t spi_survey_valid(const struct spi_look *l, int64_t p)
{
    return l->s->n_images - l->wrong[p];
}

double spi_survey_mean(const struct spi_look *l, int64_t p)
{
    return l->sum[p] / fmax((double)spi_survey_valid(l, p), 1);
}

double spi_survey_variance(const struct spi_look *l, int64_t p)
{
    double n = fmax((double)spi_survey_valid(l, p), 1), mean = l->sum[p] / n;

    double square = l->sum2[p] / n, variance = square - mean * mean;

    return variance > rounding * square ? variance : 0;
}

/* ---- the unit ----------------------------------------------------------------------- */

/* Are all values whole multiples of the smallest, which is common and not all there is? */
static double common_unit(int64_t n, const float *value)
{
    double least = INFINITY, most = 0, singles = 0;

    for (int64_t i = 0; i < n; i++) {
        least = fmin(least, (double)value[i]);
        most = fmax(most, (double)value[i]);
    }
    if (n < VALUES_LEAST || !(most > 1.5 * least))
        return 0;
    for (int64_t i = 0; i < n; i++) {
        double times = (double)value[i] / least;

        if (times < 1 / whole / 10 && fabs(times - round(times)) > whole)
            return 0;
        singles += times < 1.5;
    }
    return singles >= singles_least * (double)n ? least : 0;
}

/* Of the pixels that are not masked. */
void spi_survey_find_gain(struct spi_look *l)
{
    int64_t n = 0;
    double unit;

    for (int64_t i = 0; i < l->n_value; i++)
        if (!l->im->s.det.bad[l->value_of[i]])
            l->value[n++] = l->value[i];
    unit = common_unit(n, l->value);
    l->s->gain = l->im->s.kind == SPI_PHOTONS && !(unit > 1) ? 0 : unit;
}

/* ---- electronics -------------------------------------------------------------------- */

/* From here on in photons: the sums. */
static void scale_sums(struct spi_look *l, const struct spi_electronics *e)
{
    for (int64_t p = 0; p < l->im->s.det.n_pixels; p++) {
        double n = (double)spi_survey_valid(l, p);

        l->sum2[p] =
            (l->sum2[p] - 2 * e->pedestal * l->sum[p] + n * e->pedestal * e->pedestal) /
            (e->gain * e->gain);
        l->sum[p] = (l->sum[p] - n * e->pedestal) / e->gain;
        l->least[p] = (float)(((double)l->least[p] - e->pedestal) / e->gain);
        for (int k = 0; k < SPI_SURVEY_TOP; k++)
            l->top[p][k] = (float)(((double)l->top[p][k] - e->pedestal) / e->gain);
    }
}

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* What was subtracted from images was perhaps too much: light counts from the darkest pixels
 * on. */
static spi_err from_darkest(struct spi_look *l)
{
    const struct spi_detector *d = &l->im->s.det;
    struct spi_electronics e = {.gain = 1};
    double *mean = NULL;
    int64_t n = 0;
    spi_err err = SPI_NEW_UNSET(mean, d->n_pixels, "survey");

    for (int64_t p = 0; p < d->n_pixels && !err; p++)
        if (!d->bad[p])
            mean[n++] = spi_survey_mean(l, p);
    if (n > 0) {
        qsort(mean, (size_t)n, sizeof *mean, by_double);
        e.pedestal = l->base = mean[n / DARKEST];
        scale_sums(l, &e);
    }
    free(mean);
    return err;
}

/* Whole multiples of a unit without a 0 have a pedestal if the darkest pixels vary by less
 * than photons: mean - variance / unit (X3). */
static spi_err find_pedestal(struct spi_look *l, double unit, double *pedestal)
{
    const struct spi_detector *d = &l->im->s.det;
    double *mean = NULL, *excess = NULL, limit;
    int64_t n = 0, m = 0, zeros = 0;
    spi_err err;

    *pedestal = 0;
    SPI_TRY(err = SPI_NEW_UNSET(mean, d->n_pixels, "survey"), out);
    SPI_TRY(err = SPI_NEW_UNSET(excess, d->n_pixels, "survey"), out);
    for (int64_t p = 0; p < d->n_pixels; p++)
        if (!d->bad[p] && l->top[p][0] > l->least[p]) {
            mean[n++] = spi_survey_mean(l, p);
            zeros += l->zero[p];
        }
    if (n == 0 || zeros > n)
        goto out;
    qsort(mean, (size_t)n, sizeof *mean, by_double);
    limit = mean[n / DARKEST];
    for (int64_t p = 0; p < d->n_pixels; p++)
        if (!d->bad[p] && l->top[p][0] > l->least[p] && spi_survey_mean(l, p) <= limit)
            excess[m++] = spi_survey_mean(l, p) - spi_survey_variance(l, p) / unit;
    qsort(excess, (size_t)m, sizeof *excess, by_double);
    *pedestal = unit * fmax(0, round(excess[m / 2] / unit));
out:
    free(mean);
    free(excess);
    return err;
}

/* Do pixels vary from image to image as photons make them vary, at least (X3)? */
static bool varies(const struct spi_look *l, const struct spi_electronics *e)
{
    const struct spi_detector *d = &l->im->s.det;
    double variance = 0, photons = 0;

    for (int64_t p = 0; p < d->n_pixels; p++)
        if (!d->bad[p]) {
            variance += spi_survey_variance(l, p);
            photons += e->gain * fmax(0, spi_survey_mean(l, p) - e->pedestal);
        }
    return variance > varies_least * photons;
}

/* Photon peaks of electronics lie at the same places in all pixels (X3).  Where a background
 * was subtracted from photons each pixel has its own: the values of one pixel then agree
 * far better than those of all. */
static spi_err peaks_are_common(const struct spi_look *l, const struct spi_electronics *e,
                                bool *common)
{
    struct of_pixel {
        double re, im;
        int n;
    } *sum = NULL, all = {0};
    double own = 0, pairs = 0, together;
    spi_err err = SPI_NEW(sum, l->im->s.det.n_pixels, "survey");

    if (err)
        return err;
    for (int64_t i = 0; i < l->n_any; i++) {
        struct of_pixel *s = &sum[l->any_of[i]];
        double turn = 2 * M_PI * ((double)l->any[i] - e->pedestal) / e->gain;

        s->re += cos(turn);
        s->im += sin(turn);
        s->n++;
    }
    for (int64_t p = 0; p < l->im->s.det.n_pixels; p++) {
        const struct of_pixel *s = &sum[p];

        all.re += s->re;
        all.im += s->im;
        all.n += s->n;
        own += s->re * s->re + s->im * s->im - s->n;
        pairs += (double)s->n * (s->n - 1);
    }
    free(sum);
    together = (all.re * all.re + all.im * all.im) / fmax((double)all.n * all.n, 1);
    *common = own <= own_most * together * pairs + own_sigmas * sqrt(pairs);
    return SPI_OK;
}

static spi_err estimate(struct spi_look *l)
{
    struct spi_survey *s = l->s;
    const bool photons = l->im->s.kind == SPI_PHOTONS;
    bool odd = s->analogue || !photons || s->not_whole > broken_most;
    double pedestal;
    int64_t n = 0;
    bool common = false;
    spi_err err = SPI_OK;

    if (s->gain > 0) {
        err = find_pedestal(l, s->gain, &pedestal);
        if (!err && pedestal > 0)
            s->electronics =
                (struct spi_electronics){.pedestal = pedestal, .gain = s->gain};
    } else if (odd) {
        for (int64_t i = 0; i < l->n_any; i++)
            if (!l->im->s.det.bad[l->any_of[i]]) {
                l->any_of[n] = l->any_of[i];
                l->any[n++] = l->any[i];
            }
        l->n_any = n;
        err = spi_electronics_find(n, l->any, &s->electronics);
        if (!err && s->electronics.gain > 0)
            err = peaks_are_common(l, &s->electronics, &common);
        if (!err && !(common && varies(l, &s->electronics)))
            s->electronics = (struct spi_electronics){0};
    }
    s->found_electronics = s->electronics.gain > 0;
    return err;
}

spi_err spi_survey_find_electronics(struct spi_look *l,
                                    const struct spi_survey_options *opt)
{
    struct spi_survey *s = l->s;
    spi_err err = SPI_OK;

    if (opt->has_electronics)
        s->electronics = opt->electronics;
    else
        err = estimate(l);
    if (s->analogue)
        l->im->s.kind = SPI_INTENSITIES;
    if (!err && !(s->electronics.gain > 0) && l->negative > 0 && s->analogue)
        err = from_darkest(l);
    if (err || !(s->electronics.gain > 0))
        return err;
    s->gain = 0; /* what is read is in photons */
    s->not_whole = 0;
    s->analogue = l->repair->analogue = true;
    l->repair->electronics = s->electronics;
    l->im->s.kind = spi_repair_makes_photons(l->repair) ? SPI_PHOTONS : SPI_INTENSITIES;
    scale_sums(l, &s->electronics);
    return SPI_OK;
}
