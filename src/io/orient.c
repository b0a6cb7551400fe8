/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/orient.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/version.h"
#include "io/file.h"
#include "io/h5.h"
#include "io/images_priv.h"

static const char CONVENTION[] =
    "quaternions are (w, x, y, z), unit, and their usual active matrix R turns the "
    "molecule, as "
    "it stands in density.mrc, into the laboratory (z along the beam): q_molecule = R^T "
    "q_laboratory; four NaN: the image has no orientation; score is a log-likelihood; "
    "fluence "
    "is relative to its mean; aside is 1 where an image has no signal, 2 where it repeats "
    "another";

/* ---- images without an orientation -------------------------------------------------- */

bool spi_orientations_has(const struct spi_orientations *o, int64_t k)
{
    return !isnan(o->quat[4 * k]);
}

int64_t spi_orientations_count(const struct spi_orientations *o)
{
    int64_t count = 0;

    for (int64_t k = 0; k < o->n; k++)
        count += spi_orientations_has(o, k);
    return count;
}

void spi_orientations_none(struct spi_orientations *o, int64_t k)
{
    for (int c = 0; c < 4; c++)
        o->quat[4 * k + c] = (double)NAN;
    if (o->score)
        o->score[k] = NAN;
    if (o->margin)
        o->margin[k] = NAN;
    if (o->entropy)
        o->entropy[k] = NAN;
    if (o->misfit)
        o->misfit[k] = NAN;
    if (o->fluence)
        o->fluence[k] = 0;
    if (o->half)
        o->half[k] = 0;
}

/* ---- writing ------------------------------------------------------------------------ */

static spi_err check_quaternions(const char *path, const struct spi_orientations *o)
{
    if (o->n < 1 || !o->quat)
        return spi_fail(SPI_EINVAL, "%s: no orientations to write", path);
    for (int64_t i = 0; i < o->n; i++) {
        const double *q = o->quat + 4 * i;
        double norm = q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3];

        if (isnan(q[0]) && isnan(q[1]) && isnan(q[2]) && isnan(q[3]))
            continue;                 /* no orientation */
        if (!(fabs(norm - 1) < 1e-6)) /* rounding of a unit quaternion is below 1e-15 */
            return spi_fail(SPI_EINVAL, "%s: quaternion %lld has squared norm %g", path,
                            (long long)i, norm);
    }
    return SPI_OK;
}

/* Where the images were moved to before they were matched. */
static const char *const shift_name[4] = {"centre_shift_x_invA", "centre_shift_y_invA",
                                          "centre_shift_x_px", "centre_shift_y_px"};
static const char positions_name[] = "centre_positions_sha256";

static spi_err write_centre(const char *path, hid_t file, const struct spi_moved_centre *m)
{
    const double value[4] = {m->shift_invA[0], m->shift_invA[1], m->shift_px[0],
                             m->shift_px[1]};
    spi_err err = spi_h5_put_text(file, path, positions_name, m->positions_sha256);

    for (int i = 0; i < 4 && !err; i++)
        err = spi_h5_put_number(file, path, shift_name[i], value[i]);
    return err;
}

static const char panels_name[] = "panel_shift", pixel_name[] = "panel_pixel_invA",
                  stretch_name[] = "distance_stretch",
                  placed_name[] = "panel_positions_sha256";

static const char drift_name[] = "centre_drift";

static spi_err write_places(const char *path, hid_t file, const struct spi_places *p)
{
    const hsize_t dim[2] = {(hsize_t)p->panels, 2};
    spi_err err;

    SPI_TRY(err = spi_h5_write(file, path, panels_name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE,
                               2, dim, p->shift_invA),
            out);
    SPI_TRY(err = spi_h5_put_number(file, path, pixel_name, p->pixel_invA), out);
    err = spi_h5_put_number(file, path, stretch_name, p->stretch);
out:
    return err;
}

static spi_err write_all(const char *path, hid_t file, const struct spi_orientations *o,
                         const char *provenance_json)
{
    spi_err err;
    const hsize_t dim[2] = {(hsize_t)o->n, 4};
    const struct {
        const char *name;
        const float *value;
    } part[] = {{"score", o->score},     {"margin", o->margin}, {"fluence", o->fluence},
                {"entropy", o->entropy}, {"misfit", o->misfit}, {"particle", o->particle}};

    SPI_TRY(err = spi_h5_write(file, path, "orientations", H5T_IEEE_F64LE,
                               H5T_NATIVE_DOUBLE, 2, dim, o->quat),
            out);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (part[i].value)
            SPI_TRY(err = spi_h5_write(file, path, part[i].name, H5T_IEEE_F32LE,
                                       H5T_NATIVE_FLOAT, 1, dim, part[i].value),
                    out);
    if (o->half)
        SPI_TRY(err = spi_h5_write(file, path, "half", H5T_STD_U8LE, H5T_NATIVE_UINT8, 1,
                                   dim, o->half),
                out);
    if (o->aside)
        SPI_TRY(err = spi_h5_write(file, path, "aside", H5T_STD_U8LE, H5T_NATIVE_UINT8, 1,
                                   dim, o->aside),
                out);
    SPI_TRY(err = spi_h5_put_text(file, path, "program", "spinifel " SPI_VERSION), out);
    SPI_TRY(err = spi_h5_put_text(file, path, "convention", CONVENTION), out);
    if (o->moved.yes)
        SPI_TRY(err = write_centre(path, file, &o->moved), out);
    if (o->places.panels)
        SPI_TRY(err = write_places(path, file, &o->places), out);
    if (o->places.panels || o->drift)
        SPI_TRY(err = spi_h5_put_text(file, path, placed_name, o->places.positions_sha256),
                out);
    if (o->drift)
        SPI_TRY(err =
                    spi_h5_write(file, path, drift_name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE,
                                 2, (hsize_t[2]){(hsize_t)o->n, 2}, o->drift),
                out);
    err =
        spi_h5_put_text(file, path, "provenance", provenance_json ? provenance_json : "{}");
out:
    return err;
}

