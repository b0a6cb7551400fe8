/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/validation.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

/* Below q D = 2.5 a particle is nearly a ball: few shells, little structure in them. */
static const double ball_qD = 2.5;
/* Of what the detector reaches, where that is little. */
static const double edge_share = 0.75;
/* A half set's FSC 0.5 is its intensities' correlation 0.25: doc/math.md (Q12). */
static const double fsc_level = 0.5, cc_level = 0.25;
/* Background as large as two thirds of what the particle scatters. */
static const double contrast_level = 0.6;
static const double cc_good = 0.8; /* noise is not what phasing fails by */
static const double cc_sure = 0.5; /* shells whose contrast is known well */

/* ---- resolution --------------------------------------------------------------------- */

double spi_curve_end_A(int n, const double *q, const double *value, double level,
                       double q_from, double q_max)
{
    int end = 0, s = 0;
    double t, at;

    while (end < n && q[end] <= q_max * (1 + 1e-9))
        end++;
    if (end == 0)
        return INFINITY;
    while (s + 1 < end && q[s] < q_from)
        s++;
    if (!(value[s] >= level))
        return INFINITY;
    /* two shells in a row below; the last one has no successor and counts alone */
    while (s < end && !(value[s] < level && (s + 1 == end || value[s + 1] < level)))
        s++;
    if (s == end) {
        double slope =
            end > 1 ? (value[end - 1] - value[end - 2]) / (q[end - 1] - q[end - 2]) : 0;
        double drawn_on = value[end - 1] + fmin(slope, 0) * (q_max - q[end - 1]);

        if (drawn_on >= level)
            return 1 / q_max;
        return 1 / (q[end - 1] + (level - value[end - 1]) / slope);
    }
    t = (value[s - 1] - level) / (value[s - 1] - value[s]);
    at = q[s - 1] + fmax(t, 0) * (q[s] - q[s - 1]);
    return 1 / at;
}

double spi_resolution_of_intensities_A(int n, const double *q, const double *cc,
                                       double diameter_A, double q_max)
{
    return spi_curve_end_A(n, q, cc, cc_level, fmin(ball_qD / diameter_A, q_max), q_max);
}

/* Whether a shell tells something about contrast. */
static bool tells(const struct spi_agreement *a, double q, double diameter_A, double q_end)
{
    return q >= ball_qD / diameter_A && q <= q_end * (1 + 1e-9) &&
           spi_agreement_at(a, a->shells.cc, q) >= cc_sure;
}

/* The larger of the half sets' contrast and that of the images. */
static double contrast(const struct spi_agreement *a, const struct spi_contrast *c, int i)
{
    return fmax(spi_agreement_at(a, a->shells.contrast, c->q[i]),
                sqrt(fmax(c->square[i], 0)));
}

/* Where the contrast of the intensities ends that a particle has. */
static spi_err background_end_A(const struct spi_agreement *a, const struct spi_contrast *c,
                                double diameter_A, double from, double *end_A)
{
    double *value = NULL;
    spi_err err = SPI_NEW(value, c->n, "validation");

    for (int i = 0; i < c->n && !err; i++)
        value[i] = tells(a, c->q[i], diameter_A, a->q_max) ? contrast(a, c, i) : 1;
    if (!err)
        *end_A = spi_curve_end_A(c->n, c->q, value, contrast_level, from, a->q_max);
    free(value);
    return err;
}

spi_err spi_resolution_find(const struct spi_agreement *a, const struct spi_fsc *f,
                            const double *const own[2], const struct spi_contrast *c,
                            double diameter_A, struct spi_resolution *out)
{
    const struct spi_intensity_shells *s = &a->shells;
    double from = fmin(ball_qD / diameter_A, a->q_max), ends[3], images_A;
    spi_err err;

    *out = (struct spi_resolution){.edge_A = 1 / a->q_max};
    out->intensities_A =
        spi_resolution_of_intensities_A(s->n, s->q, s->cc, diameter_A, a->q_max);
    ends[0] = spi_curve_end_A(f->n_shells, f->q, f->fsc, fsc_level, from, a->q_max);
    for (int h = 0; h < 2; h++)
        ends[1 + h] = spi_curve_end_A(s->n, s->q, own[h], cc_level, from, a->q_max);
    out->maps_A = fmax(ends[0], fmax(ends[1], ends[2]));
    err = background_end_A(a, c, diameter_A, from, &out->background_A);
    images_A = fmax(out->maps_A, out->intensities_A);
    out->claimed_A = fmax(images_A, out->background_A);
    /* a Shannon cell of the intensity is as near as shells can tell */
    if (1 / out->edge_A - 1 / out->claimed_A < 1 / (2 * diameter_A))
        out->limit = SPI_LIMIT_EDGE;
    else if (out->background_A > images_A)
        out->limit = SPI_LIMIT_BACKGROUND;
    else if (spi_agreement_at(a, s->cc, fmax(1 / out->maps_A, s->q[0])) >= cc_good)
        out->limit = SPI_LIMIT_PHASES; /* where the maps end the intensities are good */
    else
        out->limit = SPI_LIMIT_IMAGES;
    return err;
}

