/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/mask.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/h5.h"

/* Has the dataset one value for each pixel of (panels, ny, nx)?  (ny, nx) for one panel,
 * and panels stacked as (panels * ny, nx), have the same order. */
static bool fits(const struct spi_h5_shape *s, int panels, int ny, int nx)
{
    const hsize_t p = (hsize_t)panels, y = (hsize_t)ny, x = (hsize_t)nx;

    return (s->rank == 3 && s->dim[0] == p && s->dim[1] == y && s->dim[2] == x) ||
           (s->rank == 2 && s->dim[0] == p * y && s->dim[1] == x);
}

/* Masks of bits (PyTables' bool) have no conversion to numbers in HDF5. */
static spi_err read_bits(hid_t file, const char *path, const char *name,
                         const struct spi_h5_shape *s, double *value, int64_t n)
{
    uint8_t *bits = (uint8_t *)value;
    spi_err err = spi_h5_read(file, path, name, H5T_NATIVE_B8, s->rank, s->dim, bits);

    for (int64_t i = n - 1; i >= 0 && !err; i--) /* each is wider than what it came from */
        value[i] = bits[i];
    return err;
}

spi_err spi_mask_dataset(hid_t file, const char *path, const char *name, int panels, int ny,
                         int nx, uint32_t hiding, uint8_t *mask)
{
    const int64_t n = (int64_t)panels * ny * nx;
    struct spi_h5_shape s;
    double *value = NULL;
    char text[256];
    spi_err err;

    SPI_TRY(err = spi_h5_shape(file, path, name, &s), out);
    if (!fits(&s, panels, ny, nx)) {
        err =
            spi_fail(SPI_EFORMAT,
                     "%s: dataset '%s' has shape %s; need (%d, %d, %d)%s: one mask for all "
                     "images",
                     path, name, spi_h5_shape_text(s.rank, s.dim, text), panels, ny, nx,
                     panels == 1 ? " or without its first axis" : "");
        goto out;
    }
    SPI_TRY(err = SPI_NEW(value, n, path), out);
    SPI_TRY(
        err = s.type_class == H5T_BITFIELD && s.type_size == 1
                  ? read_bits(file, path, name, &s, value, n)
                  : spi_h5_read(file, path, name, H5T_NATIVE_DOUBLE, s.rank, s.dim, value),
        out);
    for (int64_t i = 0; i < n; i++) {
        double v = value[i];

        if (!(v == floor(v))) { /* also NaN */
            err =
                spi_fail(SPI_EFORMAT,
                         "%s: dataset '%s' holds %g (panel %lld, row %lld, column %lld); a "
                         "mask holds whole numbers, 0 = good (weights go to merge "
                         "--weights)",
                         path, name, v, (long long)(i / ((int64_t)ny * nx)),
                         (long long)(i / nx % ny), (long long)(i % nx));
            goto out;
        }
        mask[i] |= v < 0 || v > UINT32_MAX || ((uint32_t)v & hiding) != 0;
    }
out:
    free(value);
    return err;
}

/* "FILE" or "FILE:/dataset"; *dataset is NULL for the first. */
static spi_err split(const char *name, char path[SPI_PATH_MAX], const char **dataset)
{
    const char *colon = strstr(name, ":/");
    int length = colon ? (int)(colon - name) : (int)strlen(name);

    *dataset = colon ? colon + 1 : NULL;
    if (snprintf(path, SPI_PATH_MAX, "%.*s", length, name) >= SPI_PATH_MAX)
        return spi_fail(SPI_EINVAL, "%.60s...: the name is too long", name);
    return SPI_OK;
}

spi_err spi_mask_read(const char *name, int panels, int ny, int nx, uint8_t *mask)
{
    char path[SPI_PATH_MAX];
    const char *dataset;
    hid_t file = -1;
    spi_err err = split(name, path, &dataset);

    if (err)
        return err;
    spi_h5_lock();
    err = spi_h5_open(path, &file);
    if (!err)
        err = spi_mask_dataset(file, path, dataset ? dataset : "mask", panels, ny, nx,
                               SPI_MASK_ANY, mask);
    if (file >= 0)
        H5Fclose(file);
    spi_h5_unlock();
    return err;
}

/* With the lock held. */
static spi_err read_weights(const char *path, const char *dataset, int panels, int ny,
                            int nx, float *weight)
{
    hid_t file;
    struct spi_h5_shape shape;
    const hsize_t dim[3] = {(hsize_t)panels, (hsize_t)ny, (hsize_t)nx};
    spi_err err = spi_h5_open(path, &file);

    if (err)
        return err;
    err = spi_h5_shape(file, path, dataset, &shape);
    if (!err) {
        int skip = panels == 1 && shape.rank == 2;

        err = spi_h5_read(file, path, dataset, H5T_NATIVE_FLOAT, 3 - skip, dim + skip,
                          weight);
    }
    H5Fclose(file);
    return err;
}

spi_err spi_weights_read(const char *name, int panels, int ny, int nx, float *weight)
{
    char path[SPI_PATH_MAX];
    const char *dataset;
    int64_t n = (int64_t)panels * ny * nx;
    spi_err err = split(name, path, &dataset);

    if (err)
        return err;
    dataset = dataset ? dataset : "weights";
    spi_h5_lock();
    err = read_weights(path, dataset, panels, ny, nx, weight);
    spi_h5_unlock();
    for (int64_t p = 0; p < n && !err; p++)
        if (!(weight[p] >= 0) || isinf(weight[p]))
            err = spi_fail(SPI_EFORMAT, "%s: %s: pixel %lld is %g; need 0 or more", path,
                           dataset, (long long)p, (double)weight[p]);
    return err;
}
