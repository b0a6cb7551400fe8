/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The HDF5 layout of SpiniFEL and skopi, and that of cmtip: they differ only in the order
 * of the axes of `pixel_position_reciprocal` and of `orientations`.  doc/formats.md,
 * "Images". */
#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/h5_source.h"
#include "io/images_priv.h"
#include "io/mask.h"

static const char Q_NAME[] = "pixel_position_reciprocal";

/* Places of the assembled picture: panels far apart leave most of it empty. */
enum { PICTURE_LEAST = 1 << 20, PICTURE_MOST = 64 };

/* ---- which of the two --------------------------------------------------------------- */

/* Photons are preferred to intensities where both are there. */
static const char *image_dataset(hid_t file)
{
    return spi_h5_has(file, "photons")       ? "photons"
           : spi_h5_has(file, "intensities") ? "intensities"
                                             : NULL;
}

enum { Q_NEITHER, Q_LAST, Q_FIRST, Q_EITHER };

/* Where the three components of q are, by shape: q is (panels, ny, nx, 3), (3, panels, ny,
 * nx) or neither, for images of shape (n, panels, ny, nx). */
static int q_order(const struct spi_h5_shape *q, const struct spi_h5_shape *images)
{
    const hsize_t *pixel = images->dim + 1;
    const size_t size = 3 * sizeof *pixel;
    int order = Q_NEITHER;

    if (q->rank != 4 || images->rank != 4)
        return Q_NEITHER;
    if (q->dim[3] == 3 && memcmp(q->dim, pixel, size) == 0)
        order |= Q_LAST;
    if (q->dim[0] == 3 && memcmp(q->dim + 1, pixel, size) == 0)
        order |= Q_FIRST;
    return order;
}

/* (3, n) -> (n, 3) */
static spi_err transpose(const char *what, int64_t n, double *q)
{
    double *copy;
    spi_err err = SPI_NEW(copy, 3 * n, what);

    if (err)
        return err;
    memcpy(copy, q, (size_t)(3 * n) * sizeof *q);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < 3; k++)
            q[3 * i + k] = copy[k * n + i];
    free(copy);
    return SPI_OK;
}

/* Three panels of 3 x 3 pixels: both orders have the shape (3, 3, 3, 3), but in only one do
 * the pixels lie on an Ewald sphere. */
static int q_order_by_sphere(const char *path, hid_t file)
{
    static const hsize_t dim[4] = {3, 3, 3, 3};
    double q[81], last, first;

    if (spi_h5_read(file, path, Q_NAME, H5T_NATIVE_DOUBLE, 4, dim, q))
        return Q_LAST;
    spi_ewald_fit(27, q, &last);
    if (transpose(path, 27, q))
        return Q_LAST;
    spi_ewald_fit(27, q, &first);
    return first < last ? Q_FIRST : Q_LAST;
}

static bool is_cmtip(const char *path, hid_t file)
{
    struct spi_h5_shape q, images;
    const char *name = image_dataset(file);
    int order;

    if (!name || !spi_h5_has(file, Q_NAME) || spi_h5_shape(file, path, name, &images) ||
        spi_h5_shape(file, path, Q_NAME, &q))
        return false;
    order = q_order(&q, &images);
    if (order == Q_EITHER)
        order = q_order_by_sphere(path, file);
    return order == Q_FIRST;
}

static bool probe_cmtip(const struct spi_peek *p)
{
    bool yes;

    if (p->file < 0)
        return false;
    spi_h5_lock();
    yes = is_cmtip(p->path, p->file);
    spi_h5_unlock();
    return yes;
}

/* Also files in which something is missing or wrong: opening will say what. */
static bool probe_spinifel(const struct spi_peek *p)
{
    bool yes;

    if (p->file < 0)
        return false;
    spi_h5_lock();
    yes = (image_dataset(p->file) || spi_h5_has(p->file, Q_NAME)) &&
          !is_cmtip(p->path, p->file);
    spi_h5_unlock();
    return yes;
}

