/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/response.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "sim/detector.h"

/* A flickering pixel is hot in this share of the images. */
static const double flickers = 0.1;

spi_err spi_response_init(struct spi_response *r, const struct spi_detector *det,
                          const struct spi_response_options *opt, uint64_t seed)
{
    struct spi_rng rng = spi_rng_stream(seed, SPI_RNG_FAULTS, 0);
    spi_err err;

    *r = (struct spi_response){.opt = *opt, .seed = seed, .n_pixels = det->n_pixels};
    if (!(opt->dead + opt->hot + opt->flickering <= 1))
        return spi_fail(SPI_EINVAL, "dead, hot and flickering pixels are %g of all",
                        opt->dead + opt->hot + opt->flickering);
    SPI_TRY(err = SPI_NEW(r->fault, r->n_pixels, "faults"), fail);
    SPI_TRY(err = SPI_NEW(r->in_gap, r->n_pixels, "faults"), fail);
    for (int64_t p = 0; p < r->n_pixels; p++) {
        double u = spi_rng_uniform(&rng); /* of every pixel, whatever the mask */

        if (det->bad[p])
            continue;
        r->fault[p] = u < opt->dead                                ? SPI_PIXEL_DEAD
                      : u < opt->dead + opt->hot                   ? SPI_PIXEL_HOT
                      : u < opt->dead + opt->hot + opt->flickering ? SPI_PIXEL_FLICKERING
                                                                   : SPI_PIXEL_GOOD;
    }
    return SPI_OK;
fail:
    spi_response_clear(r);
    return err;
}

void spi_response_clear(struct spi_response *r)
{
    free(r->fault);
    free(r->in_gap);
    *r = (struct spi_response){0};
}

static void fill_gap(struct spi_response *r, const struct spi_detector *det,
                     const uint8_t *in, enum spi_pixel_fault fault, float value)
{
    for (int64_t p = 0; p < r->n_pixels; p++)
        if (in[p] && !det->bad[p]) {
            r->fault[p] = (uint8_t)fault;
            r->in_gap[p] = value;
        }
}

spi_err spi_response_gap(struct spi_response *r, const struct spi_detector *det,
                         const char *text)
{
    char place[128], *equals, *end;
    double value = 0;
    uint8_t *in = NULL, *picture = NULL;
    spi_err err;

    snprintf(place, sizeof place, "%s", text);
    equals = strchr(place, '=');
    if (equals) {
        *equals++ = 0;
        value = strtod(equals, &end);
        if (end == equals || *end || isinf(value) || fabs(value) > 4294967295.0)
            return spi_fail(SPI_EUSAGE,
                            "'%s': '%s' is no value of a pixel; need a number or nan", text,
                            equals);
    }
    SPI_TRY(err = SPI_NEW(in, r->n_pixels, "gap"), out);
    SPI_TRY(err = SPI_NEW(picture, (int64_t)det->rows * det->columns, "gap"), out);
    SPI_TRY(err = spi_mask_rectangle(place, det->rows, det->columns, picture), out);
    for (int64_t p = 0; p < r->n_pixels; p++)
        in[p] = picture[(int64_t)det->index_map[2 * p] * det->columns +
                        det->index_map[2 * p + 1]];
    fill_gap(r, det, in, SPI_PIXEL_GAP, (float)value);
out:
    free(in);
    free(picture);
    return err;
}

spi_err spi_response_missing(struct spi_response *r, const struct spi_detector *det,
                             const char *text)
{
    uint8_t *in = NULL;
    spi_err err;

    SPI_TRY(err = SPI_NEW(in, r->n_pixels, "gap"), out);
    for (const char *c = text;; c += 2) {
        if (*c < '1' || *c > '4' || (c[1] && c[1] != ',')) {
            err =
                spi_fail(SPI_EUSAGE, "'%s': need quadrants from 1 to 4, such as 1,4", text);
            goto out;
        }
        for (int64_t p = 0; p < r->n_pixels; p++) {
            int row = det->index_map[2 * p], column = det->index_map[2 * p + 1];

            in[p] |=
                (uint8_t)(1 + 2 * (2 * row >= det->rows) + (2 * column >= det->columns) ==
                          *c - '0');
        }
        if (!c[1])
            break;
    }
    fill_gap(r, det, in, SPI_PIXEL_MISSING, 0);
out:
    free(in);
    return err;
}

bool spi_response_is_analogue(const struct spi_response *r)
{
    return r->opt.gain > 0;
}

bool spi_response_is_raw(const struct spi_response *r)
{
    bool odd = spi_response_is_analogue(r);

    for (int64_t p = 0; p < r->n_pixels; p++)
        odd = odd || !(r->in_gap[p] >= 0);
    return odd;
}

double spi_response_most(const struct spi_response *r, double photons)
{
    double most = photons, hot = r->opt.hot_counts;

    if (r->opt.hot + r->opt.flickering > 0)
        most += hot + 10 * sqrt(hot) + 10;
    if (r->opt.saturation > 0)
        most = fmin(most, r->opt.saturation);
    for (int64_t p = 0; p < r->n_pixels; p++)
        most = fmax(most, (double)r->in_gap[p]); /* nan: not larger */
    return most;
}

/* (S20): photons, before the electronics. */
static double counted(const struct spi_response *r, enum spi_pixel_fault fault,
                      double photons, struct spi_rng *rng)
{
    if (fault == SPI_PIXEL_DEAD)
        return 0;
    if (fault == SPI_PIXEL_HOT ||
        (fault == SPI_PIXEL_FLICKERING && spi_rng_uniform(rng) < flickers))
        photons += (double)spi_rng_poisson(rng, r->opt.hot_counts);
    return r->opt.saturation > 0 ? fmin(photons, r->opt.saturation) : photons;
}

void spi_response_apply(const struct spi_response *r, int64_t k, float *pixels)
{
    struct spi_rng rng = spi_rng_stream(r->seed, SPI_RNG_READOUT, (uint64_t)k);

    for (int64_t p = 0; p < r->n_pixels; p++) {
        enum spi_pixel_fault fault = (enum spi_pixel_fault)r->fault[p];
        double n = counted(r, fault, (double)pixels[p], &rng);

        if (spi_response_is_analogue(r)) /* (S21) */
            n = r->opt.pedestal + r->opt.gain * (n + r->opt.noise * spi_rng_normal(&rng));
        pixels[p] =
            fault == SPI_PIXEL_GAP || fault == SPI_PIXEL_MISSING ? r->in_gap[p] : (float)n;
    }
}
