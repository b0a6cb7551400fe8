/* The HDF5 layout of SpiniFEL and skopi, and that of cmtip: they differ only in the order
 * of the axes of `pixel_position_reciprocal` and of `orientations`.  doc/formats.md
 * section 1. */
#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/images_priv.h"

static const char Q_NAME[] = "pixel_position_reciprocal";

/* ---- which of the two ------------------------------------------------------------- */

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

bool spi_layout_cmtip_probe(const char *path, hid_t file)
{
    return file >= 0 && is_cmtip(path, file);
}

/* Also files in which something is missing or wrong: opening will say what. */
bool spi_layout_spinifel_probe(const char *path, hid_t file)
{
    return file >= 0 && (image_dataset(file) || spi_h5_has(file, Q_NAME)) &&
           !is_cmtip(path, file);
}

/* ---- opening --------------------------------------------------------------------- */

static spi_err check_image_shape(struct spi_images *im, const struct spi_h5_shape *s)
{
    char text[256];

    if (s->type_class != H5T_INTEGER && s->type_class != H5T_FLOAT)
        return spi_fail(SPI_EFORMAT, "%s: dataset '%s' is %s; need integers or floats",
                        im->path, im->data_name, spi_h5_type_text(s, text));
    if (s->rank != 4)
        return spi_fail(
            SPI_EFORMAT,
            "%s: dataset '%s' has shape %s; need four axes (images, panels, ny, "
            "nx)",
            im->path, im->data_name, spi_h5_shape_text(s->rank, s->dim, text));
    for (int k = 0; k < 4; k++)
        if (s->dim[k] < 1 || s->dim[k] > (k ? 1 << 28 : (hsize_t)1 << 40))
            return spi_fail(SPI_EFORMAT, "%s: dataset '%s' has shape %s; no axis may be %s",
                            im->path, im->data_name,
                            spi_h5_shape_text(s->rank, s->dim, text),
                            s->dim[k] < 1 ? "empty" : "so long");
    return SPI_OK;
}

/* Images of one range are read again and again from the same chunks when a chunk holds
 * several of them or only a part of one: the cache holds all chunks that one image touches.
 */
static hid_t cache_of_one_row(hid_t data, const struct spi_h5_shape *s)
{
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS), create = H5Dget_create_plist(data);
    hsize_t chunk[4];
    double bytes = (double)s->type_size, chunks = 1;

    if (create >= 0 && H5Pget_layout(create) == H5D_CHUNKED &&
        H5Pget_chunk(create, 4, chunk) == 4) {
        for (int k = 1; k < 4; k++)
            chunks *= ceil((double)s->dim[k] / (double)chunk[k]);
        for (int k = 0; k < 4; k++)
            bytes *= (double)chunk[k];
        bytes = fmin(fmax(bytes * chunks, 1 << 20), 1 << 26);
        H5Pset_chunk_cache(access, (size_t)fmin(10 * chunks + 521, 1e5), (size_t)bytes, 1);
    }
    if (create >= 0)
        H5Pclose(create);
    return access;
}

static spi_err open_data(struct spi_images *im, struct spi_h5_shape *s)
{
    spi_err err;
    hid_t access;

    im->data_name = image_dataset(im->file);
    if (!im->data_name)
        im->data_name = "intensities"; /* so that the message names it */
    SPI_TRY(err = spi_h5_shape(im->file, im->path, im->data_name, s), out);
    SPI_TRY(err = check_image_shape(im, s), out);
    im->n = (int64_t)s->dim[0];
    im->kind = s->type_class == H5T_INTEGER || !strcmp(im->data_name, "photons")
                   ? SPI_PHOTONS
                   : SPI_INTENSITIES;
    spi_h5_type_text(s, im->type_on_disk);

    im->data = H5Dopen2(im->file, im->data_name, H5P_DEFAULT);
    access = cache_of_one_row(im->data, s);
    H5Dclose(im->data);
    im->data = H5Dopen2(im->file, im->data_name, access);
    H5Pclose(access);
    if (im->data < 0)
        err = spi_h5_fail(SPI_EIO, "%s: cannot open dataset '%s'", im->path, im->data_name);
out:
    return err;
}

