/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the readers of PDB and mmCIF fill: atoms as written, with what is needed to guess
 * elements (atoms_guess.h), to choose alternates (alternates.h) and to build assemblies
 * (assembly.h).  Layer: io (for those and for atoms.c, which calls them). */
#ifndef SPI_IO_ATOMS_RAW_H
#define SPI_IO_ATOMS_RAW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "io/atom.h"
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
    bool all_models;  /* all of them are wanted */
    int model_wanted; /* otherwise: 0: the first, or a number */
    int *model;       /* [n_models], owned */
    int64_t n_models, model_cap;
    int current;  /* from 1; 0: none yet */
    bool take;    /* its atoms are wanted */
    bool taken;   /* those of one were */
    bool columns; /* names are the columns of PDB */
};

/** A model of this number begins.  `again`: if there was one of that number, it goes on. */
SPI_MUSTUSE spi_err spi_raw_model(const struct spi_line_reader *l,
                                  struct spi_raw_structure *raw, int number, bool again);
/** Limits, some times what the largest structures have: a small file may ask for any work.
 */
enum { SPI_OPERATORS_MAX = 10000, SPI_GENERATORS_MAX = 10000, SPI_CHAINS_MAX = 1000000 };

/** Release what the struct owns. */
void spi_raw_clear(struct spi_raw_structure *raw);

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
/** Copy without blanks at both ends, cut at size - 1. */
void spi_raw_trim(const char *from, size_t n, char *to, size_t size);

/** "1, 2, 5": a list of numbers for a message, as far as they fit. */
struct spi_raw_numbers {
    char text[200];
    size_t used;
};
/** Add one number to the list. */
void spi_raw_add_number(struct spi_raw_numbers *to, int number);

/** Coordinates that no particle has, A. */
#define SPI_COORDINATE_MAX 1e6

#endif
