/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Multitiered iterative phasing.  Layer: mtip.  doc/math.md section 7.
 * Donatelli, Sethian and Zwart, PNAS 114 (2017) 7222; Chang et al., arXiv:2109.05339 (2021).
 *
 * Two half sets of the images are reconstructed from generation 0 without seeing each
 * other; their agreement is what tells, without any truth, whether and how far it worked.
 */
#ifndef SPI_MTIP_MTIP_H
#define SPI_MTIP_MTIP_H

#include "mtip/run.h"

/** After each generation; the state has been advanced.  SPI_ECANCEL stops the loop. */
typedef spi_err spi_on_generation(struct spi_run *run,
                                  const struct spi_generation_report *report, void *user);

/** The loop: merge, phase, slice, match until the half maps no longer improve.  SPI_ENOCONV
 *  when the halves never agree.  SPI_OK with r->refined_A > 0: the random initialisations
 * show another diameter, with which data and run are to be made anew. */
SPI_MUSTUSE spi_err spi_mtip_run(struct spi_run *r, spi_on_generation *report, void *user);

#endif
