/** \file
 * Pixel masks and weights in HDF5.  Layer: io.  doc/formats.md. */
#ifndef SPI_IO_MASK_H
#define SPI_IO_MASK_H

#include <stdint.h>

#include "base/error.h"

/** Add the mask of a file to mask[ny][nx]: pixels whose value is not 0 (as in CXI)
 * become 1. `name` is "FILE" (dataset `mask`) or "FILE:/dataset"; the dataset's shape is
 * (ny, nx) or (1, ny, nx), whole numbers.  SPI_EIO, SPI_EFORMAT. */
SPI_MUSTUSE spi_err spi_mask_read(const char *name, int ny, int nx, uint8_t *mask);

/** Weights of pixels, real numbers >= 0, from a dataset of the shape (panels, ny, nx), or
 *  (ny, nx) for one panel: "FILE" (dataset `weights`) or "FILE:/dataset".  SPI_EIO,
 *  SPI_EFORMAT: the message names the first that is negative or not finite. */
SPI_MUSTUSE spi_err spi_weights_read(const char *name, int panels, int ny, int nx,
                                     float *weight);

#endif
