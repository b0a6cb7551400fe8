/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Images in the layout of CXI (CXIDB): frames of one flat detector.  doc/formats.md,
 * "CXI".
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/h5_source.h"
#include "io/images_priv.h"
#include "io/mask.h"

static const char *const data_names[] = {"entry_1/data_1/data",
                                         "entry_1/instrument_1/detector_1/data", NULL};
static const char *const mask_names[] = {"entry_1/data_1/mask",
                                         "entry_1/instrument_1/detector_1/mask", NULL};

static const double HC_J_M = 1.986445857148929e-25; /* h c, exact in SI since 2019 */
static const double EV_J = 1.602176634e-19;

/* Bits of a mask that hide a pixel: invalid, saturated, hot, dead, shadowed, to be ignored,
 * bad, missing, noisy, correction failed.  Others tell about pixels that can be used. */
enum {
    HIDING = 0x001 | 0x002 | 0x004 | 0x008 | 0x010 | 0x040 | 0x080 | 0x200 | 0x400 | 0x1000
};

enum { SAMPLED = 8 }; /* images that are looked at to tell photons from other values */

static const char *first_of(hid_t file, const char *const *names)
{
    for (; *names; names++)
        if (spi_h5_has(file, *names))
            return *names;
    return NULL;
}

static bool probe(const struct spi_peek *p)
{
    static const char *const version[] = {"cxi_version", NULL};

    return spi_peek_has(p, data_names) || spi_peek_has(p, version);
}

/* ---- images ------------------------------------------------------------------------- */

static spi_err open_data(struct spi_h5_source *h, int *panels, int *ny, int *nx)
{
    struct spi_h5_shape s;
    char text[256];
    spi_err err;

    h->data_name = first_of(h->file, data_names);
    if (!h->data_name)
        return spi_fail(
            SPI_EFORMAT, "%s: a CXI file without images at /%s%s", h->path, data_names[0],
            spi_h5_has(h->file, "entry_1/image_1/data")
                ? "; what is at /entry_1/image_1 was reconstructed or assembled "
                  "and has no detector"
                : "");
    SPI_TRY(err = spi_h5_shape(h->file, h->path, h->data_name, &s), out);
    spi_h5_type_text(&s, h->s->type_on_disk);
    if (s.type_class != H5T_INTEGER && s.type_class != H5T_FLOAT)
        return spi_fail(SPI_EFORMAT, "%s: dataset '%s' is %s; need integers or floats",
                        h->path, h->data_name, h->s->type_on_disk);
    if (s.rank != 3 && s.rank != 4)
        return spi_fail(
            SPI_EFORMAT,
            "%s: dataset '%s' has shape %s; need (frame, y, x) or (frame, module, "
            "y, x)",
            h->path, h->data_name, spi_h5_shape_text(s.rank, s.dim, text));
    for (int k = 0; k < s.rank; k++)
        if (s.dim[k] < 1 || s.dim[k] > (k ? 1 << 28 : (hsize_t)1 << 40))
            return spi_fail(SPI_EFORMAT, "%s: dataset '%s' has shape %s; no axis may be %s",
                            h->path, h->data_name, spi_h5_shape_text(s.rank, s.dim, text),
                            s.dim[k] < 1 ? "empty" : "so long");
    if (s.rank == 4 && s.dim[1] > 1)
        return spi_fail(SPI_EFORMAT,
                        "%s: dataset '%s' has %llu modules; only one flat detector is read "
                        "of CXI: write the images with pixel_position_reciprocal "
                        "(doc/formats.md)",
                        h->path, h->data_name, (unsigned long long)s.dim[1]);
    h->s->n = (int64_t)s.dim[0];
    *panels = 1;
    *ny = (int)s.dim[s.rank - 2];
    *nx = (int)s.dim[s.rank - 1];
    err = spi_h5_rows_open(h->file, h->path, h->data_name, H5T_NATIVE_FLOAT, &h->rows);
out:
    return err;
}

/* CXI does not say what the values are: floats that are whole in some images are photons.
 */
static spi_err find_kind(struct spi_h5_source *h)
{
    const int64_t np = h->s->det.n_pixels;
    float *image = NULL;
    bool whole = true;
    spi_err err = SPI_OK;

    h->s->kind = SPI_PHOTONS;
    if (!strstr(h->s->type_on_disk, "float"))
        return SPI_OK;
    SPI_TRY(err = SPI_NEW(image, np, h->path), out);
    for (int i = 0; i < SAMPLED && whole; i++) {
        SPI_TRY(err = spi_h5_rows_read(h->rows, (hsize_t)(h->s->n * i / SAMPLED), 1, image),
                out);
        for (int64_t p = 0; p < np && whole; p++)
            whole = h->s->det.bad[p] || !isfinite(image[p]) || image[p] == floorf(image[p]);
    }
    h->s->kind = whole ? SPI_PHOTONS : SPI_INTENSITIES;
out:
    free(image);
    return err;
}

