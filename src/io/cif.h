/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Structures in mmCIF.  Layer: io. */
#ifndef SPI_IO_CIF_H
#define SPI_IO_CIF_H

#include "io/atoms_raw.h"
#include "io/line_reader.h"

/** Operators are resolved only for the assembly asked for (0: none). */
SPI_MUSTUSE spi_err spi_cif_read(struct spi_line_reader *l, int assembly,
                                 struct spi_raw_structure *raw);

#endif
