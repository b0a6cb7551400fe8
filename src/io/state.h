/** \file
 * State of a run: named arrays in one file, written atomically.  Layer: io.
 *
 * Native byte order: "spinifel-state2\0", text of the program's version and revision, text
 * of the key, then for each item its name, size and data, and a CRC-32 of everything at the
 * end. A state of another version is refused (items are structs of this one), and so is one
 * whose key (images, settings, seed) differs: it belongs to another run. */
#ifndef SPI_IO_STATE_H
#define SPI_IO_STATE_H

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
void spi_state_free(struct spi_state *s);

#endif
