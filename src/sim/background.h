/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Light that does not come from the particle.  Layer: sim.  doc/math.md (S15), (S16). */
#ifndef SPI_SIM_BACKGROUND_H
#define SPI_SIM_BACKGROUND_H

#include "io/images.h"

/** Names of the shapes, "flat|gas|streak|panels". */
extern const char spi_background_shapes[];

/** B [n_pixels] of a shape (S16), or of a file ("FILE" or "FILE:/dataset", of the
 * detector's shape, values >= 0; io/mask.h: spi_weights_read): the sum over the usable
 * pixels is 1.  SPI_EUSAGE: no such shape; SPI_EFORMAT: it is zero on the usable pixels. */
SPI_MUSTUSE spi_err spi_background_make(const char *shape, const struct spi_detector *det,
                                        float *B);

#endif
