/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/info.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "io/atoms.h"
#include "io/h5.h"
#include "io/h5_kind.h"
#include "io/images.h"
#include "io/line_reader.h"
#include "io/mrc.h"
#include "io/orient.h"
#include "io/state.h"
#include "io/survey.h"

static const double HC_EV_A = 12398.419843320026; /* h c in eV A; exact in SI since 2019 */

enum { IMAGES_READ = 1000, PIXELS_LISTED = 4, BLOCK_BYTES = 1 << 24 };

/* ---- pieces ------------------------------------------------------------------------- */

static void set(json_t *to, const char *key, json_t *value_take)
{
    json_object_set_new(to, key, value_take ? value_take : json_null());
}

/* JSON has no infinity and no NaN. */
static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *three(const double v[3])
{
    return json_pack("[o, o, o]", number(v[0]), number(v[1]), number(v[2]));
}

/* A text of the file; what is no UTF-8 is escaped. */
static json_t *words(const char *text)
{
    json_t *s = json_string(text);
    char printable[4 * 4096];

    return s ? s : json_string(spi_text_printable(text, printable, sizeof printable));
}

/* Provenance is JSON in the file; what is not stays text. */
static json_t *provenance(const char *text)
{
    json_t *v = *text ? json_loads(text, 0, NULL) : NULL;

    return v ? v : *text ? words(text) : NULL;
}

/* Running statistics. */
struct tally {
    double n, sum, sum2, low, high;
};

static const struct tally EMPTY = {0, 0, 0, INFINITY, -INFINITY};

static void count(struct tally *t, double v)
{
    t->n++;
    t->sum += v;
    t->sum2 += v * v;
    t->low = fmin(t->low, v);
    t->high = fmax(t->high, v);
}

static double mean_of(const struct tally *t)
{
    return t->sum / t->n;
}

static double deviation_of(const struct tally *t)
{
    double m = mean_of(t);

    return sqrt(fmax(0, t->sum2 / t->n - m * m));
}

/* ---- images ------------------------------------------------------------------------- */

