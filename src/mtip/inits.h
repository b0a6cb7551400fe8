/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Random initialisations compared: which leads, and whether more are needed.  Layer: mtip.
 * doc/math.md section 7. */
#ifndef SPI_MTIP_INITS_H
#define SPI_MTIP_INITS_H

#include "mtip/run.h"

/** The replica of each half set with the best score becomes the leading one. */
void spi_inits_lead(struct spi_run *r);
/** Score every replica of this round on the held-out images, take the best of each half set
 * and ask whether both are the same particle: r->leading, r->halves_cc, r->pose.R. */
SPI_MUSTUSE spi_err spi_inits_select(struct spi_run *r, const struct spi_step *step);
/** Whether the two best replicas of each half set are one model: then further random
 * initialisations would find the same, and the images limit how well the half sets agree.
 */
SPI_MUSTUSE spi_err spi_inits_repeat(const struct spi_run *r, bool *repeat);

#endif
