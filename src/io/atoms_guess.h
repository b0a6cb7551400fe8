/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Elements that a file does not name, from the names of its atoms and residues.  Layer: io.
 */
#ifndef SPI_IO_ATOMS_GUESS_H
#define SPI_IO_ATOMS_GUESS_H

#include "io/atoms_raw.h"

/** Elements of the atoms that have none yet; one line of warning lists them.  SPI_EFORMAT: a
 * name that no element fits, with its line. */
SPI_MUSTUSE spi_err spi_raw_guess_elements(const char *path, struct spi_raw_structure *raw,
                                           int64_t *n_guessed);
/** Waters of PDB, and those of simulation programs, whose atoms' names tell them. */
bool spi_raw_is_water(const char *resname, const char *name);
/** Is this the name of a residue of proteins, nucleic acids or water? */
bool spi_raw_is_known(const char *resname);

#endif