/* ---- numbers ------------------------------------------------------------------------ */

/* One number, or as many equal ones as there are images (within a thousandth; their mean).
 * *value = NAN: there is no such dataset. */
static spi_err read_number(const struct spi_h5_source *h, const char *name, double *value)
{
    struct spi_h5_shape s;
    double *all = NULL, low = INFINITY, high = -INFINITY, sum = 0;
    hsize_t n = 1;
    spi_err err;

    *value = (double)NAN;
    if (!spi_h5_has(h->file, name))
        return SPI_OK;
    SPI_TRY(err = spi_h5_shape(h->file, h->path, name, &s), out);
    for (int k = 0; k < s.rank; k++)
        n = s.dim[k] > 0 && n <= (hsize_t)1 << 40 ? n * s.dim[k] : 0;
    if (n != 1 && n != (hsize_t)h->s->n)
        return spi_fail(SPI_EFORMAT,
                        "%s: '%s' holds %llu numbers; need one, or one an image", h->path,
                        name, (unsigned long long)n);
    SPI_TRY(err = SPI_NEW(all, n, h->path), out);
    SPI_TRY(err =
                spi_h5_read(h->file, h->path, name, H5T_NATIVE_DOUBLE, s.rank, s.dim, all),
            out);
    for (hsize_t i = 0; i < n; i++) {
        low = fmin(low, all[i]);
        high = fmax(high, all[i]);
        sum += all[i];
    }
    *value = sum / (double)n;
    if (!isfinite(*value))
        err = spi_fail(SPI_EFORMAT, "%s: '%s' is %s; need a number", h->path, name,
                       isnan(*value) ? "nan" : "infinite");
    else if (!(high - low <= 1e-3 * fabs(*value)))
        err = spi_fail(SPI_EFORMAT,
                       "%s: '%s' goes from %g to %g; need one value (or mean positions as "
                       "pixel_position_reciprocal)",
                       h->path, name, low, high);
out:
    free(all);
    return err;
}

/* Lengths of instruments that are built, m: all others are in another unit. */
struct range {
    double low, high;
};
static const struct range distances = {1e-3, 30}, pixel_sizes = {1e-6, 2e-3};

/* Detectors that see nothing finer see no particle. */
static const double coarsest_A = 3000;

/* The unit in which a length would be in its range; NULL: none. */
static const char *unit_of(double value, struct range r)
{
    static const struct {
        double m;
        const char *words;
    } units[] = {
        {1e-3, "which looks like mm; CXI needs m: divide by 1000"},
        {1e-6, "which looks like micrometres; CXI needs m: divide by 1e6"},
        {1e3, "which looks 1000 times too small (km?); CXI needs m: multiply by 1000"},
        {1e6, "which looks 1e6 times too small; CXI needs m: multiply by 1e6"}};

    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (value * units[i].m >= r.low && value * units[i].m <= r.high)
            return units[i].words;
    return NULL;
}

/* A length that must be there, in its range. */
static spi_err need(const struct spi_h5_source *h, const char *name, struct range range,
                    double *value)
{
    static const char unit[] = "m";
    const double low = range.low, high = range.high;
    const char *words;
    spi_err err = read_number(h, name, value);

    if (err)
        return err;
    if (isnan(*value))
        return spi_fail(SPI_EFORMAT,
                        "%s: has no '%s' (%s), without which its pixels have no positions; "
                        "write it into the file",
                        h->path, name, unit);
    words = *value >= low && *value <= high ? NULL : unit_of(*value, range);
    if (words)
        return spi_fail(SPI_EFORMAT, "%s: '%s' is %g, %s", h->path, name, *value, words);
    if (!(*value >= low && *value <= high))
        return spi_fail(SPI_EFORMAT, "%s: '%s' is %g; need %g to %g %s: is it in %s?",
                        h->path, name, *value, low, high, unit, unit);
    return SPI_OK;
}

static spi_err read_wavelength(const struct spi_h5_source *h, double *A)
{
    static const char name[] = "entry_1/instrument_1/source_1/energy";
    double J;
    spi_err err = read_number(h, name, &J);

    if (err)
        return err;
    if (isnan(J))
        return spi_fail(SPI_EFORMAT,
                        "%s: has no '%s' (J), without which its pixels have no positions; "
                        "write it into the file",
                        h->path, name);
    if (J >= 10 && J <= 1e6)
        return spi_fail(
            SPI_EFORMAT,
            "%s: '%s' is %g, which looks like eV; CXI needs joules: multiply by "
            "1.602177e-19",
            h->path, name, J);
    if (J >= 0.01 && J < 1000)
        return spi_fail(SPI_EFORMAT,
                        "%s: '%s' is %g, which looks like keV; CXI needs joules: multiply "
                        "by 1.602177e-16",
                        h->path, name, J);
    if (!(J >= 10 * EV_J && J <= 1e6 * EV_J))
        return spi_fail(SPI_EFORMAT,
                        "%s: '%s' is %g J; need the energy of one photon, %.3g to %.3g J",
                        h->path, name, J, 10 * EV_J, 1e6 * EV_J);
    *A = HC_J_M / J * 1e10;
    return SPI_OK;
}

