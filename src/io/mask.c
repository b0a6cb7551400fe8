#include "io/mask.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/h5.h"

/* With the lock held. */
static spi_err read_dataset(const char *path, const char *dataset, int ny, int nx,
                            int32_t *value)
{
    hid_t file;
    struct spi_h5_shape shape;
    const hsize_t dim[3] = {1, (hsize_t)ny, (hsize_t)nx};
    spi_err err = spi_h5_open(path, &file);

    if (err)
        return err;
    err = spi_h5_shape(file, path, dataset, &shape);
    if (!err && shape.type_class != H5T_INTEGER)
        err =
            spi_fail(SPI_EFORMAT, "%s: %s does not hold whole numbers; a mask is 0 or not",
                     path, dataset);
    if (!err) {
        int skip = shape.rank == 3 ? 0 : 1; /* (1, ny, nx) or (ny, nx) */

        err =
            spi_h5_read(file, path, dataset, H5T_NATIVE_INT32, 3 - skip, dim + skip, value);
    }
    H5Fclose(file);
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

spi_err spi_mask_read(const char *name, int ny, int nx, uint8_t *mask)
{
    char path[SPI_PATH_MAX];
    const char *dataset;
    size_t n = (size_t)ny * (size_t)nx;
    int32_t *value = NULL;
    spi_err err;

    SPI_TRY(err = split(name, path, &dataset), out);
    SPI_TRY(err = SPI_NEW(value, n, path), out);
    spi_h5_lock();
    err = read_dataset(path, dataset ? dataset : "mask", ny, nx, value);
    spi_h5_unlock();
    for (size_t i = 0; !err && i < n; i++)
        mask[i] |= value[i] != 0;
out:
    free(value);
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
