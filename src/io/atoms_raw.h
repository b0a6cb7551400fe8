/** \file
 * What the PDB and mmCIF readers hand to atoms.c: atoms as written, with what is needed to
 * choose alternates and to build assemblies.  Layer: io (private to atoms.c, pdb.c, cif.c).
 */
#ifndef SPI_IO_ATOMS_RAW_H
#define SPI_IO_ATOMS_RAW_H

#include "io/atoms.h"
#include "io/lines.h"

enum { SPI_NAME = 16, SPI_TITLE = 81 };

struct spi_raw_atom {
    struct spi_atom atom;
    char chain[SPI_NAME];   /* "" if blank */
    char residue[SPI_NAME]; /* number and insertion code */
    char altloc[4];         /* "" if none */
    bool water;
};

/** x' = R x + t. */
struct spi_raw_operator {
    double R[9], t[3];
};

/** Operators applied to a list of chains, for one biological assembly. */
struct spi_raw_generator {
    int assembly; /* -1: its name is not a number */
    bool all_chains;
    char (*chain)[SPI_NAME]; /* [n_chains], owned */
    int64_t n_chains, chain_cap;
    struct spi_raw_operator *op; /* [n_ops], owned */
    int64_t n_ops, op_cap;
};

struct spi_raw_structure {
    struct spi_raw_atom *atom; /* [n], owned */
    int64_t n, cap;
    struct spi_raw_generator *generator; /* [n_generators], owned */
    int64_t n_generators, generator_cap;
    char title[SPI_TITLE];
    int64_t n_guessed;
};

SPI_MUSTUSE spi_err spi_pdb_read(struct spi_lines *l, struct spi_raw_structure *raw);
/** Operators are resolved only for the assembly asked for (0: none). */
SPI_MUSTUSE spi_err spi_cif_read(struct spi_lines *l, int assembly,
                                 struct spi_raw_structure *raw);

/** Room for one more; the element is zero.  NULL: out of memory. */
struct spi_raw_atom *spi_raw_add_atom(struct spi_raw_structure *raw);
struct spi_raw_generator *spi_raw_add_generator(struct spi_raw_structure *raw);
SPI_MUSTUSE spi_err spi_raw_add_operator(struct spi_raw_generator *g,
                                         const struct spi_raw_operator *op);
/** Add the names of a list separated by commas or blanks. */
SPI_MUSTUSE spi_err spi_raw_add_chains(struct spi_raw_generator *g, const char *list);

/** Is R a rotation, to 1 %? */
bool spi_raw_is_rotation(const double R[9]);
/** Text to a finite number in lo..hi; blank text is `blank`, if that is finite. */
SPI_MUSTUSE spi_err spi_raw_number(const struct spi_lines *l, const char *name,
                                   const char *text, double blank, double lo, double hi,
                                   double *out);
/** Element from an atom name; `columns` is the name in its four PDB columns or NULL.
 *  0 if it cannot be told. */
int spi_raw_guess_element(const char *columns, const char *name, const char *resname);
bool spi_raw_is_water(const char *resname);
/** Copy without blanks at both ends, cut at size - 1. */
void spi_raw_trim(const char *from, size_t n, char *to, size_t size);

/** Coordinates that no particle has, A. */
#define SPI_COORDINATE_MAX 1e6

#endif
