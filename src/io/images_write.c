/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writing a set of images: doc/formats.md, "Images". */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/version.h"
#include "io/file.h"
#include "io/images_priv.h"

enum { CHUNK_BYTES = 1 << 16, SCRATCH_BYTES = 1 << 20 };

static const char CONVENTION[] =
    "q is crystallographic, |q| = 2 sin(theta) / wavelength = 1/d, stored in 1/m, "
    "laboratory "
    "frame, z along the beam, q_z = -wavelength |q|^2 / 2; quaternions are (w, x, y, z), "
    "unit, "
    "and their usual active matrix R turns the molecule into the laboratory: q_molecule = "
    "R^T q_laboratory";

/* ---- pixel types -------------------------------------------------------------------- */

/* to[i] = from[i]; false if one is not a whole number in 0..most. */
#define PACK(name, type)                                                  \
    static bool name(int64_t n, const float *from, double most, void *to) \
    {                                                                     \
        type *out = to;                                                   \
        int wrong = 0;                                                    \
                                                                          \
        for (int64_t i = 0; i < n; i++) {                                 \
            float v = from[i];                                            \
            int fits = v >= 0 && (double)v <= most;                       \
                                                                          \
            out[i] = fits ? (type)v : 0;                                  \
            wrong |= !fits | ((float)out[i] != v);                        \
        }                                                                 \
        return !wrong;                                                    \
    }
PACK(pack_uint8, uint8_t)
PACK(pack_uint16, uint16_t)
PACK(pack_uint32, uint32_t)

static bool pack_float(int64_t n, const float *from, double most, void *to)
{
    float *out = to;
    int wrong = 0;

    for (int64_t i = 0; i < n; i++) {
        out[i] = from[i];
        wrong |= !(from[i] >= 0 && (double)from[i] <= most);
    }
    return !wrong;
}

/* As they are: a detector may say anything. */
static bool pack_raw(int64_t n, const float *from, double most, void *to)
{
    (void)most;
    memcpy(to, from, (size_t)n * sizeof *from);
    return true;
}

struct packing {
    size_t bytes;
    double most;
    bool (*pack)(int64_t n, const float *from, double most, void *to);
};

static const struct packing packings[] = {
    {1, UINT8_MAX, pack_uint8},
    {2, UINT16_MAX, pack_uint16},
    {4, UINT32_MAX, pack_uint32},
};
static const struct packing float_packing = {4, FLT_MAX, pack_float},
                            raw_packing = {4, FLT_MAX, pack_raw};

/* ---- the writer --------------------------------------------------------------------- */

struct spi_images_writer {
    char path[SPI_PATH_MAX], tmp[SPI_PATH_MAX];
    hid_t file, data, quat, label, fluence, class, background;
    hid_t memory; /* type of the scratch, borrowed from HDF5 */
    struct packing packing;
    struct spi_images_spec spec;
    int64_t done;
    float *clean;  /* [n_pixels], owned: an image with its bad pixels at 0 */
    void *scratch; /* [scratch_images][n_pixels] of the packed type, owned */
    int64_t scratch_images;
};

static spi_err choose_packing(struct spi_images_writer *w)
{
    const struct packing *p = packings;

    if (w->spec.kind == SPI_INTENSITIES || w->spec.raw) {
        w->packing = w->spec.raw ? raw_packing : float_packing;
        w->memory = H5T_NATIVE_FLOAT;
        return SPI_OK;
    }
    if (w->spec.max_photons < 1 || w->spec.max_photons > UINT32_MAX)
        return spi_fail(SPI_EINVAL, "%s: at most %lld photons a pixel; need 1..4294967295",
                        w->path, (long long)w->spec.max_photons);
    while ((double)w->spec.max_photons > p->most)
        p++;
    w->packing = *p;
    w->packing.most = (double)w->spec.max_photons;
    w->memory = p->bytes == 1   ? H5T_NATIVE_UINT8
                : p->bytes == 2 ? H5T_NATIVE_UINT16
                                : H5T_NATIVE_UINT32;
    return SPI_OK;
}

