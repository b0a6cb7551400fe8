/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Structures in PDB format 3.3.  Layer: io. */
#ifndef SPI_IO_PDB_H
#define SPI_IO_PDB_H

#include "io/atoms_raw.h"
#include "io/line_reader.h"

/** Read all atoms, operators and chains of a PDB file.  SPI_EIO, SPI_EFORMAT, SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_pdb_read(struct spi_line_reader *l, struct spi_raw_structure *raw);

#endif
