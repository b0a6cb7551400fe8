/** \file
 * Files that are whole or not there, and directories.  Layer: io.
 *
 * Every writer of this program makes PATH.tmp and ends with spi_file_commit: who finds PATH
 * finds all of it, also after a power failure or kill -9. */
#ifndef SPI_IO_FILE_H
#define SPI_IO_FILE_H

#include <stddef.h>

#include "base/error.h"

enum { SPI_PATH_MAX = 4096 };

/** tmp = "PATH.tmp".  SPI_EINVAL: path empty or too long. */
SPI_MUSTUSE spi_err spi_tmp_path(const char *path, char tmp[SPI_PATH_MAX]);

/** Make `tmp` durable (fsync) and give it its name (rename), replacing an older `path`.
 *  On failure `tmp` is removed.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_file_commit(const char *tmp, const char *path);

/** Write `len` bytes atomically.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_file_write_text(const char *path, const char *text, size_t len);

/** SPI_OK if `path` is a regular file with something in it that we may read; else SPI_EIO
 *  with the reason: missing, a directory, empty, not readable. */
SPI_MUSTUSE spi_err spi_file_check(const char *path);

/** Make a directory unless it is there (its parent must be), and check that one can write
 *  in it.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_dir_make(const char *dir);

/** Take the advisory lock DIR/.lock for this process, without waiting.  SPI_EIO if another
 *  process holds it: the message has its number.  *fd: for spi_dir_unlock.  The lock also
 *  ends with the process, however it ends. */
SPI_MUSTUSE spi_err spi_dir_lock(const char *dir, int *fd);
/** Give the lock back; fd < 0 is allowed.  The empty file .lock stays: removing it would
 * let two processes lock two files of one name. */
void spi_dir_unlock(int fd);

#endif
