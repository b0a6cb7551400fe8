/** \file
 * Fingerprints of input files, for the provenance of every output.  Layer: io. */
#ifndef SPI_IO_HASH_H
#define SPI_IO_HASH_H

#include "base/error.h"

/** SHA-256 (FIPS 180-4) of a file's bytes as 64 lower-case hexadecimal digits; read in
 *  blocks.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_file_sha256(const char *path, char hex[65]);

#endif
