/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "match/drift.h"

#include <math.h>

enum { IMAGES_LEAST = 8 };                 /* of a block */
static const double block_sigma_px = 0.03; /* so sure is a block, where there are so many */
static const double before_px = 5;         /* what the images do not show stays 0 */

static void add(const struct spi_geometry_centre *c, struct spi_geometry_centre *sum)
{
    for (int i = 0; i < 2; i++)
        sum->gradient[i] += c->gradient[i];
    for (int i = 0; i < 3; i++)
        sum->fisher[i] += c->fisher[i];
}

/* F x. */
static void apply(const struct spi_geometry_centre *c, const double x[2], double Fx[2])
{
    Fx[0] = c->fisher[0] * x[0] + c->fisher[1] * x[1];
    Fx[1] = c->fisher[1] * x[0] + c->fisher[2] * x[1];
}

static void solve(const struct spi_geometry_centre *c, double x[2])
{
    double prior = 1 / (before_px * before_px);
    double a = c->fisher[0] + prior, b = c->fisher[1], d = c->fisher[2] + prior;
    double det = a * d - b * b;

    x[0] = det > 0 ? (d * c->gradient[0] - b * c->gradient[1]) / det : 0;
    x[1] = det > 0 ? (a * c->gradient[1] - b * c->gradient[0]) / det : 0;
}

static double gain(const struct spi_geometry_centre *c, const double x[2])
{
    double Fx[2];

    apply(c, x, Fx);
    return x[0] * (c->gradient[0] - Fx[0] / 2) + x[1] * (c->gradient[1] - Fx[1] / 2);
}

/* About the place `mean`. */
static struct spi_geometry_centre about(const struct spi_geometry_centre *c,
                                        const double mean[2])
{
    struct spi_geometry_centre there = *c;
    double Fx[2];

    apply(c, mean, Fx);
    for (int i = 0; i < 2; i++)
        there.gradient[i] -= Fx[i];
    return there;
}

static int blocks_for(int64_t n, const struct spi_geometry_centre *all)
{
    double of_image = (all->fisher[0] + all->fisher[2]) / 2 / (double)n;
    double images =
        fmax(IMAGES_LEAST, 1 / fmax(of_image * block_sigma_px * block_sigma_px, 1e-30));

    return (int)fmin((double)n / images, SPI_DRIFT_BLOCKS);
}

void spi_drift_find(int64_t n, const struct spi_drift_image *images, struct spi_drift *out)
{
    struct spi_geometry_centre all = {{0}, {0}};
    double mean[2], weight = 0;

    *out = (struct spi_drift){.n = 0};
    for (int64_t i = 0; i < n; i++)
        add(&images[i].centre, &all);
    if (n < 1 || (out->n = blocks_for(n, &all)) < 2) {
        out->n = 0;
        return;
    }
    solve(&all, mean);
    for (int b = 0; b < out->n; b++) {
        struct spi_geometry_centre half[2] = {{{0}, {0}}, {{0}, {0}}}, both = {{0}, {0}};
        int64_t from = n * b / out->n, to = n * (b + 1) / out->n;
        double x[2][2];

        for (int64_t i = from; i < to; i++) {
            add(&images[i].centre, &half[images[i].half]);
            out->image[b] += (double)images[i].image / (double)(to - from);
        }
        for (int h = 0; h < 2; h++) {
            half[h] = about(&half[h], mean);
            add(&half[h], &both);
            solve(&half[h], x[h]);
        }
        for (int h = 0; h < 2; h++)
            out->gain += gain(&half[h], x[1 - h]);
        solve(&both, out->px[b]);
        weight = (both.fisher[0] + both.fisher[2]) / 2;
        out->sigma_px = fmax(out->sigma_px, 1 / sqrt(fmax(weight, 1e-30)));
    }
    for (int a = 0; a < out->n; a++)
        for (int b = 0; b < a; b++)
            out->range_px = fmax(out->range_px, hypot(out->px[a][0] - out->px[b][0],
                                                      out->px[a][1] - out->px[b][1]));
}

void spi_drift_at(const struct spi_drift *d, int64_t image, double px[2])
{
    double at = (double)image, part;
    int b = 0;

    px[0] = px[1] = 0;
    if (d->n < 2)
        return;
    while (b < d->n - 2 && at > d->image[b + 1])
        b++;
    part = (at - d->image[b]) / (d->image[b + 1] - d->image[b]);
    part =
        fmin(fmax(part, -0.5), 1.5); /* half a block beyond the middles of the outer ones */
    for (int c = 0; c < 2; c++)
        px[c] = (1 - part) * d->px[b][c] + part * d->px[b + 1][c];
}
