/** \file
 * Structures: PDB and mmCIF, plain or gzip.  Layer: io. */
#ifndef SPI_IO_ATOMS_H
#define SPI_IO_ATOMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct spi_atom {
    double x, y, z; /* A */
    float occupancy;
    float b_A2;      /* isotropic displacement parameter B, A^2 */
    uint8_t element; /* atomic number, 1..98 */
};

struct spi_structure {
    int64_t n;
    struct spi_atom *atom; /* [n], owned */
    char title[81];
    int64_t n_waters_skipped, n_altloc_skipped, n_hydrogens, n_elements_guessed;
};

struct spi_structure_options {
    int assembly;   /* 0: atoms as in the file; N: biological assembly N */
    bool waters;    /* keep HOH/WAT/DOD */
    bool hydrogens; /* keep hydrogens (true by default at the callers) */
};

/** Read a structure.  Alternate locations: of each residue's alternatives the one of
 * highest occupancy (ties: first letter).  Only the first MODEL.  A missing element column
 * is derived from the atom name (spi_warn says how many).  Messages name path and line.
 *  SPI_EIO: cannot be opened or read; SPI_EFORMAT: no atoms, a broken line, no such
 * assembly. */
SPI_MUSTUSE spi_err spi_structure_read(const char *path,
                                       const struct spi_structure_options *opt,
                                       struct spi_structure *out);
void spi_structure_clear(struct spi_structure *s);

/** Largest distance between two atoms, A (exact). */
double spi_structure_diameter_A(const struct spi_structure *s);
/** Shift the centre of (occupancy x atomic number) to the origin. */
void spi_structure_centre(struct spi_structure *s);

/** "C" of 6 and so on; "?" out of range. */
const char *spi_element_symbol(int z);
/** Atomic number of a symbol of 1-2 letters, any case; 0 if unknown. */
int spi_element_number(const char *symbol);

#endif