static void tell_detector(const struct spi_detector *d, json_t *to)
{
    double edge = spi_detector_q_edge(d), corner = spi_detector_q_corner(d),
           least = INFINITY;
    double wavelength = fabs(d->wavelength_A);
    int64_t bad = 0;

    for (int64_t i = 0; i < d->n_pixels; i++) {
        const double *q = d->q + 3 * i;

        bad += d->bad[i] != 0;
        if (!d->bad[i])
            least = fmin(least, q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
    }
    set(to, "wavelength_A", number(d->wavelength_A));
    set(to, "energy_eV", wavelength > 0 ? number(HC_EV_A / wavelength) : NULL);
    set(to, "distance_m", d->distance_m > 0 ? number(d->distance_m) : NULL);
    set(to, "q_min_invA", number(sqrt(least)));
    set(to, "q_edge_invA", number(edge));
    set(to, "q_corner_invA", number(corner));
    set(to, "resolution_edge_A", number(1 / edge));
    set(to, "resolution_corner_A", number(1 / corner));
    set(to, "picture", json_pack("[i, i]", d->rows, d->columns));
    set(to, "masked_fraction", number((double)bad / (double)d->n_pixels));
}

/* Totals of images, and values of usable pixels. */
static void tally_images(const struct spi_detector *d, int64_t n, const float *image,
                         struct tally *total, struct tally *pixel)
{
    for (int64_t k = 0; k < n; k++) {
        double sum = 0;

        for (int64_t i = 0; i < d->n_pixels; i++)
            if (!d->bad[i]) {
                double v = (double)image[k * d->n_pixels + i];

                sum += v;
                count(pixel, v);
            }
        count(total, sum);
    }
}

/* The first IMAGES_READ images at most. */
static spi_err tell_pixels(struct spi_images *im, json_t *to)
{
    const struct spi_detector *d = spi_images_detector(im);
    const bool photons = spi_images_kind(im) == SPI_PHOTONS;
    int64_t most = spi_images_count(im), block = BLOCK_BYTES / (4 * d->n_pixels);
    struct tally total = EMPTY, pixel = EMPTY;
    float *image = NULL;
    json_t *s;
    spi_err err;

    most = most < IMAGES_READ ? most : IMAGES_READ;
    block = block < 1 ? 1 : block > most ? most : block;
    SPI_TRY(err = SPI_NEW(image, block * d->n_pixels, "images"), out);
    for (int64_t k = 0; k < most; k += block) {
        int64_t n = k + block < most ? block : most - k;

        SPI_TRY(err = spi_images_read(im, k, n, image), out);
        tally_images(d, n, image, &total, &pixel);
    }
    s = json_object();
    set(s, "of_images", json_integer(most));
    set(s, photons ? "photons_per_image" : "sum_per_image", number(mean_of(&total)));
    set(s, photons ? "photons_per_image_rms" : "sum_per_image_rms",
        number(deviation_of(&total)));
    set(s, "pixel_mean", number(mean_of(&pixel)));
    set(s, "pixel_min", number(pixel.low));
    set(s, "pixel_max", number(pixel.high));
    set(to, "statistics", s);
out:
    free(image);
    return err;
}

static int by_label(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

static spi_err tell_truth(struct spi_images *im, json_t *to)
{
    struct spi_image_truth t;
    spi_err err = spi_images_truth(im, &t);
    json_t *list = json_array();
    int64_t structures = 0;

    if (err) {
        json_decref(list);
        return err;
    }
    if (t.quat)
        json_array_append_new(list, json_string("orientations"));
    if (t.label)
        json_array_append_new(list, json_string("label"));
    if (t.fluence)
        json_array_append_new(list, json_string("fluence"));
    if (t.class)
        json_array_append_new(list, json_string("class"));
    set(to, "truth", list);
    if (t.label) {
        int64_t n = spi_images_count(im);

        qsort(t.label, (size_t)n, sizeof *t.label, by_label);
        for (int64_t i = 0; i < n; i++) /* -1: none */
            structures += t.label[i] >= 0 && (i == 0 || t.label[i] != t.label[i - 1]);
        set(to, "structures", json_integer(structures));
    }
    spi_truth_clear(&t);
    return SPI_OK;
}

static spi_err tell_images(const char *path, json_t *to)
{
    struct spi_images *im;
    struct spi_survey survey = {0};
    spi_err err = spi_images_open(path, &im);

    if (err)
        return err;
    const struct spi_detector *d = spi_images_detector(im);
    const bool photons = spi_images_kind(im) == SPI_PHOTONS;

    set(to, "layout", json_string(spi_images_layout(im)));
    set(to, "images", json_integer(spi_images_count(im)));
    set(to, "shape", json_pack("[i, i, i]", d->panels, d->ny, d->nx));
    set(to, "pixels_per_image", json_integer(d->n_pixels));
    set(to, "values", json_string(photons ? "photons" : "intensities"));
    set(to, "type", json_string(spi_images_type(im)));
    tell_detector(d, to);
    SPI_TRY(err = spi_survey(im, NULL, &survey), out);
    set(to, "survey", spi_survey_json(im, &survey, PIXELS_LISTED));
    if (spi_survey_mostly_hidden(&survey))
        set(to, "mask",
            json_string("hides most pixels, as a mask does that marks good pixels with 1: "
                        "then give --invert-mask to the commands that read the images"));
    SPI_TRY(err = tell_pixels(im, to), out);
    SPI_TRY(err = tell_truth(im, to), out);
    set(to, "convention", words(spi_images_attribute(im, "convention")));
    set(to, "program", words(spi_images_attribute(im, "program")));
    set(to, "provenance", provenance(spi_images_attribute(im, "provenance")));
out:
    spi_images_close(im);
    spi_survey_clear(&survey);
    return err;
}

/* ---- orientations ------------------------------------------------------------------- */

static void tell_floats(json_t *to, const char *key, int64_t n, const float *v)
{
    struct tally t = EMPTY;

    if (!v)
        return;
    for (int64_t i = 0; i < n; i++)
        count(&t, (double)v[i]);
    set(to, key,
        json_pack("{s:o, s:o, s:o, s:o}", "mean", number(mean_of(&t)), "rms",
                  number(deviation_of(&t)), "min", number(t.low), "max", number(t.high)));
}

static spi_err tell_orientations(const char *path, json_t *to)
{
    struct spi_orientations o;
    spi_err err = spi_orientations_read(path, &o);
    char *text[2] = {NULL, NULL};
    int64_t half[3] = {0};
    hid_t file;

    if (err)
        return err;
    set(to, "images", json_integer(o.n));
    tell_floats(to, "score", o.n, o.score);
    tell_floats(to, "margin", o.n, o.margin);
    tell_floats(to, "fluence", o.n, o.fluence);
    tell_floats(to, "entropy", o.n, o.entropy);
    for (int64_t i = 0; o.half && i < o.n; i++)
        half[o.half[i]]++;
    if (o.half)
        set(to, "halves", json_pack("[I, I]", (json_int_t)half[1], (json_int_t)half[2]));
    if (spi_orientations_count(&o) < o.n)
        set(to, "without_orientation", json_integer(o.n - spi_orientations_count(&o)));
    spi_orientations_clear(&o);

    spi_h5_lock();
    err = spi_h5_open(path, &file);
    if (!err) {
        err = spi_h5_text(file, "convention", &text[0]);
        err = err ? err : spi_h5_text(file, "provenance", &text[1]);
        H5Fclose(file);
    }
    spi_h5_unlock();
    set(to, "convention", text[0] ? words(text[0]) : NULL);
    set(to, "provenance", text[1] ? provenance(text[1]) : NULL);
    free(text[0]);
    free(text[1]);
    return err;
}

/* ---- maps --------------------------------------------------------------------------- */

static spi_err tell_map(const char *path, json_t *to)
{
    struct spi_mrc_map map;
    spi_err err = spi_mrc_read_map(path, &map);
    const struct spi_mrc_info *i = &map.info;
    json_t *labels;

    if (err)
        return err;
    set(to, "voxels_xyz", json_pack("[i, i, i]", i->n[0], i->n[1], i->n[2]));
    set(to, "voxel_A",
        i->voxel_A[0] > 0 || i->voxel_A[1] > 0 || i->voxel_A[2] > 0
            ? three(i->voxel_A)
            : json_string("not in the header"));
    set(to, "origin_A", three(i->origin_A));
    set(to, "angles_deg", three(i->angle_deg));
    set(to, "mode", json_integer(i->mode));
    set(to, "byte_order", json_string(i->big_endian ? "big-endian" : "little-endian"));
    set(to, "axes", json_pack("[i, i, i]", i->axes[0], i->axes[1], i->axes[2]));
    set(to, "space_group", json_integer(i->space_group));
    set(to, "statistics",
        json_pack("{s:o, s:o, s:o, s:o}", "min", number(i->minimum), "max",
                  number(i->maximum), "mean", number(i->mean), "rms", number(i->rms)));
    labels = json_array();
    for (int k = 0; k < i->n_labels; k++)
        json_array_append_new(labels, json_string(i->labels[k]));
    set(to, "labels", labels);
    spi_mrc_map_clear(&map);
    return SPI_OK;
}

/* ---- structures --------------------------------------------------------------------- */

static spi_err tell_structure(const char *path, json_t *to)
{
    const struct spi_structure_options as_it_is = {.hydrogens = true};
    struct spi_structure s;
    spi_err err = spi_structure_read(path, &as_it_is, &s);
    int64_t of[128] = {0};
    double diameter = 0;
    json_t *elements;

    if (err)
        return err;
    SPI_TRY(err = spi_structure_diameter_A(&s, &diameter), out);
    for (int64_t i = 0; i < s.n; i++)
        of[s.atom[i].element & 127]++;
    elements = json_object();
    for (int z = 0; z < 128; z++)
        if (of[z])
            set(elements, spi_element_symbol(z), json_integer(of[z]));
    set(to, "title", words(s.title));
    set(to, "atoms", json_integer(s.n));
    set(to, "elements", elements);
    set(to, "diameter_A", number(diameter));
    set(to, "hydrogens", json_integer(s.n_hydrogens));
    set(to, "waters_left_out", json_integer(s.n_waters_skipped));
    set(to, "alternates_left_out", json_integer(s.n_altloc_skipped));
    set(to, "elements_guessed", json_integer(s.n_elements_guessed));
    set(to, "models_in_file", json_integer(s.n_models));
    set(to, "occupancy_0", json_integer(s.n_unoccupied));
out:
    spi_structure_clear(&s);
    return err;
}

/* ---- metrics ------------------------------------------------------------------------ */

/* One JSON object a line, one line a generation: how many, and the last. */
static spi_err tell_metrics(const char *path, json_t *to)
{
    struct spi_line_reader *l = NULL;
    char *line;
    size_t length;
    int64_t n = 0;
    json_t *last = NULL;
    json_error_t why;
    spi_err err = spi_line_reader_open(path, &l);

    while (!err) {
        err = spi_line_reader_next(l, &line, &length);
        if (err || !line)
            break;

        json_t *one = json_loadb(line, length, 0, &why);

        n++;
        if (one) {
            json_decref(last);
            last = one;
        } else {
            err = spi_fail(SPI_EFORMAT, "%s:%lld: not a JSON object: %s", path,
                           (long long)n, why.text);
        }
    }
    spi_line_reader_close(l);
    if (err) {
        json_decref(last);
        return err;
    }
    set(to, "generations", json_integer(n));
    set(to, "last", last);
    return SPI_OK;
}

/* ---- states of runs ----------------------------------------------------------------- */

/* The key as sections of names and values, a few of which stand above all sections. */
static json_t *state_key(const char *key)
{
    const char *at = key, *end = key + strlen(key);
    struct spi_state_key_line l = {0};
    json_t *all = json_object();

    while (spi_state_key_next(&at, end, &l)) {
        char section[64], name[64], value[SPI_MESSAGE_MAX];
        json_t *to = all;

        snprintf(name, sizeof name, "%.*s", l.n_name, l.name);
        snprintf(value, sizeof value, "%.*s", l.n_value, l.value);
        if (l.section) {
            snprintf(section, sizeof section, "%.*s", l.n_section, l.section);
            to = json_object_get(all, section);
            if (!to) {
                json_object_set_new(all, section, json_object());
                to = json_object_get(all, section);
            }
        }
        json_object_set_new(to, name, words(value));
    }
    return all;
}

/* Checksum and version are checked as --resume does; images and numbers only it can. */
static spi_err tell_state(const char *path, json_t *to)
{
    struct spi_state_about a;
    spi_err err = spi_state_about(path, &a);

    if (err)
        return err;
    set(to, "what", json_string("what spinifel reconstruct --resume goes on from"));
    set(to, "written_by", words(a.program));
    set(to, "resumable", json_boolean(a.ours));
    if (a.ours) {
        set(to, "generation", json_integer(a.generation));
        set(to, "resumes_with", state_key(a.key));
    } else {
        set(to, "needed",
            words("that version of spinifel; this one begins anew with "
                  "--force or in another directory"));
    }
    spi_state_about_clear(&a);
    return SPI_OK;
}

/* ---- the table ---------------------------------------------------------------------- */

static spi_err (*const tell[SPI_KINDS])(const char *path, json_t *to) = {
    [SPI_KIND_IMAGES] = tell_images,   [SPI_KIND_ORIENTATIONS] = tell_orientations,
    [SPI_KIND_MAP] = tell_map,         [SPI_KIND_STATE] = tell_state,
    [SPI_KIND_METRICS] = tell_metrics, [SPI_KIND_STRUCTURE] = tell_structure,
};

spi_err spi_file_info(const char *path, json_t **out)
{
    enum spi_kind kind;
    struct spi_peek p;
    spi_err err = spi_peek_open(path, &p);
    json_t *to;

    *out = NULL;
    if (err || (err = p.err))
        return err;
    kind = spi_h5_kind_of(&p);
    spi_peek_close(&p);
    if (kind == SPI_KIND_UNKNOWN && spi_structure_is(path)) /* in gzip, of any name */
        kind = SPI_KIND_STRUCTURE;
    if (kind == SPI_KIND_UNKNOWN)
        return spi_fail(
            SPI_EFORMAT,
            "%s: is of no kind known here: images or orientations (HDF5), a map (MRC, "
            "CCP4), a structure (PDB, mmCIF), metrics (.jsonl), a state of a run "
            "(state.bin)",
            path);
    to = json_object();
    set(to, "file", words(path));
    set(to, "kind", json_string(spi_kind_name(kind)));
    err = tell[kind](path, to);
    if (err)
        json_decref(to);
    else
        *out = to;
    return err;
}