/* ---- what no particle shows --------------------------------------------------------- */

double spi_isotropic_share(const struct spi_agreement *a, const struct spi_contrast *c,
                           double diameter_A, double q_end, double *at)
{
    double most = 0;

    *at = 0;
    for (int i = 0; i < c->n; i++) {
        double share = 1 - contrast(a, c, i);

        if (!tells(a, c->q[i], diameter_A, q_end) || share <= most)
            continue;
        most = share;
        *at = c->q[i];
    }
    return most;
}

/* ---- words -------------------------------------------------------------------------- */

struct words {
    char text[SPI_MESSAGE_MAX];
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void say(struct words *w, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(w->text + w->n, sizeof w->text - w->n, fmt, ap);
    va_end(ap);
    w->n += n > 0 ? (size_t)n : 0;
    if (w->n >= sizeof w->text) /* cut */
        w->n = sizeof w->text - 1;
}

spi_err spi_validation_check(const struct spi_validation *v, const struct spi_settings *set)
{
    const struct spi_resolution *r = &v->resolution;
    struct words why = {.n = 0};
    double need =
        fmin(set->resolution_elements_min, edge_share * v->diameter_A / r->edge_A);

    if (!(v->coverage >= set->fourier_coverage_min))
        say(&why,
            "; the images cross only %.0f %% of the directions (need %.0f "
            "%%): the views cover too few directions",
            100 * v->coverage, 100 * set->fourier_coverage_min);
    if (!(v->diameter_A / r->background_A >= need))
        say(&why,
            "; beyond %.1f A more than %.0f %% of the intensity is the same in all "
            "directions (%.0f %% at %.1f A; need %.1f A), which no particle of this "
            "size can show: the images still contain a background",
            fmin(r->background_A, v->diameter_A / ball_qD), 100 * (1 - contrast_level),
            100 * v->isotropic, 1 / v->isotropic_q, v->diameter_A / need);
    if (isnan(v->unexplained_variance)) /* all are outliers, or the map is flat */
        say(&why,
            "; %.0f %% of the images are outliers (at most %.0f %%): the map explains none "
            "of them; they show other particles or none, or their orientations are wrong",
            100 * v->outlier_images, 100 * set->outlier_images_max);
    else if (!(v->unexplained_variance <= set->unexplained_variance_max) ||
             !(v->outlier_images <= set->outlier_images_max))
        say(&why,
            "; the map leaves %.0f %% of the structure in the images unexplained (at "
            "most %.0f %%), and %.0f %% of the images are outliers (at most %.0f %%): "
            "some images show another particle or none, or their orientations are wrong",
            100 * v->unexplained_variance, 100 * set->unexplained_variance_max,
            100 * v->outlier_images, 100 * set->outlier_images_max);
    if (!(v->diameter_A / fmax(r->intensities_A, r->maps_A) >= need))
        say(&why,
            "; the intensities of the half sets agree to %.1f A and their maps to %.1f "
            "A only; a ball of the same diameter would agree as well (need %.1f A)",
            r->intensities_A, r->maps_A, v->diameter_A / need);
    if (!(v->phase_consistency >= set->phase_consistency_min))
        say(&why,
            "; where the intensities of the half sets agree, their phased maps agree "
            "with each other and with these intensities to %.2f of what that allows "
            "(need %.2f), in the best of %d round%s of phasing: the phases are wrong or "
            "unfinished, while orientations and intensities may be right (--resume with "
            "a larger phasing.N_phase_starts than %d, another phasing.cutoff than %g or "
            "another phasing.recipe phases again)",
            fmax(v->phase_consistency, 0), set->phase_consistency_min, v->phase_rounds,
            v->phase_rounds == 1 ? "" : "s", set->N_phase_starts, set->cutoff);
    return why.n > 0
               ? spi_fail(SPI_ENOCONV, "the result fails its validation: %s", why.text + 2)
               : SPI_OK;
}

void spi_validation_limit(const struct spi_validation *v, char *text, size_t size)
{
    const struct spi_resolution *r = &v->resolution;
    const struct spi_outlook *o = &v->outlook;
    int n;

    if (r->limit == SPI_LIMIT_EDGE) {
        snprintf(text, size, "the edge of the detector (%.1f A)", r->edge_A);
        return;
    }
    if (r->limit == SPI_LIMIT_BACKGROUND) {
        snprintf(text, size,
                 "a background that the images still contain: beyond %.1f A more than %.0f "
                 "%% of the intensity is the same in all directions",
                 r->background_A, 100 * (1 - contrast_level));
        return;
    }
    if (r->limit == SPI_LIMIT_PHASES)
        n = snprintf(text, size,
                     "the phases: the intensities of the half sets agree to %.1f A, their "
                     "maps to %.1f A",
                     r->intensities_A, r->maps_A);
    else
        n = snprintf(text, size,
                     "the images: the intensities of the half sets agree to %.1f A, the "
                     "detector reaches %.1f A",
                     r->intensities_A, r->edge_A);
    if (o->known && n > 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n,
                 " (half of the images: %.1f A; expected with twice as many: %.1f A, four "
                 "times: %.1f A)",
                 o->half_A, o->twice_A, o->four_times_A);
}