/* ---- opening ------------------------------------------------------------------------ */

static spi_err check_image_shape(struct spi_h5_source *h, const struct spi_h5_shape *s)
{
    char text[256];

    if (s->type_class != H5T_INTEGER && s->type_class != H5T_FLOAT)
        return spi_fail(SPI_EFORMAT, "%s: dataset '%s' is %s; need integers or floats",
                        h->path, h->data_name, spi_h5_type_text(s, text));
    if (s->rank != 4)
        return spi_fail(
            SPI_EFORMAT,
            "%s: dataset '%s' has shape %s; need four axes (images, panels, ny, "
            "nx)",
            h->path, h->data_name, spi_h5_shape_text(s->rank, s->dim, text));
    for (int k = 0; k < 4; k++)
        if (s->dim[k] < 1 || s->dim[k] > (k ? 1 << 28 : (hsize_t)1 << 40))
            return spi_fail(SPI_EFORMAT, "%s: dataset '%s' has shape %s; no axis may be %s",
                            h->path, h->data_name, spi_h5_shape_text(s->rank, s->dim, text),
                            s->dim[k] < 1 ? "empty" : "so long");
    return SPI_OK;
}

static spi_err open_data(struct spi_h5_source *h, struct spi_h5_shape *s)
{
    spi_err err;

    h->data_name = image_dataset(h->file);
    if (!h->data_name)
        h->data_name = "intensities"; /* so that the message names it */
    SPI_TRY(err = spi_h5_shape(h->file, h->path, h->data_name, s), out);
    SPI_TRY(err = check_image_shape(h, s), out);
    h->s->n = (int64_t)s->dim[0];
    h->s->kind = s->type_class == H5T_INTEGER || !strcmp(h->data_name, "photons")
                     ? SPI_PHOTONS
                     : SPI_INTENSITIES;
    spi_h5_type_text(s, h->s->type_on_disk);

    err = spi_h5_rows_open(h->file, h->path, h->data_name, H5T_NATIVE_FLOAT, &h->rows);
out:
    return err;
}

/* q in 1/m -> 1/A. */
static spi_err read_q(struct spi_h5_source *h, bool first)
{
    spi_err err;
    struct spi_detector *d = &h->s->det;
    const hsize_t p = (hsize_t)d->panels, ny = (hsize_t)d->ny, nx = (hsize_t)d->nx;
    const hsize_t last_dim[4] = {p, ny, nx, 3}, first_dim[4] = {3, p, ny, nx};

    SPI_TRY(err = spi_h5_read(h->file, h->path, Q_NAME, H5T_NATIVE_DOUBLE, 4,
                              first ? first_dim : last_dim, d->q),
            out);
    if (first)
        SPI_TRY(err = transpose(h->path, d->n_pixels, d->q), out);
    for (int64_t i = 0; i < 3 * d->n_pixels; i++)
        d->q[i] *= 1e-10;
out:
    return err;
}

static spi_err read_index_map(struct spi_h5_source *h)
{
    spi_err err = SPI_OK;
    struct spi_detector *d = &h->s->det;
    const hsize_t dim[4] = {(hsize_t)d->panels, (hsize_t)d->ny, (hsize_t)d->nx, 2};
    int32_t most[2] = {0, 0};

    if (!spi_h5_has(h->file, "pixel_index_map"))
        return SPI_OK; /* the grid that spi_detector_init made */
    SPI_TRY(err = spi_h5_read(h->file, h->path, "pixel_index_map", H5T_NATIVE_INT32, 4, dim,
                              d->index_map),
            out);
    for (int64_t i = 0; i < 2 * d->n_pixels; i++) {
        int32_t v = d->index_map[i];

        if (v < 0 || v >= 1 << 16)
            return spi_fail(SPI_EFORMAT,
                            "%s: pixel_index_map puts pixel %lld at %s %d; need 0..65535",
                            h->path, (long long)(i / 2), i % 2 ? "column" : "row", v);
        most[i % 2] = v > most[i % 2] ? v : most[i % 2];
    }
    d->rows = most[0] + 1;
    d->columns = most[1] + 1;
    if ((int64_t)d->rows * d->columns > PICTURE_LEAST + PICTURE_MOST * d->n_pixels)
        return spi_fail(
            SPI_EFORMAT,
            "%s: pixel_index_map spreads %lld pixels over a picture of %d x %d; "
            "need at most %d places a pixel",
            h->path, (long long)d->n_pixels, d->rows, d->columns, PICTURE_MOST);
out:
    return err;
}

