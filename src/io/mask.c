#include "io/mask.h"

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

spi_err spi_mask_read(const char *name, int ny, int nx, uint8_t *mask)
{
    char path[SPI_PATH_MAX];
    const char *colon = strstr(name, ":/"), *dataset = colon ? colon + 1 : "mask";
    size_t n = (size_t)ny * (size_t)nx;
    int32_t *value;
    spi_err err;

    if (snprintf(path, sizeof path, "%.*s", colon ? (int)(colon - name) : (int)strlen(name),
                 name) >= (int)sizeof path)
        return spi_fail(SPI_EINVAL, "%.60s...: the name is too long", name);
    SPI_TRY(err = SPI_NEW(value, n, path), out);
    spi_h5_lock();
    err = read_dataset(path, dataset, ny, nx, value);
    spi_h5_unlock();
    for (size_t i = 0; !err && i < n; i++)
        mask[i] |= value[i] != 0;
out:
    free(value);
    return err;
}
