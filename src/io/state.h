/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * State of a run: named arrays in one file, written atomically.  Layer: io.
 *
 * Native byte order: "spinifel-state2\0", text of the program's version and revision, text
 * of the key, then for each item its name, size and data, and a CRC-32 of everything at the
 * end. A state of another version is refused (items are structs of this one), and so is one
 * whose key (images, settings, seed) differs: it belongs to another run.  A key has lines
 * "NAME = VALUE  # remark" below "[SECTION]"; the refusal names those that differ. */
#ifndef SPI_IO_STATE_H
#define SPI_IO_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct spi_state_item {
    const char *name;
    size_t bytes;
    const void *data;
};

/** An opened state; release: spi_state_free. */
struct spi_state;

/** Write a state of n items, atomically.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_state_write(const char *path, const char *key, int n,
                                    const struct spi_state_item *item);
/** SPI_EIO: missing; SPI_EFORMAT: damaged, of another version or of another run. */
SPI_MUSTUSE spi_err spi_state_read(const char *path, const char *key,
                                   struct spi_state **out);
/** Copy `bytes` of item `name` to `to`; SPI_EFORMAT if absent or of another size. */
SPI_MUSTUSE spi_err spi_state_get(const struct spi_state *s, const char *name, size_t bytes,
                                  void *to);
/** The refusal of a state that holds what cannot be: SPI_EFORMAT, and what to do. */
SPI_MUSTUSE spi_err spi_state_damaged(const char *path, const char *what);
/** Release the object; NULL is allowed. */
void spi_state_free(struct spi_state *s);

/** Name of the item of every state that holds the number of generations done, int32. */
#define SPI_STATE_GENERATION "run.generation"
enum { SPI_STATE_PROGRAM_MAX = 64 };

/** What a state says without the images of its run. */
struct spi_state_about {
    char program[SPI_STATE_PROGRAM_MAX]; /* that wrote it */
    bool ours;                           /* this very program: only then what follows */
    char *key;                           /* owned */
    int32_t generation;
};
/** Does a file that begins with these bytes call itself a state? */
bool spi_state_is(const void *head, size_t n);
/** SPI_EIO; SPI_EFORMAT: damaged.  Release: spi_state_about_clear. */
SPI_MUSTUSE spi_err spi_state_about(const char *path, struct spi_state_about *out);
/** Release what the struct owns. */
void spi_state_about_clear(struct spi_state_about *a);

/** A line of a key; the parts are not terminated. */
struct spi_state_key_line {
    const char *section, *name, *value; /* section NULL: none above it */
    int n_section, n_name, n_value;
};
/** The next line from *at on, up to `end`, that is no section; false: there is none. */
bool spi_state_key_next(const char **at, const char *end, struct spi_state_key_line *l);

#endif
