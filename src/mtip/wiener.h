/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * How much of the half sets' models is signal, and how much noise.  Layer: mtip.
 * doc/math.md (Q27).
 *
 * Images are compared with a model whose structure is as large as its signal (a Wiener
 * filter): the noise of a model says nothing of an image, and where it is larger than the
 * signal it leads images astray. */
#ifndef SPI_MTIP_WIENER_H
#define SPI_MTIP_WIENER_H

#include "mtip/run.h"

/** signal [R]: on each of the first R rings the share of the variance of the models A of the
 * two half sets, superposed by r->pose, that is signal, 0...1.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_wiener_find(const struct spi_run *r,
                                    const struct spi_volume *const A[2], int R,
                                    float *signal);

#endif
