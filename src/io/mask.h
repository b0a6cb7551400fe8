/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Pixel masks and weights in HDF5.  Layer: io.  doc/formats.md. */
#ifndef SPI_IO_MASK_H
#define SPI_IO_MASK_H

#include <stdint.h>

#include "base/error.h"
#include "io/h5.h"

enum { SPI_MASK_ANY = -1 }; /* as bits: any of them hides a pixel */

/** Add the mask of a file to mask[panels][ny][nx]: pixels whose value is not 0 (as in CXI)
 *  become 1.  `name` is "FILE" (dataset `mask`) or "FILE:/dataset"; the dataset has the
 * shape (panels, ny, nx) or (panels * ny, nx), and any type of numbers or bool, but only
 * whole values. SPI_EIO, SPI_EFORMAT. */
SPI_MUSTUSE spi_err spi_mask_read(const char *name, int panels, int ny, int nx,
                                  uint8_t *mask);

/** The same of a dataset of an open file, with the HDF5 lock held.  Only the bits of
 * `hiding` hide a pixel. */
SPI_MUSTUSE spi_err spi_mask_dataset(hid_t file, const char *path, const char *name,
                                     int panels, int ny, int nx, uint32_t hiding,
                                     uint8_t *mask);

/** Weights of pixels, real numbers >= 0, from a dataset of the shape (panels, ny, nx), or
 *  (ny, nx) for one panel: "FILE" (dataset `weights`) or "FILE:/dataset".  SPI_EIO,
 *  SPI_EFORMAT: the message names the first that is negative or not finite. */
SPI_MUSTUSE spi_err spi_weights_read(const char *name, int panels, int ny, int nx,
                                     float *weight);

#endif
