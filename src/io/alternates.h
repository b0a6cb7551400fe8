/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Alternate locations: of each residue's alternatives one is kept.  Layer: io. */
#ifndef SPI_IO_ALTERNATES_H
#define SPI_IO_ALTERNATES_H

#include "io/atoms_raw.h"

/** Of each residue's alternatives that of highest occupancy stays (ties: first letter); the
 * atoms of the others get element 0.  *dropped: how many.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_raw_choose_alternates(struct spi_raw_structure *raw,
                                              int64_t *dropped);

#endif
