/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Lines of a text file, plain or gzip (told by content).  Layer: io.
 *
 * Ends of line LF, CRLF or CR; the last line needs none.  A UTF-8 byte-order mark at the
 * beginning of a line is not part of it.  Every message begins "path:line:". */
#ifndef SPI_IO_LINE_READER_H
#define SPI_IO_LINE_READER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct spi_line_reader; /* an open file */

/** SPI_EIO if the file cannot be opened. */
SPI_MUSTUSE spi_err spi_line_reader_open(const char *path, struct spi_line_reader **out);
/** Close the file; NULL is allowed. */
void spi_line_reader_close(struct spi_line_reader *l);

/** The next line without its end, NUL-terminated, valid until the next call; NULL at the
 * end of the file.  SPI_EIO: unreadable or truncated; SPI_EFORMAT: binary (NUL bytes; a few
 * in a line that is text otherwise are blanks, with a warning), UTF-16, a line above 16
 * MiB, or a gzip file that unpacks to more than 16 MiB and 100 times its size. */
SPI_MUSTUSE spi_err spi_line_reader_next(struct spi_line_reader *l, char **line,
                                         size_t *length);
/** Give the line that _next returned last once more. */
void spi_line_reader_again(struct spi_line_reader *l);

/** Number of the current line, from 1. */
int64_t spi_line_reader_number(const struct spi_line_reader *l);
/** The path that was opened. */
const char *spi_line_reader_path(const struct spi_line_reader *l);

#endif
