/* SPDX-License-Identifier: GPL-3.0-or-later */
/* reconstruct_ranges.c, of app/reconstruct.h: the diameter of the particle and the range of |q|. */
#include "app/reconstruct.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "app/rundir.h"
#include "app/stage.h"
#include "base/log.h"
#include "fsc/symmetry_fit.h"
#include "report/pictures.h"

/* Of 1 / diameter: a pixel that sees speckles at all. */
static const double most_pixel = 1.5;

static double length(const double v[3])
{
    return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
}

static double lowest_q(const struct spi_detector *det)
{
    double least = INFINITY;

    for (int64_t p = 0; p < det->n_pixels; p++)
        if (!det->bad[p])
            least = fmin(least, length(det->q + 3 * p));
    return least;
}

/* What the first look at the images found. */
static void tell_preview(const struct spi_reconstruct *j)
{
    const struct spi_preview *s = &j->preview;
    const struct spi_detector *det = spi_images_detector(j->images);
    int64_t p = s->left_out.first_zero, panel = (int64_t)det->ny * det->nx;

    spi_opening_tell_centre(j->path, &j->opening, s);
    if (s->left_out.zero > 0)
        spi_warn("%s: %lld pixels are zero in all of %lld images though others at the same "
                 "|q| are not (first: panel %lld, row %lld, column %lld): a gap or dead "
                 "pixels; mark them in 'mask'",
                 j->path, (long long)s->left_out.zero, (long long)s->n,
                 (long long)(p / panel), (long long)(p % panel / det->nx),
                 (long long)(p % det->nx));
    if (s->left_out.saturated > 0)
        spi_warn("%s: %lld pixels are full at %g; they took no part in the estimate of the "
                 "diameter; mark them in 'mask' if they matter",
                 j->path, (long long)s->left_out.saturated, s->left_out.limit);
    if ((double)s->left_out.images > 0.01 * (double)s->n) /* fewer are chance */
        spi_info(
            "%lld of %lld images seem to hold more than one particle; they took no part "
            "in the estimate of the diameter",
            (long long)s->left_out.images, (long long)s->n);
}

/* A wrong centre that nobody measured makes a diameter doubtful. */
static const char *unmeasured(const struct spi_preview *s)
{
    static char text[160];

    if (s->n < SPI_PREVIEW_CENTRE_LEAST)
        snprintf(text, sizeof text,
                 "; the beam's centre was not measured, which needs %d images: is that of "
                 "the file right?",
                 SPI_PREVIEW_CENTRE_LEAST);
    else
        snprintf(text, sizeof text,
                 "; the images show no centre within %d pixels of that of the file: is "
                 "that right?",
                 SPI_CENTRE_MOST_PX);
    return s->centre.known ? "" : text;
}

static spi_err picture_mean(const struct spi_preview *s, const struct spi_detector *det,
                            const float *mean, void *user)
{
    const struct spi_reconstruct *j = user;
    char path[SPI_PATH_MAX];

    spi_reconstruct_path(j, "mean_image.png", path);
    return spi_picture_mean_image(det, s->kind, mean, path);
}

/* D from the images; the mean image is written before, unless the directory holds another
 * run: this one may still be refused. */
static spi_err look_at_images(struct spi_reconstruct *j)
{
    static const double doubtful = 0.15;
    const struct spi_diameter_result *d = &j->preview.diameter;
    char why[SPI_MESSAGE_MAX];
    spi_err err =
        spi_preview_init(&j->preview, j->images, j->opening.survey.gain,
                         strcmp(j->set.centre, "images") == 0, !(j->diameter_A > 0),
                         spi_rundir_holds_run(j->args->out) ? NULL : picture_mean, j);

    snprintf(why, sizeof why, "%s", err ? spi_err_message() : "");
    tell_preview(j);
    if (err == SPI_EFORMAT && spi_centre_is_off(&j->preview.centre) &&
        !j->preview.moved.yes)
        return spi_fail(
            err, "%s: the beam's centre is off by %.1f pixels, which comes first%s; %s",
            j->path, hypot(j->preview.centre.shift_px[0], j->preview.centre.shift_px[1]),
            spi_images_centre_advice(j->opening.images), why);
    if (err)
        return spi_fail(err, "%s: %s", j->path, why);
    if (j->diameter_A > 0)
        return SPI_OK;
    j->diameter_A = d->diameter_A;
    spi_info("diameter estimated from %s: %.0f A (+- %.0f); --diameter overrides it",
             d->from_speckles ? "the width of speckles" : "the images", d->diameter_A,
             d->sigma_A);
    if (d->sigma_A > doubtful * d->diameter_A)
        spi_warn("the diameter of %.0f A is uncertain by %.0f A: if the run does not "
                 "converge, give it by --diameter%s",
                 d->diameter_A, d->sigma_A, unmeasured(&j->preview));
    return SPI_OK;
}

