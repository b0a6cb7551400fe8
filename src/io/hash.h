/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Fingerprints of input files, for the provenance of every output.  Layer: io. */
#ifndef SPI_IO_HASH_H
#define SPI_IO_HASH_H

#include <stddef.h>

#include "base/error.h"

/** SHA-256 (FIPS 180-4) of a file's bytes as 64 lower-case hexadecimal digits; read in
 *  blocks.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_file_sha256(const char *path, char hex[65]);

/** SHA-256 of a file (n = 0), or of the fingerprints of the file and of n more, in that
 * order: one fingerprint for what is spread over several files.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_files_sha256(const char *path, int n, char *const *more,
                                     char hex[65]);
/** SHA-256 of bytes in memory. */
void spi_bytes_sha256(size_t n, const void *bytes, char hex[65]);

#endif
