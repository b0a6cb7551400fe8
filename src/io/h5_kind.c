/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/h5_kind.h"

#include <stdio.h>

#include "io/source.h"

enum spi_kind spi_h5_kind_of(const struct spi_peek *p)
{
    static const char *const orientations[] = {"orientations", "truth/orientations", NULL};

    return spi_source_format_of(p)         ? SPI_KIND_IMAGES
           : spi_peek_has(p, orientations) ? SPI_KIND_ORIENTATIONS
           : p->hdf5                       ? SPI_KIND_UNKNOWN
                                           : spi_kind_of_bytes(p->path, p->head, p->n);
}

const char *spi_h5_kind_hint(const char *path, char text[SPI_HINT_MAX])
{
    struct spi_peek p;

    *text = 0;
    if (spi_peek_open(path, &p) != SPI_OK)
        return text;
    if (p.err)
        snprintf(text, SPI_HINT_MAX, "; it is an HDF5 file that cannot be opened");
    else
        spi_kind_hint(spi_h5_kind_of(&p), text);
    spi_peek_close(&p);
    return text;
}
