/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/peek.h"

#include <stdio.h>

#include "io/file.h"

spi_err spi_peek_open(const char *path, struct spi_peek *p)
{
    spi_err err;
    FILE *fp;

    *p = (struct spi_peek){.path = path, .file = -1};
    if ((err = spi_file_check(path)))
        return err;
    fp = fopen(path, "rb");
    if (!fp)
        return spi_fail(SPI_EIO, "%s: cannot be read", path);
    p->n = fread(p->head, 1, SPI_PEEK_BYTES, fp);
    fclose(fp);
    p->hdf5 = spi_h5_signature(path);
    if (!p->hdf5)
        return SPI_OK;
    spi_h5_lock();
    p->err = spi_h5_open(path, &p->file);
    spi_h5_unlock();
    return SPI_OK;
}

void spi_peek_close(struct spi_peek *p)
{
    if (p->file < 0)
        return;
    spi_h5_lock();
    H5Fclose(p->file);
    spi_h5_unlock();
    p->file = -1;
}

bool spi_peek_has(const struct spi_peek *p, const char *const *names)
{
    bool yes = false;

    if (p->file < 0)
        return false;
    spi_h5_lock();
    for (; *names && !yes; names++)
        yes = spi_h5_has(p->file, *names);
    spi_h5_unlock();
    return yes;
}
