/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/repair.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/pixels.h"

static const double missing_most = 0.05; /* of the usable pixels of an image */
static const double bright = 0.1;        /* of the limit: a pixel that may well reach it */
static const double rounded_most = 0.1;  /* photons of noise; above it values are soft; */
static const double noise_most = 0.5;    /* above it they are no photons any more */

spi_err spi_repair_new(int64_t n_pixels, struct spi_repair **out)
{
    struct spi_repair *r = NULL;
    spi_err err = SPI_NEW(r, 1, "repair of images");

    *out = NULL;
    if (err)
        return err;
    r->n_pixels = n_pixels;
    r->limit = INFINITY;
    err = SPI_NEW(r->mean, n_pixels, "repair of images");
    if (err)
        spi_repair_free(r);
    else
        *out = r;
    return err;
}

void spi_repair_free(struct spi_repair *r)
{
    if (r)
        free(r->mean);
    free(r);
}

bool spi_repair_makes_photons(const struct spi_repair *r)
{
    return r->electronics.gain > 0 && r->electronics.noise <= noise_most;
}

bool spi_repair_is_wrong(const struct spi_repair *r, float v)
{
    if (!(fabsf(v) <= FLT_MAX) || (v < 0 && !r->analogue) || v >= r->limit)
        return true;
    for (int i = 0; i < r->n_bad; i++)
        if (v == r->bad[i])
            return true;
    return false;
}

/* What is no measurement becomes infinite where the pixel is full, else no number.  Returns
 * its share of the usable pixels. */
static double mark(const struct spi_repair *r, const uint8_t *bad, float *image,
                   int64_t *wrong)
{
    int64_t used = 0;

    *wrong = 0;
    for (int64_t p = 0; p < r->n_pixels; p++) {
        if (bad[p])
            continue;
        used++;
        if (spi_repair_is_wrong(r, image[p])) {
            image[p] =
                image[p] >= r->limit && image[p] <= FLT_MAX ? (float)INFINITY : (float)NAN;
            ++*wrong;
        }
    }
    return used > 0 ? (double)*wrong / (double)used : 0;
}

static float in_photons(const struct spi_electronics *e, float v)
{
    return (float)(((double)v - e->pedestal) / e->gain);
}

/* (X1): the sum of the valid values over that of their means. */
static double brightness(const struct spi_repair *r, const uint8_t *bad, const float *image)
{
    double sum = 0, mean = 0;

    for (int64_t p = 0; p < r->n_pixels; p++)
        if (!bad[p] && isfinite(image[p])) {
            sum += (double)image[p];
            mean += (double)r->mean[p];
        }
    return mean > 0 ? fmax(0, sum / mean) : 0;
}

static float filled(float mark, double expected, float limit)
{
    /* A bright pixel is full: it holds this much at least. */
    return isinf(mark) && expected > bright * (double)limit ? limit : (float)expected;
}

int64_t spi_repair_image(const struct spi_repair *r, const uint8_t *bad, float *image)
{
    const struct spi_electronics *e = &r->electronics;
    const bool plain = !r->analogue && isinf(r->limit) && r->n_bad == 0;
    const bool photons = spi_repair_makes_photons(r);
    const float limit = e->gain > 0 ? in_photons(e, r->limit) : r->limit;
    int64_t wrong;
    double scale;

    if (spi_pixels_clean(r->n_pixels, bad, image) && plain && !(e->gain > 0))
        return 0;
    if (mark(r, bad, image, &wrong) > missing_most) {
        memset(image, 0, (size_t)r->n_pixels * sizeof *image);
        return r->n_pixels + 1;
    }
    if (e->gain > 0)
        for (int64_t p = 0; p < r->n_pixels; p++)
            if (!bad[p])
                image[p] = in_photons(e, image[p]);
    if (wrong == 0 && !(e->gain > 0))
        return 0;
    scale = brightness(r, bad, image);
    for (int64_t p = 0; p < r->n_pixels; p++) {
        double expected = scale * (double)r->mean[p];

        if (bad[p])
            continue;
        if (!isfinite(image[p]))
            image[p] = filled(image[p], expected, limit);
        else if (photons && e->noise <= rounded_most)
            image[p] = fmaxf(0, rintf(image[p]));
        else if (photons)
            image[p] = (float)spi_electronics_photons((double)image[p], expected, e->noise);
    }
    return wrong;
}