/* Datasets that we define: mask (0 = good, as in CXI) and geometry_factor. */
static spi_err read_optional(struct spi_h5_source *h)
{
    spi_err err = SPI_OK;
    struct spi_detector *d = &h->s->det;
    const hsize_t dim[3] = {(hsize_t)d->panels, (hsize_t)d->ny, (hsize_t)d->nx};

    h->s->has_mask = spi_h5_has(h->file, "mask");
    if (h->s->has_mask)
        SPI_TRY(err = spi_mask_dataset(h->file, h->path, "mask", d->panels, d->ny, d->nx,
                                       (uint32_t)SPI_MASK_ANY, d->bad),
                out);
    if (spi_h5_has(h->file, "geometry_factor"))
        err = spi_h5_read(h->file, h->path, "geometry_factor", H5T_NATIVE_FLOAT, 3, dim,
                          d->geometry);
out:
    return err;
}

/* The truth is read when somebody asks for it, but what is wrong with it is said at once.
 */
static spi_err check_truth(const struct spi_h5_source *h)
{
    static const char *const names[] = {"truth/orientations", "orientations", "truth/label",
                                        "truth/fluence", "truth/class"};
    struct spi_h5_shape s;
    spi_err err = SPI_OK;

    for (size_t i = 0; i < sizeof names / sizeof *names && !err; i++)
        if (spi_h5_has(h->file, names[i]))
            err = spi_h5_shape(h->file, h->path, names[i], &s);
    return err;
}

/* An optional attribute, a length; 0: absent, or no length, which is said. */
static double read_length(const struct spi_h5_source *h, const char *name,
                          const char *otherwise)
{
    double v = 0;

    if (!spi_h5_has_attribute(h->file, name))
        return 0;
    if (!spi_h5_number(h->file, name, &v)) {
        spi_warn("%s: attribute %s is not one number; need one number or none; it is not "
                 "used: %s",
                 h->path, name, otherwise);
        return 0;
    }
    if (isfinite(v) && v != 0)
        return v;
    spi_warn("%s: attribute %s is %g; need a length or no such attribute; it is not used: "
             "%s",
             h->path, name, v, otherwise);
    return 0;
}

static spi_err open_layout(struct spi_h5_source *h, bool q_first)
{
    spi_err err;
    struct spi_h5_shape s;
    struct spi_detector *d = &h->s->det;

    SPI_TRY(err = open_data(h, &s), out);
    if (s.dim[1] * s.dim[2] > 1 << 28 || s.dim[1] * s.dim[2] * s.dim[3] > 1 << 28)
        return spi_fail(SPI_EFORMAT,
                        "%s: dataset '%s' has images of %llu x %llu x %llu pixels; need at "
                        "most 2^28",
                        h->path, h->data_name, (unsigned long long)s.dim[1],
                        (unsigned long long)s.dim[2], (unsigned long long)s.dim[3]);

    /* Before memory is asked for: are there positions for so many pixels? */
    struct spi_h5_shape q;

    SPI_TRY(err = spi_h5_shape(h->file, h->path, Q_NAME, &q), out);
    if (q_order(&q, &s) == Q_NEITHER) {
        char found[256], images[256];

        return spi_fail(SPI_EFORMAT,
                        "%s: dataset '%s' has shape %s; need (panels, ny, nx, 3) or (3, "
                        "panels, ny, nx) for '%s' of shape %s",
                        h->path, Q_NAME, spi_h5_shape_text(q.rank, q.dim, found),
                        h->data_name, spi_h5_shape_text(s.rank, s.dim, images));
    }
    SPI_TRY(err = spi_detector_init(d, (int)s.dim[1], (int)s.dim[2], (int)s.dim[3]), out);
    SPI_TRY(err = read_q(h, q_first), out);
    SPI_TRY(err = read_index_map(h), out);
    SPI_TRY(err = read_optional(h), out);
    SPI_TRY(err = check_truth(h), out);
    d->wavelength_A = read_length(h, "wavelength_A", "it follows from the positions");
    d->distance_m = read_length(h, "distance_m", "nothing depends on it");
    if (d->distance_m == 0)
        d->distance_m = read_length(h, "det_distance", "nothing depends on it");
out:
    return err;
}

