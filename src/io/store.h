/** \file
 * A scratch file of equal records, written in blocks and then mapped: what is too large for
 * memory lies here and the system keeps the part in use.  Layer: io.
 *
 * No header, native byte order: the file lives as long as the run and is made again by the
 * next one.  It has no name once it is open, so that nothing is left behind, whatever
 * happens. */
#ifndef SPI_IO_STORE_H
#define SPI_IO_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct spi_store;

/** New file for `count` records, made at `path` and unlinked at once. */
SPI_MUSTUSE spi_err spi_store_create(const char *path, size_t record_bytes, int64_t count,
                                     struct spi_store **out);
/** Records first ... first+n-1; any order, several threads. SPI_EIO (disk full ...). */
SPI_MUSTUSE spi_err spi_store_write(struct spi_store *s, int64_t first, int64_t n,
                                    const void *records);
/** Map for reading: after the last record is written. */
SPI_MUSTUSE spi_err spi_store_finish(struct spi_store *s);
/** Record i of a finished store; valid until _free. */
const void *spi_store_record(const struct spi_store *s, int64_t i);
/** Unmap and forget.  NULL is allowed. */
void spi_store_free(struct spi_store *s);

#endif
