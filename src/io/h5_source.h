/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the formats of images in HDF5 share: the open file, its lock, its images by rows.
 * Layer: io; only layout_*.c. */
#ifndef SPI_IO_H5_SOURCE_H
#define SPI_IO_H5_SOURCE_H

#include "io/source.h"

/** `self` of such a format. */
struct spi_h5_source {
    const char *path; /* borrowed */
    int64_t n;
    hid_t file;               /* owned */
    struct spi_h5_rows *rows; /* the images, owned */
    const char *data_name;    /* borrowed: "photons" ... */
    struct spi_source *s;     /* while it is opened: to be filled */
};

/** Take over the file of `p` and fill s by `fill`, which has the lock and makes `rows` too;
 * besides the attributes of the root and the other files that values lie in. */
SPI_MUSTUSE spi_err spi_h5_source_open(struct spi_peek *p, struct spi_source *s,
                                       spi_err (*fill)(struct spi_h5_source *h),
                                       void **self);
/** read and close of a row. */
SPI_MUSTUSE spi_err spi_h5_source_read(void *self, int64_t first, int64_t n, float *out);
/** Close the file, release what self owns. */
void spi_h5_source_close(void *self);

#endif