static spi_err fill_spinifel(struct spi_h5_source *h)
{
    return open_layout(h, false);
}

static spi_err open_spinifel(struct spi_peek *p, struct spi_source *s, void **self)
{
    return spi_h5_source_open(p, s, fill_spinifel, self);
}

static spi_err fill_cmtip(struct spi_h5_source *h)
{
    return open_layout(h, true);
}

static spi_err open_cmtip(struct spi_peek *p, struct spi_source *s, void **self)
{
    return spi_h5_source_open(p, s, fill_cmtip, self);
}

/* ---- truth -------------------------------------------------------------------------- */

/* raw[n][k][4] -> unit quat[n][4] of the first particle; in place.  Four NaN say that there
 * is none. */
static spi_err make_unit(const char *path, const char *name, int64_t n, int64_t k,
                         double *quat)
{
    for (int64_t i = 0; i < n; i++) {
        const double *r = quat + 4 * k * i;
        double size = sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2] + r[3] * r[3]);

        bool none = isnan(r[0]) && isnan(r[1]) && isnan(r[2]) && isnan(r[3]);

        if (!none &&
            !(fabs(size - 1) <= 1e-3)) /* quaternions kept as floats are within 1e-6 */
            return spi_fail(
                SPI_EFORMAT,
                "%s: dataset '%s': quaternion %lld has norm %g; need 1 within 1e-3", path,
                name, (long long)i, size);
        for (int j = 0; j < 4; j++)
            quat[4 * i + j] = r[j] / size;
    }
    return SPI_OK;
}

spi_err spi_read_quaternions(hid_t file, const char *path, const char *name, int64_t *n,
                             double **quat)
{
    spi_err err;
    struct spi_h5_shape s;
    char text[256];
    double *raw = NULL;

    *quat = NULL;
    SPI_TRY(err = spi_h5_shape(file, path, name, &s), out);
    if (s.rank < 2 || s.rank > 3 || s.dim[s.rank - 1] != 4 || s.dim[0] < 1 ||
        s.dim[0] > (hsize_t)1 << 40 || s.dim[1] < 1 || s.dim[1] > 1 << 16 ||
        (*n && s.dim[0] != (hsize_t)*n)) {
        char images[32] = "n";

        if (*n)
            snprintf(images, sizeof images, "%lld", (long long)*n);
        return spi_fail(SPI_EFORMAT,
                        "%s: dataset '%s' has shape %s; need (%s, 4) or (%s, particles, 4)",
                        path, name, spi_h5_shape_text(s.rank, s.dim, text), images, images);
    }
    *n = (int64_t)s.dim[0];

    int64_t k = s.rank == 3 ? (int64_t)s.dim[1] : 1;

    SPI_TRY(err = SPI_NEW(raw, 4 * *n * k, path), out);
    SPI_TRY(err = spi_h5_read(file, path, name, H5T_NATIVE_DOUBLE, s.rank, s.dim, raw),
            out);
    SPI_TRY(err = make_unit(path, name, *n, k, raw), out);
    if (k > 1)
        spi_warn("%s: dataset '%s' has %lld particles an image; only the first is read",
                 path, name, (long long)k);
    *quat = raw;
    raw = NULL;
out:
    free(raw);
    return err;
}

