/* SPDX-License-Identifier: GPL-3.0-or-later */
/* survey_words.c, of io/survey.h: what was found, for people and files. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/h5.h"
#include "io/survey_priv.h"

static const char *const names[SPI_REASONS] = {
    "used", "mask", "invalid",    "full",  "constant", "dead",
    "dark", "hot",  "flickering", "noisy", "border",   "saturated"};

const char *spi_reason_name(enum spi_pixel_reason reason)
{
    return names[reason];
}

void spi_survey_where(const struct spi_images *im, int64_t pixel, char text[96])
{
    spi_pixel_text(&im->s.det, pixel, text);
}

void spi_survey_counts(const struct spi_survey *s, char text[256])
{
    size_t at = 0;

    text[0] = '\0';
    for (int r = SPI_REASON_MASK + 1; r < SPI_REASONS; r++)
        if (s->n[r] > 0)
            at += (size_t)snprintf(text + at, 256 - at, "%s%lld %s", at ? ", " : "",
                                   (long long)s->n[r], names[r]);
}

json_t *spi_survey_json(const struct spi_images *im, const struct spi_survey *s, int most)
{
    const struct spi_detector *d = &im->s.det;
    const struct spi_electronics *e = &s->electronics;
    json_t *pixels = json_array();
    json_t *o = json_pack("{s:I, s:I, s:I}", "of_images", (json_int_t)s->n_images,
                          "hidden_by_masks", (json_int_t)s->n[SPI_REASON_MASK], "masked",
                          (json_int_t)spi_survey_masked(s));

    for (int i = 0; i < s->n_listed && i < most; i++) {
        const struct spi_surveyed *p = s->listed + i;

        json_array_append_new(
            pixels, json_pack("{s:s, s:I, s:I, s:I, s:o}", "is", names[p->reason], "panel",
                              (json_int_t)(p->pixel / ((int64_t)d->ny * d->nx)), "row",
                              (json_int_t)(p->pixel / d->nx % d->ny), "column",
                              (json_int_t)(p->pixel % d->nx), "mean",
                              isfinite(p->mean) ? json_real(p->mean) : json_null()));
    }
    for (int r = SPI_REASON_MASK + 1; r < SPI_REASONS; r++)
        json_object_set_new(o, names[r], json_integer((json_int_t)s->n[r]));
    json_object_set_new(o, "replaced_values", json_integer((json_int_t)s->replaced));
    json_object_set_new(o, "replaced_in_images",
                        json_integer((json_int_t)s->replaced_images));
    json_object_set_new(o, "lacking_images", json_integer((json_int_t)s->lacking_images));
    json_object_set_new(o, "negative_values_are_noise", json_boolean(s->analogue));
    json_object_set_new(o, "electronics",
                        e->gain > 0
                            ? json_pack("{s:f, s:f, s:f, s:b}", "pedestal", e->pedestal,
                                        "gain", e->gain, "noise_photons", e->noise,
                                        "estimated", (int)s->found_electronics)
                            : json_null());
    json_object_set_new(o, "saturation",
                        s->saturation > 0 ? json_real(s->saturation) : json_null());
    json_object_set_new(o, "not_whole", json_real(s->not_whole));
    json_object_set_new(o, "whole_multiples_of",
                        s->gain > 0 ? json_real(s->gain) : json_null());
    json_object_set_new(o, "masked_pixels", pixels);
    return o;
}

static spi_err write_all(const char *path, hid_t file, const struct spi_images *im,
                         const struct spi_survey *s, const char *codes)
{
    const struct spi_detector *d = &im->s.det;
    const hsize_t dim[3] = {(hsize_t)d->panels, (hsize_t)d->ny, (hsize_t)d->nx};
    spi_err err;

    SPI_TRY(err = spi_h5_put_text(file, path, "codes", codes), out);
    SPI_TRY(err = spi_h5_write(file, path, "mask", H5T_STD_U8LE, H5T_NATIVE_UINT8, 3, dim,
                               d->bad),
            out);
    err = spi_h5_write(file, path, "reason", H5T_STD_U8LE, H5T_NATIVE_UINT8, 3, dim,
                       s->reason);
out:
    return err;
}

spi_err spi_survey_write(const struct spi_images *im, const struct spi_survey *s,
                         const char *path)
{
    char tmp[SPI_PATH_MAX], codes[512];
    size_t at = 0;
    hid_t file;
    spi_err err;

    for (int r = 0; r < SPI_REASONS; r++)
        at += (size_t)snprintf(codes + at, sizeof codes - at, "%s%d %s", r ? ", " : "", r,
                               names[r]);
    SPI_TRY(err = spi_tmp_path(path, tmp), out);
    spi_h5_lock();
    err = spi_h5_create(path, tmp, &file);
    if (!err) {
        err = write_all(path, file, im, s, codes);
        if (err)
            H5Fclose(file); /* diverted: cannot fail, and the first message stays */
        else
            err = spi_h5_close_written(path, file);
        if (err)
            unlink(tmp);
    }
    spi_h5_unlock();
    SPI_TRY(err, out);
    err = spi_file_commit(tmp, path);
out:
    return err;
}