static hid_t disk_type(const struct spi_images_writer *w)
{
    if (w->spec.kind == SPI_INTENSITIES || w->spec.raw)
        return H5T_IEEE_F32LE;
    return w->packing.bytes == 1   ? H5T_STD_U8LE
           : w->packing.bytes == 2 ? H5T_STD_U16LE
                                   : H5T_STD_U32LE;
}

/* One dataset of `rank` axes to be filled later; `chunk` NULL: contiguous. */
static spi_err make_dataset(struct spi_images_writer *w, const char *name, hid_t type,
                            int rank, const hsize_t *dim, const hsize_t *chunk,
                            bool squeeze, hid_t *out)
{
    hid_t space = H5Screate_simple(rank, dim, NULL), how = H5Pcreate(H5P_DATASET_CREATE);
    spi_err err = SPI_OK;

    H5Pset_fill_time(how, H5D_FILL_TIME_NEVER);
    H5Pset_obj_track_times(how, 0); /* the same input gives the same bytes */
    if (chunk)
        H5Pset_chunk(how, rank, chunk);
    if (squeeze) {
        H5Pset_shuffle(how);
        H5Pset_deflate(how, 1);
    }
    *out = H5Dcreate2(w->file, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
    if (*out < 0)
        err = spi_h5_write_failed(w->file, "%s: cannot make dataset '%s'", w->path, name);
    H5Pclose(how);
    H5Sclose(space);
    return err;
}

static spi_err make_datasets(struct spi_images_writer *w)
{
    spi_err err;
    const struct spi_detector *d = w->spec.detector;
    const bool photons = w->spec.kind == SPI_PHOTONS;
    const hsize_t n = (hsize_t)w->spec.n_images, quat_dim[3] = {n, 1, 4};
    const hsize_t dim[4] = {n, (hsize_t)d->panels, (hsize_t)d->ny, (hsize_t)d->nx};
    hsize_t chunk[4] = {1, dim[1], dim[2], dim[3]};
    double image_bytes = (double)d->n_pixels * (double)w->packing.bytes;
    hid_t group;

    if (image_bytes < CHUNK_BYTES)
        chunk[0] = (hsize_t)fmin(CHUNK_BYTES / image_bytes, (double)n);
    SPI_TRY(err = make_dataset(w, photons ? "photons" : "intensities", disk_type(w), 4, dim,
                               chunk, photons, &w->data),
            out);
    group = H5Gcreate2(w->file, "truth", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0)
        return spi_h5_write_failed(w->file, "%s: cannot make group 'truth'", w->path);
    H5Gclose(group);
    SPI_TRY(err = make_dataset(w, "truth/orientations", H5T_IEEE_F64LE, 3, quat_dim, NULL,
                               false, &w->quat),
            out);
    SPI_TRY(
        err = make_dataset(w, "truth/label", H5T_STD_I32LE, 1, &n, NULL, false, &w->label),
        out);
    SPI_TRY(err = make_dataset(w, "truth/fluence", H5T_IEEE_F64LE, 1, &n, NULL, false,
                               &w->fluence),
            out);
    if (w->spec.truth) {
        SPI_TRY(err = make_dataset(w, "truth/class", H5T_STD_U8LE, 1, &n, NULL, false,
                                   &w->class),
                out);
        SPI_TRY(err = make_dataset(w, "truth/background_scale", H5T_IEEE_F64LE, 1, &n, NULL,
                                   false, &w->background),
                out);
    }
    /* SpiniFEL's readers look for these names. */
    if ((photons && H5Lcreate_soft("/photons", w->file, "intensities", H5P_DEFAULT,
                                   H5P_DEFAULT) < 0) ||
        H5Lcreate_soft("/truth/orientations", w->file, "orientations", H5P_DEFAULT,
                       H5P_DEFAULT) < 0)
        err = spi_h5_write_failed(w->file, "%s: cannot make a link", w->path);
out:
    return err;
}

static spi_err label_dataset(struct spi_images_writer *w, const char *name, const char *key,
                             const char *text)
{
    hid_t data = H5Dopen2(w->file, name, H5P_DEFAULT);
    spi_err err;

    if (data < 0)
        return spi_h5_fail(SPI_EIO, "%s: dataset '%s'", w->path, name);
    err = spi_h5_put_text(data, w->path, key, text);
    H5Dclose(data);
    return err;
}

static spi_err write_detector(struct spi_images_writer *w)
{
    spi_err err;
    const struct spi_detector *d = w->spec.detector;
    const hsize_t dim[4] = {(hsize_t)d->panels, (hsize_t)d->ny, (hsize_t)d->nx, 3};
    const hsize_t map_dim[4] = {dim[0], dim[1], dim[2], 2};
    const int64_t n = 3 * d->n_pixels;
    double *q;

    SPI_TRY(err = SPI_NEW(q, n, "pixel positions"), out);
    for (int64_t i = 0; i < n; i++)
        q[i] = d->q[i] * 1e10; /* 1/A -> 1/m */
    SPI_TRY(err = spi_h5_write(w->file, w->path, "pixel_position_reciprocal",
                               H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 4, dim, q),
            out);
    SPI_TRY(err = spi_h5_write(w->file, w->path, "pixel_index_map", H5T_STD_I64LE,
                               H5T_NATIVE_INT32, 4, map_dim, d->index_map),
            out);
    SPI_TRY(err = spi_h5_write(w->file, w->path, "mask", H5T_STD_U8LE, H5T_NATIVE_UINT8, 3,
                               dim, d->bad),
            out);
    SPI_TRY(err = spi_h5_write(w->file, w->path, "geometry_factor", H5T_IEEE_F32LE,
                               H5T_NATIVE_FLOAT, 3, dim, d->geometry),
            out);
    SPI_TRY(err = label_dataset(w, "pixel_position_reciprocal", "units", "1/m"), out);
    SPI_TRY(err = label_dataset(w, "mask", "meaning",
                                "0 = good, as in CXI; else not to be used"),
            out);
    err =
        label_dataset(w, "geometry_factor", "meaning",
                      "solid angle x polarisation, relative to the middle of the detector");
out:
    free(q);
    return err;
}

/* What a simulation knows of the detector, beside what the file says. */
static spi_err write_detector_truth(struct spi_images_writer *w)
{
    const struct spi_detector_truth *t = w->spec.truth;
    const struct spi_detector *d = w->spec.detector;
    const hsize_t dim[3] = {(hsize_t)d->panels, (hsize_t)d->ny, (hsize_t)d->nx};
    const hsize_t two = 2, one = 1, panel_dim[2] = {(hsize_t)d->panels, 2},
                  drift_dim[2] = {(hsize_t)w->spec.n_images, 2};
    spi_err err = SPI_OK;

    if (!t)
        return SPI_OK;
    if (t->background) {
        SPI_TRY(err = spi_h5_write(w->file, w->path, "truth/background", H5T_IEEE_F32LE,
                                   H5T_NATIVE_FLOAT, 3, dim, t->background),
                out);
        SPI_TRY(err = label_dataset(w, "truth/background", "meaning",
                                    "expected counts where truth/background_scale is 1"),
                out);
    }
    if (t->fault) {
        SPI_TRY(err = spi_h5_write(w->file, w->path, "truth/pixels", H5T_STD_U8LE,
                                   H5T_NATIVE_UINT8, 3, dim, t->fault),
                out);
        SPI_TRY(err =
                    label_dataset(w, "truth/pixels", "meaning",
                                  "0 good, 1 dead, 2 hot, 3 flickering, 4 gap, 5 missing"),
                out);
    }
    SPI_TRY(err = label_dataset(w, "truth/class", "meaning",
                                "0 particle, 1 blank, 2 sphere, 3 doublet, 4 another "
                                "structure"),
            out);
    SPI_TRY(err = spi_h5_write(w->file, w->path, "truth/centre_px", H5T_IEEE_F64LE,
                               H5T_NATIVE_DOUBLE, 1, &two, t->centre_px),
            out);
    SPI_TRY(err =
                label_dataset(w, "truth/centre_px", "meaning",
                              "columns and rows from where the file says that the beam is "
                              "to where it is"),
            out);
    if (t->drift_px) {
        SPI_TRY(err =
                    spi_h5_write(w->file, w->path, "truth/centre_drift_px", H5T_IEEE_F64LE,
                                 H5T_NATIVE_DOUBLE, 2, drift_dim, t->drift_px),
                out);
        SPI_TRY(err = label_dataset(w, "truth/centre_drift_px", "meaning",
                                    "columns and rows from centre_px to where the beam is "
                                    "in each image"),
                out);
    }
    if (t->panel_px) {
        SPI_TRY(err = spi_h5_write(w->file, w->path, "truth/panel_px", H5T_IEEE_F64LE,
                                   H5T_NATIVE_DOUBLE, 2, panel_dim, t->panel_px),
                out);
        SPI_TRY(err =
                    label_dataset(w, "truth/panel_px", "meaning",
                                  "columns and rows from where the file says that a panel "
                                  "is to where it is"),
                out);
    }
    if (t->distance_m > 0)
        err = spi_h5_write(w->file, w->path, "truth/distance_m", H5T_IEEE_F64LE,
                           H5T_NATIVE_DOUBLE, 1, &one, &t->distance_m);
out:
    return err;
}

static spi_err write_attributes(struct spi_images_writer *w)
{
    spi_err err;
    const struct spi_detector *d = w->spec.detector;
    const int64_t shape[3] = {d->panels, d->ny, d->nx}, version = 1;
    const struct {
        const char *name, *text;
    } text[] = {{"program", "spinifel " SPI_VERSION},
                {"convention", CONVENTION},
                {"provenance", w->spec.provenance_json ? w->spec.provenance_json : "{}"}};
    const struct {
        const char *name;
        double value;
    } number[] = {{"wavelength_A", d->wavelength_A},
                  {"distance_m", d->distance_m},
                  {"det_distance", d->distance_m},
                  {"reciprocal_extent", spi_detector_q_corner(d) * 1e10}};

    SPI_TRY(err = spi_h5_put_integers(w->file, w->path, "format_version", 1, &version),
            out);
    SPI_TRY(err = spi_h5_put_integers(w->file, w->path, "det_shape", 3, shape), out);
    SPI_TRY(err = spi_h5_put_integers(w->file, w->path, "n_images", 1, &w->spec.n_images),
            out);
    SPI_TRY(
        err = spi_h5_put_integers(w->file, w->path, "n_pixels_per_image", 1, &d->n_pixels),
        out);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        if (number[i].value != 0) /* 0: not known */
            SPI_TRY(
                err = spi_h5_put_number(w->file, w->path, number[i].name, number[i].value),
                out);
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        SPI_TRY(err = spi_h5_put_text(w->file, w->path, text[i].name, text[i].text), out);
out:
    return err;
}

spi_err spi_images_create(const char *path, const struct spi_images_spec *spec,
                          struct spi_images_writer **out)
{
    spi_err err;
    const struct spi_detector *d = spec->detector;
    struct spi_images_writer *w = NULL;
    int64_t images;

    *out = NULL;
    if (spec->n_images < 1)
        return spi_fail(SPI_EINVAL, "%s: %lld images; need one at least", path,
                        (long long)spec->n_images);
    SPI_TRY(err = SPI_NEW(w, 1, "images"), fail);
    w->file = w->data = w->quat = w->label = w->fluence = w->class = w->background = -1;
    w->spec = *spec;
    SPI_TRY(err = spi_tmp_path(path, w->tmp), fail);
    snprintf(w->path, sizeof w->path, "%s", path);

    spi_h5_lock(); /* H5T_NATIVE_... initialise the library */
    err = choose_packing(w);
    if (!err)
        err = spi_h5_create(path, w->tmp, &w->file);
    if (!err)
        err = make_datasets(w);
    if (!err)
        err = write_detector(w);
    if (!err)
        err = write_detector_truth(w);
    if (!err)
        err = write_attributes(w);
    spi_h5_unlock();
    SPI_TRY(err, fail);

    images = SCRATCH_BYTES / (d->n_pixels * (int64_t)w->packing.bytes);
    w->scratch_images = images > 1 ? images : 1;
    SPI_TRY(err = SPI_NEW(w->clean, d->n_pixels, "images"), fail);
    w->scratch =
        spi_alloc((size_t)(w->scratch_images * d->n_pixels), w->packing.bytes, "images");
    if (!w->scratch) {
        err = SPI_ENOMEM;
        goto fail;
    }
    w->spec.provenance_json = NULL; /* the caller may free it now, as the truth */
    w->spec.truth = NULL;
    *out = w;
    return SPI_OK;
fail:
    spi_images_abandon(w);
    return err;
}

/* ---- appending ---------------------------------------------------------------------- */

/* Name the first pixel that cannot be stored. */
static spi_err refuse(const struct spi_images_writer *w, int64_t image, const float *pixel)
{
    for (int64_t i = 0; i < w->spec.detector->n_pixels; i++) {
        double v = (double)pixel[i];
        bool whole = w->spec.kind == SPI_INTENSITIES || v == floor(v);

        if (!(v >= 0 && v <= w->packing.most && whole))
            return spi_fail(SPI_EINVAL, "%s: image %lld, pixel %lld is %g; need %s 0..%g",
                            w->path, (long long)image, (long long)i, v,
                            w->spec.kind == SPI_PHOTONS ? "a whole number" : "a number",
                            w->packing.most);
    }
    return SPI_OK;
}

/* n images packed into the scratch. */
static spi_err pack(struct spi_images_writer *w, int64_t n, const float *pixels)
{
    const struct spi_detector *d = w->spec.detector;
    const int64_t np = d->n_pixels;

    for (int64_t k = 0; k < n; k++) {
        char *to = (char *)w->scratch + (size_t)(k * np) * w->packing.bytes;

        for (int64_t i = 0; i < np; i++)
            w->clean[i] = d->bad[i] ? 0 : pixels[k * np + i];
        if (!w->packing.pack(np, w->clean, w->packing.most, to))
            return refuse(w, w->done + k, w->clean);
    }
    return SPI_OK;
}

/* Rows first .. first+n-1 of a dataset of any rank. */
static spi_err write_rows(struct spi_images_writer *w, hid_t data, hid_t memory, int64_t n,
                          const void *from)
{
    hid_t disk = H5Dget_space(data), flat = -1;
    hsize_t count[4], start[4] = {(hsize_t)w->done, 0, 0, 0};
    int rank = H5Sget_simple_extent_dims(disk, count, NULL);
    spi_err err = SPI_OK;

    count[0] = (hsize_t)n;
    flat = H5Screate_simple(rank, count, NULL);
    if (flat < 0 ||
        H5Sselect_hyperslab(disk, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dwrite(data, memory, flat, disk, H5P_DEFAULT, from) < 0)
        err = spi_h5_write_failed(w->file, "%s: cannot write images %lld to %lld", w->path,
                                  (long long)w->done, (long long)(w->done + n - 1));
    if (flat >= 0)
        H5Sclose(flat);
    H5Sclose(disk);
    return err;
}

/* Label 0, fluence 1, class 0 and a background of 1 where the caller has none. */
static spi_err write_truth(struct spi_images_writer *w, int64_t n, int64_t at,
                           const struct spi_image_truth *t)
{
    spi_err err;
    int32_t *label = NULL;
    double *fluence = NULL, *background = NULL;
    uint8_t *class = NULL;

    SPI_TRY(err = SPI_NEW(label, n, "labels"), out);
    SPI_TRY(err = SPI_NEW(fluence, n, "fluences"), out);
    SPI_TRY(err = SPI_NEW(class, n, "classes"), out);
    SPI_TRY(err = SPI_NEW(background, n, "backgrounds"), out);
    for (int64_t i = 0; i < n; i++) {
        label[i] = t->label ? t->label[at + i] : 0;
        fluence[i] = t->fluence ? t->fluence[at + i] : 1;
        class[i] = t->class ? t->class[at + i] : 0;
        background[i] = t->background ? t->background[at + i] : 1;
    }
    spi_h5_lock();
    err = write_rows(w, w->quat, H5T_NATIVE_DOUBLE, n, t->quat + 4 * at);
    if (!err)
        err = write_rows(w, w->label, H5T_NATIVE_INT32, n, label);
    if (!err)
        err = write_rows(w, w->fluence, H5T_NATIVE_DOUBLE, n, fluence);
    if (!err && w->class >= 0)
        err = write_rows(w, w->class, H5T_NATIVE_UINT8, n, class);
    if (!err && w->background >= 0)
        err = write_rows(w, w->background, H5T_NATIVE_DOUBLE, n, background);
    spi_h5_unlock();
out:
    free(label);
    free(fluence);
    free(class);
    free(background);
    return err;
}

static spi_err check_truth(const struct spi_images_writer *w, int64_t n,
                           const struct spi_image_truth *t)
{
    if (n < 0 || w->done + n > w->spec.n_images)
        return spi_fail(SPI_EINVAL, "%s: %lld images appended to %lld; announced were %lld",
                        w->path, (long long)n, (long long)w->done,
                        (long long)w->spec.n_images);
    if (!t || !t->quat)
        return spi_fail(SPI_EINVAL, "%s: images without orientations", w->path);
    for (int64_t i = 0; i < n; i++) {
        const double *q = t->quat + 4 * i;
        double norm = q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3];

        if (isnan(q[0]) && isnan(q[1]) && isnan(q[2]) && isnan(q[3]))
            continue;                 /* no orientation */
        if (!(fabs(norm - 1) < 1e-6)) /* rounding of a unit quaternion is below 1e-15 */
            return spi_fail(SPI_EINVAL, "%s: quaternion of image %lld has squared norm %g",
                            w->path, (long long)(w->done + i), norm);
    }
    return SPI_OK;
}

spi_err spi_images_append(struct spi_images_writer *w, int64_t n, const float *pixels,
                          const struct spi_image_truth *truth)
{
    spi_err err;
    const int64_t np = w->spec.detector->n_pixels;

    SPI_TRY(err = check_truth(w, n, truth), out);
    for (int64_t at = 0; at < n;) {
        int64_t k = n - at < w->scratch_images ? n - at : w->scratch_images;

        SPI_TRY(err = pack(w, k, pixels + at * np), out);
        spi_h5_lock();
        err = write_rows(w, w->data, w->memory, k, w->scratch);
        spi_h5_unlock();
        SPI_TRY(err, out);
        SPI_TRY(err = write_truth(w, k, at, truth), out);
        w->done += k;
        at += k;
    }
out:
    return err;
}

/* ---- the end ------------------------------------------------------------------------ */

static void release(struct spi_images_writer *w)
{
    free(w->clean);
    free(w->scratch);
    free(w);
}

/* Everything that is open; the file itself is flushed before. */
static spi_err close_all(struct spi_images_writer *w)
{
    const hid_t set[] = {w->data, w->quat, w->label, w->fluence, w->class, w->background};
    spi_err err = spi_h5_flush(w->path, w->file);

    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        if (set[i] >= 0)
            H5Dclose(set[i]);
    if (H5Fclose(w->file) < 0 && !err)
        err = spi_h5_fail(SPI_EIO, "%s: cannot close it", w->path);
    w->file = -1;
    return err;
}

spi_err spi_images_finish_take(struct spi_images_writer *w)
{
    spi_err err;

    if (w->done != w->spec.n_images) {
        err = spi_fail(SPI_EINVAL, "%s: %lld images written; announced were %lld", w->path,
                       (long long)w->done, (long long)w->spec.n_images);
        spi_images_abandon(w);
        return err;
    }
    spi_h5_lock();
    err = close_all(w);
    spi_h5_unlock();
    if (err)
        unlink(w->tmp);
    else
        err = spi_file_commit(w->tmp, w->path);
    release(w);
    return err;
}

void spi_images_abandon(struct spi_images_writer *w)
{
    char why[1024];

    if (!w)
        return;
    if (w->file >= 0) {
        /* closing must not overwrite the message that is the reason for giving up */
        snprintf(why, sizeof why, "%s", spi_err_message());
        spi_h5_lock();
        if (close_all(w) == SPI_EIO)
            spi_note("%s", why);
        spi_h5_unlock();
        unlink(w->tmp);
    }
    release(w);
}