/* q in 1/m -> 1/A. */
static spi_err read_q(struct spi_images *im, bool first)
{
    spi_err err;
    struct spi_detector *d = &im->det;
    const hsize_t p = (hsize_t)d->panels, ny = (hsize_t)d->ny, nx = (hsize_t)d->nx;
    const hsize_t last_dim[4] = {p, ny, nx, 3}, first_dim[4] = {3, p, ny, nx};

    SPI_TRY(err = spi_h5_read(im->file, im->path, Q_NAME, H5T_NATIVE_DOUBLE, 4,
                              first ? first_dim : last_dim, d->q),
            out);
    if (first)
        SPI_TRY(err = transpose(im->path, d->n_pixels, d->q), out);
    for (int64_t i = 0; i < 3 * d->n_pixels; i++)
        d->q[i] *= 1e-10;
out:
    return err;
}

static spi_err read_index_map(struct spi_images *im)
{
    spi_err err = SPI_OK;
    struct spi_detector *d = &im->det;
    const hsize_t dim[4] = {(hsize_t)d->panels, (hsize_t)d->ny, (hsize_t)d->nx, 2};
    int32_t most[2] = {0, 0};

    if (!spi_h5_has(im->file, "pixel_index_map"))
        return SPI_OK; /* the grid that spi_detector_init made */
    SPI_TRY(err = spi_h5_read(im->file, im->path, "pixel_index_map", H5T_NATIVE_INT32, 4,
                              dim, d->index_map),
            out);
    for (int64_t i = 0; i < 2 * d->n_pixels; i++) {
        int32_t v = d->index_map[i];

        if (v < 0 || v >= 1 << 16)
            return spi_fail(SPI_EFORMAT,
                            "%s: pixel_index_map puts pixel %lld at %s %d; need 0..65535",
                            im->path, (long long)(i / 2), i % 2 ? "column" : "row", v);
        most[i % 2] = v > most[i % 2] ? v : most[i % 2];
    }
    d->rows = most[0] + 1;
    d->columns = most[1] + 1;
out:
    return err;
}

/* Datasets that we define: mask (0 = good, as in CXI) and geometry_factor. */
static spi_err read_optional(struct spi_images *im)
{
    spi_err err = SPI_OK;
    struct spi_detector *d = &im->det;
    const hsize_t dim[3] = {(hsize_t)d->panels, (hsize_t)d->ny, (hsize_t)d->nx};
    int32_t *mask = NULL;

    if (spi_h5_has(im->file, "mask")) {
        /* as 32 bits: masks of CXI have flags above bit 7 */
        SPI_TRY(err = SPI_NEW(mask, d->n_pixels, im->path), out);
        SPI_TRY(err =
                    spi_h5_read(im->file, im->path, "mask", H5T_NATIVE_INT32, 3, dim, mask),
                out);
        for (int64_t i = 0; i < d->n_pixels; i++)
            d->bad[i] = mask[i] != 0;
    }
    if (spi_h5_has(im->file, "geometry_factor"))
        err = spi_h5_read(im->file, im->path, "geometry_factor", H5T_NATIVE_FLOAT, 3, dim,
                          d->geometry);
out:
    free(mask);
    return err;
}

