/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What a probe sees of a file: its name, its first bytes and, of HDF5, the open file.
 * Layer: io. */
#ifndef SPI_IO_PEEK_H
#define SPI_IO_PEEK_H

#include "io/h5.h"

enum { SPI_PEEK_BYTES = 512 };

struct spi_peek {
    const char *path; /* borrowed */
    char head[SPI_PEEK_BYTES + 1];
    size_t n;    /* bytes of head */
    bool hdf5;   /* begins as HDF5 does */
    hid_t file;  /* -1: not HDF5, or taken over, or it cannot be opened: */
    spi_err err; /* why, the message is still that of spi_err_message */
};

/** SPI_EIO: cannot be read, not a file, empty.  Not to be called with the lock of HDF5
 * held, if the file is HDF5. */
SPI_MUSTUSE spi_err spi_peek_open(const char *path, struct spi_peek *p);
/** Close what is open. */
void spi_peek_close(struct spi_peek *p);
/** Is one of these datasets there? */
bool spi_peek_has(const struct spi_peek *p, const char *const *names);

#endif
