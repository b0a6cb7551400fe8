/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What is in a file, for `spinifel info`.  Layer: io. */
#ifndef SPI_IO_INFO_H
#define SPI_IO_INFO_H

#include <jansson.h>

#include "base/error.h"

/** Describe any file that the program knows (a table in info.c): kind, shape, units,
 *  statistics, provenance.  *out: a new object; release with json_decref.  Every object has
 *  `kind` and `file`; names carry their units.  SPI_EIO, SPI_EFORMAT: the message of the
 * reader of that kind, or that the file is of no known kind. */
SPI_MUSTUSE spi_err spi_file_info(const char *path, json_t **out);

#endif