static spi_err open_layout(struct spi_images *im, bool q_first)
{
    spi_err err;
    struct spi_h5_shape s;
    struct spi_detector *d = &im->det;

    SPI_TRY(err = open_data(im, &s), out);
    if (s.dim[1] * s.dim[2] > 1 << 28 || s.dim[1] * s.dim[2] * s.dim[3] > 1 << 28)
        return spi_fail(SPI_EFORMAT,
                        "%s: dataset '%s' has images of %llu x %llu x %llu pixels; need at "
                        "most 2^28",
                        im->path, im->data_name, (unsigned long long)s.dim[1],
                        (unsigned long long)s.dim[2], (unsigned long long)s.dim[3]);

    /* Before memory is asked for: are there positions for so many pixels? */
    struct spi_h5_shape q;

    SPI_TRY(err = spi_h5_shape(im->file, im->path, Q_NAME, &q), out);
    if (q_order(&q, &s) == Q_NEITHER) {
        char found[256], images[256];

        return spi_fail(SPI_EFORMAT,
                        "%s: dataset '%s' has shape %s; need (panels, ny, nx, 3) or (3, "
                        "panels, ny, nx) for '%s' of shape %s",
                        im->path, Q_NAME, spi_h5_shape_text(q.rank, q.dim, found),
                        im->data_name, spi_h5_shape_text(s.rank, s.dim, images));
    }
    SPI_TRY(err = spi_detector_init(d, (int)s.dim[1], (int)s.dim[2], (int)s.dim[3]), out);
    SPI_TRY(err = read_q(im, q_first), out);
    SPI_TRY(err = read_index_map(im), out);
    SPI_TRY(err = read_optional(im), out);
    if (!spi_h5_number(im->file, "wavelength_A", &d->wavelength_A) ||
        !isfinite(d->wavelength_A))
        d->wavelength_A = 0;
    if ((!spi_h5_number(im->file, "distance_m", &d->distance_m) &&
         !spi_h5_number(im->file, "det_distance", &d->distance_m)) ||
        !isfinite(d->distance_m))
        d->distance_m = 0;
out:
    return err;
}

spi_err spi_layout_spinifel_open(struct spi_images *im)
{
    return open_layout(im, false);
}

spi_err spi_layout_cmtip_open(struct spi_images *im)
{
    return open_layout(im, true);
}

/* ---- reading --------------------------------------------------------------------- */

spi_err spi_layout_spinifel_read(struct spi_images *im, int64_t first, int64_t n,
                                 float *out)
{
    const struct spi_detector *d = &im->det;
    const hsize_t start[4] = {(hsize_t)first, 0, 0, 0};
    const hsize_t count[4] = {(hsize_t)n, (hsize_t)d->panels, (hsize_t)d->ny,
                              (hsize_t)d->nx};
    hid_t disk = H5Dget_space(im->data), memory = H5Screate_simple(4, count, NULL);
    spi_err err = SPI_OK;

    if (disk < 0 || memory < 0 ||
        H5Sselect_hyperslab(disk, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(im->data, H5T_NATIVE_FLOAT, memory, disk, H5P_DEFAULT, out) < 0)
        err = spi_h5_fail(SPI_EIO, "%s: cannot read images %lld to %lld", im->path,
                          (long long)first, (long long)(first + n - 1));
    if (disk >= 0)
        H5Sclose(disk);
    if (memory >= 0)
        H5Sclose(memory);
    return err;
}

/* ---- truth ----------------------------------------------------------------------- */

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

spi_err spi_layout_spinifel_truth(struct spi_images *im, struct spi_image_truth *out)
{
    spi_err err = SPI_OK;
    const hsize_t n = (hsize_t)im->n;
    int64_t rows = im->n;
    const char *name = spi_h5_has(im->file, "truth/orientations") ? "truth/orientations"
                       : spi_h5_has(im->file, "orientations")     ? "orientations"
                                                                  : NULL;

    if (name)
        SPI_TRY(err = spi_read_quaternions(im->file, im->path, name, &rows, &out->quat),
                out);
    if (spi_h5_has(im->file, "truth/label")) {
        SPI_TRY(err = SPI_NEW(out->label, n, im->path), out);
        SPI_TRY(err = spi_h5_read(im->file, im->path, "truth/label", H5T_NATIVE_INT32, 1,
                                  &n, out->label),
                out);
    }
    if (spi_h5_has(im->file, "truth/fluence")) {
        SPI_TRY(err = SPI_NEW(out->fluence, n, im->path), out);
        SPI_TRY(err = spi_h5_read(im->file, im->path, "truth/fluence", H5T_NATIVE_DOUBLE, 1,
                                  &n, out->fluence),
                out);
    }
out:
    return err;
}
