/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * An open set of images, and what those who read images share.  Layer: io; only images*.c,
 * survey*.c, orient.c and layout_*.c. */
#ifndef SPI_IO_IMAGES_PRIV_H
#define SPI_IO_IMAGES_PRIV_H

#include "io/repair.h"
#include "io/source.h"

struct spi_images {
    char *path;                             /* owned */
    const struct spi_source_format *format; /* borrowed */
    void *self;                             /* of the format; NULL: not open */
    struct spi_source s;
    double *told; /* owned: q of all pixels before panels were placed; NULL: none was */
    double (*drift)[2];        /* [images], owned: of the beam; NULL: it stays */
    struct spi_repair *repair; /* owned; NULL: a value that is no measurement is an error */
};

/** What the file holds, not yet checked: all pixels, also bad ones. */
SPI_MUSTUSE spi_err spi_images_read_raw(const struct spi_images *im, int64_t first,
                                        int64_t n, float *out);

/** "panel 0, row 3, column 7" of a pixel of a detector. */
void spi_pixel_text(const struct spi_detector *d, int64_t pixel, char text[96]);

/** Quaternions of shape (n,4) or (n,k,4) (the first of k particles, with a warning),
 * checked and made unit: quat[n][4], new.  n = 0: take n from the dataset.  SPI_EFORMAT. */
SPI_MUSTUSE spi_err spi_read_quaternions(hid_t file, const char *path, const char *name,
                                         int64_t *n, double **quat);

#endif