/* ---- detector ----------------------------------------------------------------------- */

/* q of a flat detector across the beam, which meets its middle; the solid angle of a pixel
 * falls with the cube of the cosine. */
static void place_pixels(struct spi_detector *d, double size_x, double size_y)
{
    for (int64_t i = 0; i < d->n_pixels; i++) {
        double x = ((double)(i % d->nx) - (d->nx - 1) / 2.0) * size_x;
        double y = ((double)(i / d->nx) - (d->ny - 1) / 2.0) * size_y;
        double z = d->distance_m, r = sqrt(x * x + y * y + z * z);

        d->q[3 * i] = x / r / d->wavelength_A;
        d->q[3 * i + 1] = y / r / d->wavelength_A;
        d->q[3 * i + 2] = -(x * x + y * y) / (r * (r + z)) / d->wavelength_A; /* z/r - 1 */
        d->geometry[i] = (float)pow(z / r, 3);
    }
}

static spi_err refuse_placed(const struct spi_h5_source *h)
{
    static const char *const names[] = {
        "entry_1/instrument_1/detector_1/corner_position",
        "entry_1/instrument_1/detector_1/basis_vectors",
        "entry_1/instrument_1/detector_1/geometry_1/translation", NULL};
    const char *name = first_of(h->file, names);

    if (!name)
        return SPI_OK;
    return spi_fail(SPI_EFORMAT,
                    "%s: '%s' places the detector, which is not read of CXI: write the "
                    "images with pixel_position_reciprocal instead",
                    h->path, name);
}

static spi_err fill(struct spi_h5_source *h)
{
    struct spi_detector *d = &h->s->det;
    double wavelength = 0, distance, size_x, size_y;
    const char *mask = first_of(h->file, mask_names);
    int panels, ny, nx;
    spi_err err;

    SPI_TRY(err = open_data(h, &panels, &ny, &nx), out);
    SPI_TRY(err = refuse_placed(h), out);
    SPI_TRY(err = read_wavelength(h, &wavelength), out);
    SPI_TRY(err = need(h, "entry_1/instrument_1/detector_1/distance", distances, &distance),
            out);
    SPI_TRY(
        err = need(h, "entry_1/instrument_1/detector_1/x_pixel_size", pixel_sizes, &size_x),
        out);
    SPI_TRY(err = read_number(h, "entry_1/instrument_1/detector_1/y_pixel_size", &size_y),
            out);
    if (!isnan(size_y))
        SPI_TRY(err = need(h, "entry_1/instrument_1/detector_1/y_pixel_size", pixel_sizes,
                           &size_y),
                out);
    SPI_TRY(err = spi_detector_init(d, panels, ny, nx), out);
    d->wavelength_A = wavelength;
    d->distance_m = distance;
    place_pixels(d, size_x, isnan(size_y) ? size_x : size_y);
    if (1 / spi_detector_q_corner(d) > coarsest_A) {
        err =
            spi_fail(SPI_EFORMAT,
                     "%s: '%s' is %g m, where the detector sees nothing finer than %.3g A: "
                     "it looks like mm; CXI needs m: divide by 1000",
                     h->path, "entry_1/instrument_1/detector_1/distance", distance,
                     1 / spi_detector_q_corner(d));
        goto out;
    }
    h->s->has_mask = mask != NULL;
    if (mask)
        SPI_TRY(
            err = spi_mask_dataset(h->file, h->path, mask, panels, ny, nx, HIDING, d->bad),
            out);
    SPI_TRY(err = find_kind(h), out);
    spi_warn("%s: CXI does not say where the beam meets the detector: taken in the middle, "
             "column %g, row %g%s; values are taken for %s",
             h->path, (nx - 1) / 2.0, (ny - 1) / 2.0,
             isnan(size_y) ? "; y_pixel_size is not there: taken as x_pixel_size" : "",
             h->s->kind == SPI_PHOTONS ? "photons" : "intensities");
out:
    return err;
}

static spi_err open_cxi(struct spi_peek *p, struct spi_source *s, void **self)
{
    return spi_h5_source_open(p, s, fill, self);
}

/* Experiments know no truth, and nothing in such a file says where the centre is. */
const struct spi_source_format spi_source_cxi = {.name = "cxi",
                                                 .says = "CXI: detector_1 of an entry_1",
                                                 .centre_advice = "",
                                                 .probe = probe,
                                                 .open = open_cxi,
                                                 .read = spi_h5_source_read,
                                                 .close = spi_h5_source_close};
