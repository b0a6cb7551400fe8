/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Kinds of files, told by name and first bytes.  Layer: io, below all readers (the kinds of
 * HDF5 files: io/h5_kind.h). */
#ifndef SPI_IO_KIND_H
#define SPI_IO_KIND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum spi_kind {
    SPI_KIND_UNKNOWN, /* HDF5 files among them */
    SPI_KIND_IMAGES,
    SPI_KIND_ORIENTATIONS,
    SPI_KIND_MAP,
    SPI_KIND_STATE,
    SPI_KIND_METRICS,
    SPI_KIND_STRUCTURE,
    SPI_KINDS
};

/** "images", "map" ...; NULL: SPI_KIND_UNKNOWN. */
const char *spi_kind_name(enum spi_kind kind);

/** The kind of a file that is not HDF5, from its name and its first n bytes (a zero behind
 * them). */
enum spi_kind spi_kind_of_bytes(const char *path, const char *head, size_t n);
/** The same, of a file that is not open.  SPI_EIO: it is not there or not a file. */
SPI_MUSTUSE spi_err spi_kind_of_file(const char *path, enum spi_kind *kind);

/** Does a name end as those of structures do (.pdb, .ent, .pdb1, .cif, .mmcif, with or
 * without .gz)? */
bool spi_kind_is_structure_name(const char *path);
/** Does a file of this first line hold a structure? */
bool spi_kind_is_structure_line(const char *line);

enum { SPI_HINT_MAX = 160 };
/** For the refusal of a file that is of another kind than needed: "; it holds a map, which
 *  compare, ... read", or "" where the kind is unknown. */
const char *spi_kind_hint(enum spi_kind kind, char text[SPI_HINT_MAX]);

#endif
