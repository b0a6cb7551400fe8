/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the files of the coat over HDF5 share.  Layer: io; only h5*.c.  The lock is held. */
#ifndef SPI_IO_H5_PRIV_H
#define SPI_IO_H5_PRIV_H

#include "io/h5.h"

enum { SPI_H5_NAME_MAX = 1024 };

/** Open a dataset whose values can all be had: links lead somewhere, filters and the
 * sources of virtual datasets are there, raw files are allowed.  SPI_EFORMAT names what is
 * not. */
SPI_MUSTUSE spi_err spi_h5_open_dataset(hid_t file, const char *path, const char *name,
                                        hid_t *data);
/** SPI_EFORMAT: too few bytes are stored for the shape. */
SPI_MUSTUSE spi_err spi_h5_check_stored(hid_t data, hid_t create, const char *path,
                                        const char *name);

/** Open every object of a file in a child process first.  SPI_EFORMAT: HDF5 crashes there,
 *  or does not end within 3 s of computing, or needs
 *  more than 1 GB. */
SPI_MUSTUSE spi_err spi_h5_guard(const char *path);

#endif
