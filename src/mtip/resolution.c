/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/resolution.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

/* A half set's FSC 0.5 is its intensities' correlation 0.25: doc/math.md (Q12). */
static const double fsc_level = 0.5, cc_level = 0.25;
static const double cc_good = 0.8; /* noise is not what phasing fails by */
static const double cc_sure = 0.5; /* shells whose contrast is known well */

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
    return spi_curve_end_A(n, q, cc, cc_level, fmin(SPI_BALL_QD / diameter_A, q_max),
                           q_max);
}

/* Whether a shell tells something about contrast. */
static bool tells(const struct spi_agreement *a, double q, double diameter_A, double q_end)
{
    return q >= SPI_BALL_QD / diameter_A && q <= q_end * (1 + 1e-9) &&
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
        *end_A = spi_curve_end_A(c->n, c->q, value, SPI_CONTRAST_LEVEL, from, a->q_max);
    free(value);
    return err;
}

spi_err spi_resolution_find(const struct spi_agreement *a, const struct spi_fsc *f,
                            const double *const own[2], const struct spi_contrast *c,
                            double diameter_A, struct spi_resolution *out)
{
    const struct spi_intensity_shells *s = &a->shells;
    double from = fmin(SPI_BALL_QD / diameter_A, a->q_max), ends[3], images_A;
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