spi_err spi_orientations_write(const char *path, const struct spi_orientations *o,
                               const char *provenance_json)
{
    spi_err err;
    char tmp[SPI_PATH_MAX];
    hid_t file;

    SPI_TRY(err = spi_tmp_path(path, tmp), out);
    SPI_TRY(err = check_quaternions(path, o), out);
    spi_h5_lock();
    err = spi_h5_create(path, tmp, &file);
    if (!err) {
        err = write_all(path, file, o, provenance_json);
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

/* ---- reading ------------------------------------------------------------------------ */

/* An optional list of n numbers: *out = NULL when it is not there. */
static spi_err read_floats(hid_t file, const char *path, const char *name, int64_t n,
                           float **out)
{
    spi_err err;
    const hsize_t dim = (hsize_t)n;

    *out = NULL;
    if (!spi_h5_has(file, name))
        return SPI_OK;
    err = SPI_NEW(*out, n, path);
    return err ? err : spi_h5_read(file, path, name, H5T_NATIVE_FLOAT, 1, &dim, *out);
}

/* An optional list of n small numbers, 0 ... most. */
static spi_err read_bytes(hid_t file, const char *path, const char *name, int64_t n,
                          int most, uint8_t **out)
{
    spi_err err;
    const hsize_t dim = (hsize_t)n;

    if (!spi_h5_has(file, name))
        return SPI_OK;
    SPI_TRY(err = SPI_NEW(*out, n, path), out);
    SPI_TRY(err = spi_h5_read(file, path, name, H5T_NATIVE_UINT8, 1, &dim, *out), out);
    for (int64_t i = 0; i < n; i++)
        if ((*out)[i] > most)
            return spi_fail(SPI_EFORMAT, "%s: %s of image %lld is %d; need 0 to %d", path,
                            name, (long long)i, (*out)[i], most);
out:
    return err;
}

/* Only an image without an orientation is in no half set. */
static spi_err check_halves(const char *path, const struct spi_orientations *o)
{
    for (int64_t i = 0; o->half && i < o->n; i++)
        if (!o->half[i] && spi_orientations_has(o, i))
            return spi_fail(
                SPI_EFORMAT,
                "%s: half of image %lld is 0, but it has an orientation; need 1 "
                "or 2",
                path, (long long)i);
    return SPI_OK;
}

/* The fluence scales an image that is merged. */
static spi_err check_fluence(const char *path, const struct spi_orientations *o)
{
    for (int64_t i = 0; o->fluence && i < o->n; i++)
        if (spi_orientations_has(o, i) && !(o->fluence[i] >= 0 && isfinite(o->fluence[i])))
            return spi_fail(SPI_EFORMAT, "%s: fluence of image %lld is %g; need 0 or more",
                            path, (long long)i, (double)o->fluence[i]);
    return SPI_OK;
}

/* The centre that the images had, where it was moved. */
static spi_err read_centre(hid_t file, const char *path, struct spi_moved_centre *m)
{
    double *const value[4] = {&m->shift_invA[0], &m->shift_invA[1], &m->shift_px[0],
                              &m->shift_px[1]};
    char *text = NULL;
    spi_err err;

    if (!spi_h5_has_attribute(file, shift_name[0]))
        return SPI_OK;
    for (int i = 0; i < 4; i++)
        if (!spi_h5_number(file, shift_name[i], value[i]) || !isfinite(*value[i]))
            return spi_fail(SPI_EFORMAT, "%s: the attribute %s is no finite number", path,
                            shift_name[i]);
    if ((err = spi_h5_text(file, positions_name, &text)) != SPI_OK)
        return err;
    snprintf(m->positions_sha256, sizeof m->positions_sha256, "%s", text ? text : "");
    free(text);
    m->yes = true;
    return SPI_OK;
}

/* Where its panels were placed. */
static spi_err read_places(hid_t file, const char *path, struct spi_places *p)
{
    struct spi_h5_shape shape;
    spi_err err;

    if (!spi_h5_has(file, panels_name))
        return SPI_OK;
    SPI_TRY(err = spi_h5_shape(file, path, panels_name, &shape), out);
    if (shape.rank != 2 || shape.dim[1] != 2 || shape.dim[0] < 1 || shape.dim[0] > 1 << 20)
        return spi_h5_fail(SPI_EFORMAT, "%s: %s is not of the shape (panels, 2)", path,
                           panels_name);
    if (!spi_h5_number(file, pixel_name, &p->pixel_invA) || !(p->pixel_invA > 0) ||
        !isfinite(p->pixel_invA) || !spi_h5_number(file, stretch_name, &p->stretch) ||
        !(fabs(p->stretch) < 1))
        return spi_fail(SPI_EFORMAT,
                        "%s: the attributes %s and %s are no pixel size and no share of a "
                        "distance",
                        path, pixel_name, stretch_name);
    SPI_TRY(err = SPI_NEW(p->shift_invA, shape.dim[0], path), out);
    SPI_TRY(err = spi_h5_read(file, path, panels_name, H5T_NATIVE_DOUBLE, 2, shape.dim,
                              p->shift_invA),
            out);
    for (hsize_t i = 0; i < 2 * shape.dim[0]; i++)
        if (!isfinite(p->shift_invA[i / 2][i % 2]))
            return spi_fail(SPI_EFORMAT, "%s: %s of panel %d is no finite number", path,
                            panels_name, (int)(i / 2));
    p->panels = (int)shape.dim[0];
out:
    return err;
}

/* Where its beam was in each image. */
static spi_err read_drift(hid_t file, const char *path, struct spi_orientations *o)
{
    const hsize_t dim[2] = {(hsize_t)o->n, 2};
    spi_err err;

    if (!spi_h5_has(file, drift_name))
        return SPI_OK;
    SPI_TRY(err = SPI_NEW(o->drift, o->n, path), out);
    SPI_TRY(err = spi_h5_read(file, path, drift_name, H5T_NATIVE_DOUBLE, 2, dim, o->drift),
            out);
    for (int64_t i = 0; i < 2 * o->n; i++)
        if (!isfinite(o->drift[i / 2][i % 2]))
            return spi_fail(SPI_EFORMAT, "%s: %s of image %lld is no finite number", path,
                            drift_name, (long long)(i / 2));
out:
    return err;
}

/* The positions that both are beside. */
static spi_err read_placed(hid_t file, struct spi_places *p)
{
    char *text = NULL;
    spi_err err;

    if (!spi_h5_has_attribute(file, placed_name))
        return SPI_OK;
    if ((err = spi_h5_text(file, placed_name, &text)) == SPI_OK)
        snprintf(p->positions_sha256, sizeof p->positions_sha256, "%s", text ? text : "");
    free(text);
    return err;
}

/* An image file keeps its quaternions under truth/, and has no scores. */
static spi_err read_all(hid_t file, const char *path, struct spi_orientations *o)
{
    spi_err err;
    const char *name =
        spi_h5_has(file, "orientations") ? "orientations" : "truth/orientations";

    if (!spi_h5_has(file, name))
        name = "orientations"; /* so that the message names it */
    SPI_TRY(err = spi_read_quaternions(file, path, name, &o->n, &o->quat), out);
    SPI_TRY(err = read_floats(file, path, "score", o->n, &o->score), out);
    SPI_TRY(err = read_floats(file, path, "margin", o->n, &o->margin), out);
    SPI_TRY(err = read_floats(file, path, "fluence", o->n, &o->fluence), out);
    SPI_TRY(err = read_floats(file, path, "entropy", o->n, &o->entropy), out);
    SPI_TRY(err = read_floats(file, path, "misfit", o->n, &o->misfit), out);
    SPI_TRY(err = read_floats(file, path, "particle", o->n, &o->particle), out);
    SPI_TRY(err = read_bytes(file, path, "half", o->n, 2, &o->half), out);
    SPI_TRY(err = read_bytes(file, path, "aside", o->n, 5, &o->aside), out);
    SPI_TRY(err = check_fluence(path, o), out);
    SPI_TRY(err = read_centre(file, path, &o->moved), out);
    SPI_TRY(err = read_places(file, path, &o->places), out);
    SPI_TRY(err = read_drift(file, path, o), out);
    SPI_TRY(err = read_placed(file, &o->places), out);
    err = check_halves(path, o);
out:
    return err;
}

spi_err spi_orientations_read(const char *path, struct spi_orientations *o)
{
    spi_err err;
    hid_t file;

    *o = (struct spi_orientations){0};
    spi_h5_lock();
    err = spi_h5_open(path, &file);
    if (!err) {
        err = read_all(file, path, o);
        H5Fclose(file);
    }
    spi_h5_unlock();
    if (err)
        spi_orientations_clear(o);
    return err;
}

void spi_orientations_clear(struct spi_orientations *o)
{
    free(o->quat);
    free(o->score);
    free(o->margin);
    free(o->fluence);
    free(o->entropy);
    free(o->aside);
    free(o->misfit);
    free(o->particle);
    free(o->half);
    spi_places_clear(&o->places);
    free(o->drift);
    *o = (struct spi_orientations){0};
}
