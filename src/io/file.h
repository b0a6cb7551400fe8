/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Files that are whole or not there, and directories.  Layer: io.
 *
 * Every writer of this program makes a temporary file and ends with spi_file_commit: who
 * finds PATH finds all of it, also after a power failure or kill -9.  The temporary file of
 * DIR/NAME is DIR/.NAME.spinifel-tmp, a name that no file of the user has; where the system
 * allows no name or path so long, eight digits made from NAME take its place. */
#ifndef SPI_IO_FILE_H
#define SPI_IO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

enum { SPI_PATH_MAX = 4096 };

/** tmp = "DIR/.NAME.spinifel-tmp" (or the short form) of path = "DIR/NAME".  SPI_EINVAL:
 * path empty or too long. */
SPI_MUSTUSE spi_err spi_tmp_path(const char *path, char tmp[SPI_PATH_MAX]);

/** A new, empty, locked file for what will be `path`: tmp as spi_tmp_path, open for
 * reading and writing.  What a killed process left under that name is removed, and so is a
 * link, which is never followed.  SPI_EIO: cannot be made, or a living process writes it.
 */
SPI_MUSTUSE spi_err spi_file_create(const char *path, char tmp[SPI_PATH_MAX], int *fd);

/** The file as a stream, which owns fd from now on.  On failure fd is closed and `tmp`
 *  removed.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_file_stream_take(const char *tmp, int fd, FILE **out);

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

/** Make a directory as spi_dir_make does and mark it as made by this program: a file
 *  .spinifel in it.  SPI_EIO, also when spi_dir_is_foreign. */
SPI_MUSTUSE spi_err spi_dir_make_own(const char *dir);
/** Is something there that is no marked directory, unless it is an empty directory? */
bool spi_dir_is_foreign(const char *dir);
/** Remove a marked directory that holds nothing but the mark; others stay as they are. */
void spi_dir_remove_own(const char *dir);

/** SPI_EIO if the directory is not there and cannot be made for its parent is missing. */
SPI_MUSTUSE spi_err spi_dir_parent_check(const char *dir);

/** A new private folder for what a library wants to write, of at most `longest` characters:
 *  in $TMPDIR, /tmp, /var/tmp or /dev/shm, whichever takes it first; some 64 kB can be
 *  written there.  SPI_EIO: there is none. */
SPI_MUSTUSE spi_err spi_scratch_make(size_t longest, char dir[SPI_PATH_MAX]);
/** Remove it with all that is in it; "" is allowed. */
void spi_scratch_remove(const char *dir);

/** Take the advisory lock DIR/.lock for this process, without waiting.  SPI_EIO if another
 *  process holds it (the message has its number), or if .lock is a link.  *fd: for
 * spi_dir_unlock.  The lock also ends with the process, however it ends. */
SPI_MUSTUSE spi_err spi_dir_lock(const char *dir, int *fd);
/** Give the lock back; fd < 0 is allowed.  The empty file .lock stays: removing it would
 * let two processes lock two files of one name. */
void spi_dir_unlock(int fd);

#endif
