/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Biological assemblies: copies of chains, moved by operators.  Layer: io. */
#ifndef SPI_IO_ASSEMBLY_H
#define SPI_IO_ASSEMBLY_H

#include "io/atoms_raw.h"

/** The atoms of an assembly (0: as they are in the file) without those of element 0:
 * (*atom)[*n_atoms], new; both are zero before.  SPI_EINVAL: no such assembly; SPI_EFORMAT:
 * no atoms, or more than the limit; SPI_ENOMEM: more than memory holds, found before it is
 * asked for. */
SPI_MUSTUSE spi_err spi_raw_assemble(const char *path, const struct spi_raw_structure *raw,
                                     int assembly, struct spi_atom **atom,
                                     int64_t *n_atoms);

#endif
