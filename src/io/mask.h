/** \file
 * Pixel masks in HDF5.  Layer: io.  doc/formats.md. */
#ifndef SPI_IO_MASK_H
#define SPI_IO_MASK_H

#include <stdint.h>

#include "base/error.h"

/** Add the mask of a file to mask[ny][nx]: pixels whose value is not 0 (as in CXI)
 * become 1. `name` is "FILE" (dataset `mask`) or "FILE:/dataset"; the dataset's shape is
 * (ny, nx) or (1, ny, nx), whole numbers.  SPI_EIO, SPI_EFORMAT. */
SPI_MUSTUSE spi_err spi_mask_read(const char *name, int ny, int nx, uint8_t *mask);

#endif
