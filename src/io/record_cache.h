/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Equal records, written in blocks and then only read.  Layer: io.
 *
 * If all records fit into memory_bytes they are kept in memory, in large pages: access is
 * random, and with pages of 4 kB the TLB misses cost more than the reads.  Otherwise they
 * go to a mapped scratch file, of which the system keeps the part in use.  No header,
 * native byte order: the file lives as long as the run and is made again by the next one.
 * It has no name once it is open, so that nothing is left behind, whatever happens. */
#ifndef SPI_IO_RECORD_CACHE_H
#define SPI_IO_RECORD_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct spi_record_cache;

/** Room for `count` records: in memory if they take at most memory_bytes, otherwise in a
 *  new file, made at `path` and unlinked at once. */
SPI_MUSTUSE spi_err spi_record_cache_create(const char *path, size_t record_bytes,
                                            int64_t count, size_t memory_bytes,
                                            struct spi_record_cache **out);
/** Records first ... first+n-1; any order, several threads. SPI_EIO (disk full ...). */
SPI_MUSTUSE spi_err spi_record_cache_write(struct spi_record_cache *s, int64_t first,
                                           int64_t n, const void *records);
/** Ready for reading: after the last record is written. */
SPI_MUSTUSE spi_err spi_record_cache_finish(struct spi_record_cache *s);
/** Record i of a finished cache; valid until _free. */
const void *spi_record_cache_record(const struct spi_record_cache *s, int64_t i);
/** Forget all.  NULL is allowed. */
void spi_record_cache_free(struct spi_record_cache *s);

#endif
