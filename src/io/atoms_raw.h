/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the PDB and mmCIF readers hand to atoms.c: atoms as written, with what is needed to
 * choose alternates and to build assemblies.  Layer: io (private to atoms.c, pdb.c, cif.c).
 */
#ifndef SPI_IO_ATOMS_RAW_H
#define SPI_IO_ATOMS_RAW_H

#include "io/atoms.h"
#include "io/line_reader.h"

enum { SPI_NAME = 16, SPI_TITLE = 81 };

struct spi_raw_atom {
    struct spi_atom atom;   /* element 0: to be guessed from the names */
    char chain[SPI_NAME];   /* "" if blank */
    char residue[SPI_NAME]; /* number and insertion code */
    char altloc[4];         /* "" if none */
    char symbol[4];         /* what stands in place of the element */
    char name[8];           /* of PDB the four columns with their blanks */
    char resname[8];
    int model; /* from 1, in the order of the file */
    bool water;
    int64_t line;
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
    int64_t n_chains; /* in the lists of all generators */
    char title[SPI_TITLE];
    /* models: the numbers that the file gives them, and the one being read */
    int models_wanted; /* 0: the first; SPI_MODELS_ALL; or a number */
    int *model;        /* [n_models], owned */
    int64_t n_models, model_cap;
    int current;  /* from 1; 0: none yet */
    bool take;    /* its atoms are wanted */
    bool taken;   /* those of one were */
    bool columns; /* names are the columns of PDB */
};

/** Read all atoms, operators and chains of a PDB file.  SPI_EIO, SPI_EFORMAT, SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_pdb_read(struct spi_line_reader *l, struct spi_raw_structure *raw);
/** Operators are resolved only for the assembly asked for (0: none). */
SPI_MUSTUSE spi_err spi_cif_read(struct spi_line_reader *l, int assembly,
                                 struct spi_raw_structure *raw);

/** A model of this number begins.  `again`: if there was one of that number, it goes on. */
SPI_MUSTUSE spi_err spi_raw_model(const struct spi_line_reader *l,
                                  struct spi_raw_structure *raw, int number, bool again);
/** Limits, some times what the largest structures have: a small file may ask for any work.
 */
enum { SPI_OPERATORS_MAX = 10000, SPI_GENERATORS_MAX = 10000, SPI_CHAINS_MAX = 1000000 };

/** Room for one more; the element is zero.  NULL: out of memory. */
struct spi_raw_atom *spi_raw_add_atom(struct spi_raw_structure *raw);
/** SPI_EFORMAT: more of them than a structure has. */
SPI_MUSTUSE spi_err spi_raw_add_generator(const struct spi_line_reader *l,
                                          struct spi_raw_structure *raw,
                                          struct spi_raw_generator **out);
/** Add one operator to a generator.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_raw_add_operator(struct spi_raw_generator *g,
                                         const struct spi_raw_operator *op);
/** Add the names of a list separated by commas or blanks.  SPI_EFORMAT: as for generators.
 */
SPI_MUSTUSE spi_err spi_raw_add_chains(const struct spi_line_reader *l,
                                       struct spi_raw_structure *raw,
                                       struct spi_raw_generator *g, const char *list);

/** Is R a rotation, to 1 %? */
bool spi_raw_is_rotation(const double R[9]);
/** Text to a finite number in lo..hi; blank text is `blank`, if that is finite. */
SPI_MUSTUSE spi_err spi_raw_number(const struct spi_line_reader *l, const char *name,
                                   const char *text, double blank, double lo, double hi,
                                   double *out);
/** Element of a symbol that may carry a charge ("CA2+", "O1-"); 0 if it is none. */
int spi_raw_element(const char *symbol);
/** Elements that no symbol names, from the names of atoms and residues (atoms_guess.c): one
 *  line of warning lists them.  SPI_EFORMAT: a name that no element fits, with its line. */
SPI_MUSTUSE spi_err spi_raw_guess_elements(const char *path, struct spi_raw_structure *raw,
                                           int64_t *n_guessed);
/** Waters of PDB, and those of simulation programs, whose atoms' names tell them. */
bool spi_raw_is_water(const char *resname, const char *name);
/** Is this the name of a residue of proteins, nucleic acids or water? */
bool spi_raw_is_known(const char *resname);
/** Copy without blanks at both ends, cut at size - 1. */
void spi_raw_trim(const char *from, size_t n, char *to, size_t size);

/** Coordinates that no particle has, A. */
#define SPI_COORDINATE_MAX 1e6

#endif
