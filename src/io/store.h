/** \file
 * A scratch file of equal records, written in blocks and then mapped: what is too large for
 * memory lies here and the system keeps the part in use.  Layer: io.
 *
 * 64-byte header (magic, record size, count, 32 bytes of key): a store whose key differs from
 * the one asked for is not used.  Native byte order: a scratch file stays on its machine. */
#ifndef SPI_IO_STORE_H
#define SPI_IO_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct spi_store;

/** New file PATH.tmp for `count` records; `key` is any text that identifies the content. */
SPI_MUSTUSE spi_err spi_store_create(const char *path, size_t record_bytes, int64_t count,
                                     const char *key, struct spi_store **out);
/** Records first ... first+n-1; any order, several threads. SPI_EIO (disk full ...). */
SPI_MUSTUSE spi_err spi_store_write(struct spi_store *s, int64_t first, int64_t n,
                                    const void *records);
/** Rename to PATH and map for reading. */
SPI_MUSTUSE spi_err spi_store_finish(struct spi_store *s);
/** Map an existing store.  SPI_EFORMAT if size, count or key differ. */
SPI_MUSTUSE spi_err spi_store_open(const char *path, size_t record_bytes, int64_t count,
                                   const char *key, struct spi_store **out);
/** Record i of a finished or opened store; valid until _free. */
const void *spi_store_record(const struct spi_store *s, int64_t i);
/** Unmap; an unfinished file is removed.  NULL is allowed. */
void spi_store_free(struct spi_store *s);

#endif
