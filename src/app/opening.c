/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/opening.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "io/h5.h"

static void tell_hidden(const char *path, const char *mask, const struct spi_survey *s)
{
    int64_t hidden = s->n[SPI_REASON_MASK];
    double share = (double)hidden / (double)s->n_pixels;

    if (hidden > 0)
        spi_info("%s: masks hide %.1f %% of the pixels (%lld of %lld)", path, 100 * share,
                 (long long)hidden, (long long)s->n_pixels);
    if (spi_survey_mostly_hidden(s))
        spi_warn("%s: masks hide %.1f %% of the pixels, as they do when %s marks good "
                 "pixels with 1; then give --invert-mask",
                 path, 100 * share, mask ? mask : "the file's mask");
}

/* One line, with the first of the rarest pixels. */
static void tell_masked(const char *path, const struct spi_opening *o)
{
    const struct spi_survey *s = &o->survey;
    int64_t masked = spi_survey_masked(s);
    char counts[256], at[96], mean[40] = "";

    if (masked == 0)
        return;
    spi_survey_counts(s, counts);
    spi_survey_where(o->images, s->listed[0].pixel, at);
    if (isfinite(s->listed[0].mean))
        snprintf(mean, sizeof mean, ", mean %g", s->listed[0].mean);
    spi_warn("%s: %lld pixel%s %s masked after a look at %lld images (%s; %s%s%s); "
             "--trust-mask uses all pixels",
             path, (long long)masked, masked == 1 ? "" : "s", masked == 1 ? "is" : "are",
             (long long)s->n_images, counts, masked == 1 ? "" : "the first: ", at, mean);
}

static void tell_values(const char *path, const struct spi_opening *o)
{
    const struct spi_survey *s = &o->survey;
    const struct spi_electronics *e = &s->electronics;

    if (s->replaced > 0)
        spi_warn("%s: %lld value%s of %lld of %lld images %s no measurement: the pixel's "
                 "mean times the brightness of the image is taken instead",
                 path, (long long)s->replaced, s->replaced == 1 ? "" : "s",
                 (long long)s->replaced_images, (long long)s->n_images,
                 s->replaced == 1 ? "is" : "are");
    if (s->lacking_images > 0)
        spi_warn("%s: %lld of %lld images lack a measurement in more than 5 %% of their "
                 "pixels; such images stay aside",
                 path, (long long)s->lacking_images, (long long)s->n_images);
    if (s->saturation > 0)
        spi_info("%s: the detector seems to count no further than %.4g; pixels that reach "
                 "this in 1 %% of the images are masked",
                 path, s->saturation);
    if (e->gain > 0)
        spi_info("%s: one photon reads %.4g units, none %.4g, with a noise of %.2g photons "
                 "(%s): values are taken as %s",
                 path, e->gain, e->pedestal, e->noise,
                 s->found_electronics ? "from the photon peaks" : "as given",
                 spi_images_kind(o->images) == SPI_PHOTONS ? "photons" : "intensities");
    else if (s->analogue)
        spi_info("%s: values below 0 are noise: the images are taken as intensities", path);
}

