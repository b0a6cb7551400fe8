/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Structures: PDB and mmCIF, plain or gzip.  Layer: io. */
#ifndef SPI_IO_ATOMS_H
#define SPI_IO_ATOMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "io/atom.h"

struct spi_structure {
    int64_t n;
    struct spi_atom *atom; /* [n], owned */
    char title[81];
    int64_t n_waters_skipped, n_altloc_skipped, n_hydrogens, n_elements_guessed;
    int64_t n_unoccupied; /* of occupancy 0: they do not scatter */
    int64_t n_models;     /* in the file */
};

struct spi_structure_options {
    int assembly;   /* 0: atoms as in the file; N: biological assembly N */
    bool waters;    /* keep HOH/WAT/DOD */
    bool hydrogens; /* keep hydrogens (true by default at the callers) */
    int models;     /* 0: the first; SPI_MODELS_ALL; N: that which the file calls N */
};
enum { SPI_MODELS_ALL = -1 };

/** Read a structure.  Alternate locations: of each residue's alternatives the one of
 * highest occupancy (ties: first letter).  An element that the file does not name is
 * guessed from the names of atom and residue.  A warning (base/log.h) says what was
 * guessed, that further models are left out, and that atoms have occupancy 0.  Messages
 * name path and line.  SPI_EIO: cannot be opened or read; SPI_EFORMAT: no atoms, a broken
 * line, all occupancies 0, more atoms or operators than the limits; SPI_EINVAL: no such
 * assembly or model; SPI_ENOMEM: more atoms than memory holds, found before it is asked
 * for. */
SPI_MUSTUSE spi_err spi_structure_read(const char *path,
                                       const struct spi_structure_options *opt,
                                       struct spi_structure *out);
/** Release what the struct owns. */
void spi_structure_clear(struct spi_structure *s);

/** Is the file a structure, by its name (.pdb, .ent, .pdb1, .cif, .mmcif, with or without
 * .gz) or, for other names, by its first words? */
bool spi_structure_is(const char *path);

/** Largest distance between two atoms, A (exact).  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_structure_diameter_A(const struct spi_structure *s,
                                             double *diameter);
/** Shift the centre of (occupancy x atomic number) to the origin. */
void spi_structure_centre(struct spi_structure *s);

#endif