static spi_err read_truth(const struct spi_h5_source *h, struct spi_image_truth *out)
{
    spi_err err = SPI_OK;
    const hsize_t n = (hsize_t)h->n;
    int64_t rows = h->n;
    const char *name = spi_h5_has(h->file, "truth/orientations") ? "truth/orientations"
                       : spi_h5_has(h->file, "orientations")     ? "orientations"
                                                                 : NULL;

    if (name)
        SPI_TRY(err = spi_read_quaternions(h->file, h->path, name, &rows, &out->quat), out);
    if (spi_h5_has(h->file, "truth/label")) {
        SPI_TRY(err = SPI_NEW(out->label, n, h->path), out);
        SPI_TRY(err = spi_h5_read(h->file, h->path, "truth/label", H5T_NATIVE_INT32, 1, &n,
                                  out->label),
                out);
        for (hsize_t i = 0; i < n; i++)
            if (out->label[i] < -1)
                return spi_fail(SPI_EFORMAT,
                                "%s: the label of image %llu is %d; need 0 or more, or -1 "
                                "for none",
                                h->path, (unsigned long long)i, out->label[i]);
    }
    if (spi_h5_has(h->file, "truth/class")) {
        SPI_TRY(err = SPI_NEW(out->class, n, h->path), out);
        SPI_TRY(err = spi_h5_read(h->file, h->path, "truth/class", H5T_NATIVE_UINT8, 1, &n,
                                  out->class),
                out);
        for (hsize_t i = 0; i < n; i++)
            if (out->class[i] > SPI_IS_OTHER)
                return spi_fail(
                    SPI_EFORMAT, "%s: truth/class of image %llu is %d; need 0 to %d",
                    h->path, (unsigned long long)i, out->class[i], SPI_IS_OTHER);
    }
    if (spi_h5_has(h->file, "truth/fluence")) {
        SPI_TRY(err = SPI_NEW(out->fluence, n, h->path), out);
        SPI_TRY(err = spi_h5_read(h->file, h->path, "truth/fluence", H5T_NATIVE_DOUBLE, 1,
                                  &n, out->fluence),
                out);
        for (hsize_t i = 0; i < n; i++)
            if (!(out->fluence[i] >= 0 && isfinite(out->fluence[i])))
                return spi_fail(SPI_EFORMAT,
                                "%s: truth/fluence of image %llu is %g; need 0 or more",
                                h->path, (unsigned long long)i, out->fluence[i]);
    }
out:
    return err;
}

static spi_err truth(void *self, struct spi_image_truth *out)
{
    spi_err err;

    spi_h5_lock();
    err = read_truth(self, out);
    spi_h5_unlock();
    return err;
}

/* ---- the rows ----------------------------------------------------------------------- */

#define CENTRE "; correct pixel_position_reciprocal"

const struct spi_source_format spi_source_spinifel = {
    .name = "spinifel",
    .says = "SpiniFEL, skopi: q as (panels, ny, nx, 3)",
    .centre_advice = CENTRE,
    .probe = probe_spinifel,
    .open = open_spinifel,
    .read = spi_h5_source_read,
    .truth = truth,
    .close = spi_h5_source_close};

const struct spi_source_format spi_source_cmtip = {.name = "cmtip",
                                                   .says =
                                                       "cmtip: q as (3, panels, ny, nx)",
                                                   .centre_advice = CENTRE,
                                                   .probe = probe_cmtip,
                                                   .open = open_cmtip,
                                                   .read = spi_h5_source_read,
                                                   .truth = truth,
                                                   .close = spi_h5_source_close};