static void tell_unit(const char *path, const struct spi_opening *o)
{
    const struct spi_survey *s = &o->survey;
    char at[96];

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

/* ---- what is known of the detector -------------------------------------------------- */

static spi_err set_options(const struct spi_call *call, const struct spi_opening_args *a,
                           struct spi_settings *set)
{
    size_t at = 0;

    if (a->trust_mask)
        set->trust_mask = true;
    for (int i = 0; i < a->bad_values.n; i++) {
        int n = snprintf(set->bad_values + at, sizeof set->bad_values - at, "%s%s",
                         i ? "," : "", a->bad_values.item[i]);

        if (n >= (int)(sizeof set->bad_values - at))
            return spi_call_fail(call, "bad-value", "there are too many");
        at += (size_t)n;
    }
    if (spi_call_given(call, "gain"))
        set->gain = a->gain;
    if (spi_call_given(call, "pedestal"))
        set->pedestal = a->pedestal;
    if (spi_call_given(call, "read-noise"))
        set->read_noise = a->read_noise;
    if ((spi_call_given(call, "pedestal") || spi_call_given(call, "read-noise")) &&
        !(set->gain > 0))
        return spi_call_fail(call,
                             spi_call_given(call, "pedestal") ? "pedestal" : "read-noise",
                             "needs --gain");
    return SPI_OK;
}

static spi_err what_is_known(const struct spi_settings *set, struct spi_survey_options *o)
{
    const char *at = set->bad_values;
    char *end;

    *o = (struct spi_survey_options){.trust = set->trust_mask,
                                     .has_electronics = set->gain > 0,
                                     .electronics = {.pedestal = set->pedestal,
                                                     .gain = set->gain,
                                                     .noise = set->read_noise}};
    while (*at) {
        double value = strtod(at, &end);

        if (end == at || (*end && *end != ',') || o->n_bad == SPI_BAD_VALUES)
            return spi_fail(SPI_EUSAGE,
                            "detector.bad_values (--bad-value) is '%s'; need up to %d "
                            "numbers, such as -1,65535",
                            set->bad_values, SPI_BAD_VALUES);
        o->bad[o->n_bad++] = value;
        at = *end ? end + 1 : end;
    }
    return SPI_OK;
}

spi_err spi_opening_init(const struct spi_call *call, const char *path,
                         const struct spi_opening_args *args, struct spi_settings *set,
                         struct spi_opening *o)
{
    const struct spi_images_options options = {.mask = args->mask,
                                               .invert_mask = args->invert_mask};
    struct spi_survey_options known;
    spi_err err;

    *o = (struct spi_opening){0};
    SPI_TRY(err = set_options(call, args, set), out);
    SPI_TRY(err = what_is_known(set, &known), out);
    spi_h5_follow_external(args->follow_external);
    SPI_TRY(err = spi_images_open_with(path, &options, &o->images), out);
    SPI_TRY(err = spi_survey(o->images, &known, &o->survey), out);
    tell_hidden(path, args->mask, &o->survey);
    tell_masked(path, o);
    tell_values(path, o);
    tell_unit(path, o);
out:
    if (err)
        spi_opening_clear(o);
    return err;
}

void spi_opening_clear(struct spi_opening *o)
{
    spi_images_close(o->images);
    spi_survey_clear(&o->survey);
    *o = (struct spi_opening){0};
}

/* ---- the centre --------------------------------------------------------------------- */

static void tell_drift(const char *path, const struct spi_centre *c)
{
    if (c->drift_px > 0)
        spi_warn("%s: the beam's centre moves by %.2f pixels over the images of the file; "
                 "one centre is used for all of them, unless `reconstruct --correct-drift` "
                 "takes each image about the place where the beam was",
                 path, c->drift_px);
}

void spi_opening_tell_centre(const char *path, const struct spi_opening *o,
                             const struct spi_preview *p)
{
    static const char *const uneven[] = {
        [SPI_CENTRE_BY_MEAN] = "the mean image is not the same on both sides",
        [SPI_CENTRE_BY_PAIRS] = "single images are not the same on both sides",
        [SPI_CENTRE_BY_BOTH] =
            "neither the mean image nor single images are the same on both sides"};
    const struct spi_centre *c = &p->centre;
    double far = hypot(c->shift_px[0], c->shift_px[1]);
    char what[SPI_MESSAGE_RAW];

    tell_drift(path, c);
    if (!c->known && p->n >= SPI_PREVIEW_CENTRE_LEAST)
        spi_info("%s: the images do not show the beam's centre: the mean image is even "
                 "about no place within %d pixels, and single images are not the same on "
                 "both sides of any place; the centre is that of the file",
                 path, SPI_CENTRE_MOST_PX);
    if (!spi_centre_is_off(c))
        return;
    snprintf(
        what, sizeof what,
        "%s: the beam's centre is off by %.*f pixels (%+.2f along q_x, %+.2f along q_y, "
        "+- %.2f): %s",
        path, far < 1 ? 2 : 1, far, c->shift_px[0], c->shift_px[1],
        hypot(c->sigma_px[0], c->sigma_px[1]), uneven[c->by]);
    if (c->far)
        spi_warn(
            "%s; more than %d pixels are not corrected, and the run uses the centre of "
            "the file: are the positions those of another detector or run?%s",
            what, SPI_CENTRE_MOST_PX, spi_images_centre_advice(o->images));
    else if (p->moved.yes)
        spi_warn("%s; the run uses the centre that was measured (--set "
                 "particle.centre=file: that of the file)%s",
                 what, spi_images_centre_advice(o->images));
    else if (c->agree)
        spi_warn("%s; the run uses that of the file (--set particle.centre=images: that "
                 "which was measured)%s",
                 what, spi_images_centre_advice(o->images));
    else
        spi_warn(
            "%s, but no single shift makes all rings even: a shadow or bad pixels that no "
            "mask hides, a panel out of place, or a wrong centre; the centre stays as the "
            "file has it: look at the mean image",
            what);
}

/* Does the file alone say where the centre is? */
static bool of_file(const struct spi_settings *set)
{
    return strcmp(set->centre, "file") == 0;
}

spi_err spi_opening_find_centre(const char *path, struct spi_opening *o,
                                const struct spi_settings *set,
                                struct spi_moved_centre *moved)
{
    struct spi_preview p;
    spi_err err =
        spi_preview_init(&p, o->images, o->survey.gain, !of_file(set), false, NULL, NULL);

    if (!err)
        spi_opening_tell_centre(path, o, &p);
    if (!err && !of_file(set) && p.n < SPI_PREVIEW_CENTRE_LEAST)
        spi_info(
            "%s: the beam's centre is that of the file; to measure the centre takes %d "
            "images",
            path, SPI_PREVIEW_CENTRE_LEAST);
    *moved = p.moved;
    spi_preview_clear(&p);
    return err;
}

/* The centre that the images had when they were matched. */
static void take_centre(const char *path, struct spi_images *images,
                        const struct spi_settings *set, const char *orientations_path,
                        const struct spi_moved_centre *m)
{
    char now[65];

    spi_images_positions_sha256(images, now);
    if (of_file(set)) {
        spi_warn("%s: the centre of %s was off by (%+.2f, %+.2f) pixels when the images "
                 "were matched; particle.centre=file keeps that of the file",
                 orientations_path, path, m->shift_px[0], m->shift_px[1]);
    } else if (strcmp(now, m->positions_sha256) != 0) {
        spi_warn("%s: the images were matched with their centre moved by (%+.2f, %+.2f) "
                 "pixels, but %s has other pixel positions: it is taken as it is; give the "
                 "images that were matched if it has the same wrong centre",
                 orientations_path, m->shift_px[0], m->shift_px[1], path);
    } else {
        spi_images_move_centre(images, m->shift_invA);
        spi_info("%s: the centre is moved by (%+.2f, %+.2f) pixels along q_x and q_y, as "
                 "when %s was made (--set particle.centre=file: that of the file)",
                 path, m->shift_px[0], m->shift_px[1], orientations_path);
    }
}

/* The places that the panels had, and where the beam was. */
static spi_err take_places(const char *path, struct spi_images *images,
                           const struct spi_settings *set, const char *orientations_path,
                           const struct spi_orientations *o)
{
    const struct spi_places *p = &o->places;
    char now[65];
    spi_err err = SPI_OK;

    spi_images_positions_sha256(images, now);
    if (strcmp(set->geometry, "file") == 0) {
        spi_warn("%s: the detector of %s was not where the file says when the orientations "
                 "were found; detector.geometry=file keeps what the file says",
                 orientations_path, path);
        return SPI_OK;
    }
    if (strcmp(now, p->positions_sha256) != 0 ||
        (p->panels && p->panels != spi_images_detector(images)->panels)) {
        spi_warn("%s: the detector had been placed anew when the orientations were found, "
                 "but %s has other pixel positions: it is taken as it is",
                 orientations_path, path);
        return SPI_OK;
    }
    if (p->panels) {
        spi_info("%s: the detector's panels are placed as when %s was made (--set "
                 "detector.geometry=file: where the file says)",
                 path, orientations_path);
        SPI_TRY(err = spi_images_place_panels(images, p), out);
    }
    if (o->drift && o->n == spi_images_count(images)) {
        spi_info("%s: each image is taken about the place where the beam was when it was "
                 "matched",
                 path);
        err = spi_images_set_drift(images, (const double(*)[2])o->drift);
    }
out:
    return err;
}

spi_err spi_opening_take_geometry(const char *path, struct spi_images *images,
                                  const struct spi_settings *set,
                                  const char *orientations_path,
                                  const struct spi_orientations *o)
{
    if (o->moved.yes)
        take_centre(path, images, set, orientations_path, &o->moved);
    return o->places.panels || o->drift
               ? take_places(path, images, set, orientations_path, o)
               : SPI_OK;
}
