/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/opening.h"

#include <math.h>
#include <stdio.h>

#include "base/log.h"
#include "io/h5.h"

static void tell_hidden(const char *path, const char *mask, const struct spi_survey *s)
{
    double share = (double)s->hidden / (double)s->n_pixels;

    if (s->hidden > 0)
        spi_info("%s: masks hide %.1f %% of the pixels (%lld of %lld)", path, 100 * share,
                 (long long)s->hidden, (long long)s->n_pixels);
    if (spi_survey_mostly_hidden(s))
        spi_warn("%s: masks hide %.1f %% of the pixels, as they do when %s marks good "
                 "pixels with 1; then give --invert-mask",
                 path, 100 * share, mask ? mask : "the file's mask");
}

/* One line for each kind of pixel, with the first one and its mean. */
static void tell_masked(const char *path, const struct spi_opening *o)
{
    const struct spi_survey *s = &o->survey;

    for (int i = 0; i < s->n_listed; i++) {
        const struct spi_surveyed *p = s->listed + i;
        int64_t n = s->n[p->kind];
        char at[96], mean[40] = "";

        if (i > 0 && s->listed[i - 1].kind == p->kind)
            continue;
        spi_survey_where(o->images, p->pixel, at);
        if (isfinite(p->mean))
            snprintf(mean, sizeof mean, ", mean %g", p->mean);
        spi_warn(
            "%s: %lld pixel%s %s in each of %lld images: masked (%s%s%s); --mask takes a "
            "mask that says so",
            path, (long long)n, n == 1 ? "" : "s", spi_survey_words(p->kind, n),
            (long long)s->n_images, n == 1 ? "" : "the first: ", at, mean);
    }
}

static void tell_doubtful(const char *path, const struct spi_opening *o)
{
    const struct spi_survey *s = &o->survey;
    char at[96];

    if (s->n_dead > 0) {
        spi_survey_where(o->images, s->dead, at);
        spi_warn(
            "%s: %lld pixel%s 0 in each of %lld images though the ring is bright, a gap "
            "or a shadow that is not masked? (%s%s); --mask hides such pixels",
            path, (long long)s->n_dead, s->n_dead == 1 ? " is" : "s are",
            (long long)s->n_images, s->n_dead == 1 ? "" : "the first: ", at);
    }
    if (s->gain == 1)
        spi_info("%s: intensities are whole numbers: reconstruct takes them as photons",
                 path);
    else if (s->gain > 0)
        spi_info(
            "%s: values are whole multiples of %g, as of a detector with %g units (ADU) "
            "a photon: reconstruct takes them as photons",
            path, s->gain, s->gain);
    else if (s->not_whole > 0) {
        spi_survey_where(o->images, s->not_whole_pixel, at);
        spi_warn("%s: %.2g %% of the photons are no whole numbers (%g in image %lld, %s): "
                 "round them, or name the dataset 'intensities' if they are not photons",
                 path, 100 * s->not_whole, s->not_whole_value,
                 (long long)s->not_whole_image, at);
    }
}

spi_err spi_opening_init(const char *path, const struct spi_opening_args *args,
                         struct spi_opening *o)
{
    const struct spi_images_options options = {.mask = args->mask,
                                               .invert_mask = args->invert_mask};
    spi_err err;

    *o = (struct spi_opening){0};
    spi_h5_follow_external(args->follow_external);
    SPI_TRY(err = spi_images_open_with(path, &options, &o->images), out);
    SPI_TRY(err = spi_survey(o->images, &o->survey), out);
    tell_hidden(path, args->mask, &o->survey);
    tell_masked(path, o);
    tell_doubtful(path, o);
out:
    if (err)
        spi_opening_clear(o);
    return err;
}

void spi_opening_clear(struct spi_opening *o)
{
    spi_images_close(o->images);
    *o = (struct spi_opening){0};
}