/* What needs no look at the images. */
static spi_err check_numbers(const struct spi_reconstruct *j)
{
    const struct spi_detector *det = spi_images_detector(j->images);
    double corner = spi_detector_q_corner(det), D = j->diameter_A, pixel = INFINITY;

    if (spi_images_count(j->images) < SPI_IMAGES_LEAST)
        return spi_fail(SPI_EFORMAT, "%s: %lld images; a reconstruction needs at least %d",
                        j->path, (long long)spi_images_count(j->images), SPI_IMAGES_LEAST);
    if (j->set.q_max_invA > corner * (1 + 1e-6))
        return spi_fail(SPI_EUSAGE,
                        "%s: particle.q_max_invA is %g; the detector reaches %.4g 1/A",
                        j->path, j->set.q_max_invA, corner);
    for (int64_t p = 1; p < det->n_pixels; p++)
        if (p % det->nx > 0)
            pixel = fmin(pixel, hypot(det->q[3 * p] - det->q[3 * p - 3],
                                      det->q[3 * p + 1] - det->q[3 * p - 2]));
    if (D * pixel > most_pixel)
        return spi_fail(SPI_EUSAGE,
                        "%s: the diameter given is %g A; speckles of such a particle are "
                        "finer than a pixel (%.3g 1/A): need %.0f A at most; is it in "
                        "another unit?",
                        j->path, D, pixel, most_pixel / pixel);
    return SPI_OK;
}

/* |q| that are used with the diameter as it is now. */
spi_err spi_reconstruct_set_range(struct spi_reconstruct *j)
{
    j->q_min = j->set.q_min_invA > 0
                   ? j->set.q_min_invA
                   : fmax(1 / j->diameter_A, lowest_q(spi_images_detector(j->images)));
    if (!(j->q_max > j->q_min))
        return spi_fail(j->diameter_given || j->set.q_max_invA > 0 || j->set.q_min_invA > 0
                            ? SPI_EUSAGE
                            : SPI_EFORMAT,
                        "%s: |q| from %g to %g 1/A leaves nothing to use", j->path,
                        j->q_min, j->q_max);
    if (j->q_max * j->diameter_A < SPI_SYMMETRY_QD_LEAST)
        return spi_fail(
            j->diameter_given || j->set.q_max_invA > 0 ? SPI_EUSAGE : SPI_EFORMAT,
            "%s: |q| up to %g 1/A of a particle of %g A shows no structure; need "
            "a product of %d: change %s",
            j->path, j->q_max, j->diameter_A, SPI_SYMMETRY_QD_LEAST,
            j->set.q_max_invA > 0 ? "particle.q_max_invA" : "the diameter");
    /* with a mask up to there no diameter helps */
    bool masked = j->q_min * j->diameter_A > 1 + 1e-9;

    return spi_stage_check_rings(
        j->path, j->diameter_A, j->q_min, j->q_max, j->set.ring_oversampling,
        j->set.q_max_invA > 0          ? "particle.q_max_invA"
        : j->set.q_min_invA > 0        ? "particle.q_min_invA"
        : j->diameter_given && !masked ? "the diameter that is given"
                                       : NULL);
}

spi_err spi_reconstruct_find_ranges(struct spi_reconstruct *j)
{
    const struct spi_detector *det = spi_images_detector(j->images);
    spi_err err;

    j->diameter_A = j->args->diameter_A > 0 ? j->args->diameter_A : j->set.diameter_A;
    j->diameter_given = j->diameter_A > 0;
    if ((err = check_numbers(j)) != SPI_OK || (err = look_at_images(j)) != SPI_OK)
        return err;
    j->q_max = j->set.q_max_invA > 0 ? j->set.q_max_invA : spi_detector_q_edge(det);
    j->n_diameters = 1;
    j->had_A[0] = j->diameter_A;
    return spi_reconstruct_set_range(j);
}
