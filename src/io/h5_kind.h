/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Kinds of files, HDF5 among them, told without a reader.  Layer: io. */
#ifndef SPI_IO_H5_KIND_H
#define SPI_IO_H5_KIND_H

#include "io/kind.h"
#include "io/peek.h"

/** The kind of a file that was looked at. */
enum spi_kind spi_h5_kind_of(const struct spi_peek *p);

/** spi_kind_hint of any file; "" as well where it cannot be read.  Not to be called with the
 * lock of HDF5 held, if the file is HDF5. */
const char *spi_h5_kind_hint(const char *path, char text[SPI_HINT_MAX]);

#endif
