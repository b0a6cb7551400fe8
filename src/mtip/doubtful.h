/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Images that took no part in the loop because they do not look like the others.  Layer:
 * mtip.  doc/math.md (Q22).
 *
 * When the models are finished these images are matched with them as a model that is given
 * is matched; the inspection of the map then says which of them show the particle. */
#ifndef SPI_MTIP_DOUBTFUL_H
#define SPI_MTIP_DOUBTFUL_H

#include "mtip/run.h"

/** Orientations and fluences of the doubtful images of both half sets, against the leading
 * models, in the steps of frequency marching and one of refinement. */
SPI_MUSTUSE spi_err spi_doubtful_match(struct spi_run *r);

#endif
