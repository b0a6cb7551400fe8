/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * A thin coat over HDF5: one lock, our own messages, shapes checked.  Layer: io.
 *
 * All HDF5 calls of the program are made between spi_h5_lock and spi_h5_unlock, because the
 * library may or may not have been built to be thread-safe.  Every other function here
 * wants the lock to be held.  `path` is used for messages only. */
#ifndef SPI_IO_H5_H
#define SPI_IO_H5_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/** The one lock (not recursive); also keeps HDF5 from printing its error stack. */
void spi_h5_lock(void);
/** The end of what spi_h5_lock began. */
void spi_h5_unlock(void);

/** spi_fail with the reason that HDF5 (or the system below it) gave, after a colon. */
SPI_MUSTUSE __attribute__((format(printf, 2, 3), cold)) spi_err
spi_h5_fail(spi_err err, const char *fmt, ...);

/** Does the file begin as an HDF5 file does?  (No lock needed.) */
bool spi_h5_signature(const char *path);
/** Open for reading.  SPI_EIO: missing, a directory, empty, truncated (says by how much);
 *  SPI_EFORMAT: not HDF5 or broken. */
SPI_MUSTUSE spi_err spi_h5_open(const char *path, hid_t *file);
/** Make `tmp` anew (`path` is its final name).  Everything opened in it is closed with it.
 */
SPI_MUSTUSE spi_err spi_h5_create(const char *path, const char *tmp, hid_t *file);
/** SPI_EIO with the reason, after a write to the file of `object` failed.  HDF5 cannot
 * close a file whose last blocks it cannot write (it crashes later), so from here on
 * everything it still writes goes to /dev/null: the file is lost and must be removed. */
SPI_MUSTUSE __attribute__((format(printf, 2, 3), cold)) spi_err
spi_h5_write_failed(hid_t object, const char *fmt, ...);
/** Everything to the disk.  Call it before closing a dataset that was written. */
SPI_MUSTUSE spi_err spi_h5_flush(const char *path, hid_t object);
/** Flush and close a file that was written; SPI_EIO when the last of it did not reach the
 *  disk.  The number is given up either way. */
SPI_MUSTUSE spi_err spi_h5_close_written(const char *path, hid_t file);

struct spi_h5_shape {
    int rank;
    hsize_t dim[H5S_MAX_RANK];
    H5T_class_t type_class; /* H5T_INTEGER, H5T_FLOAT ... */
    size_t type_size;       /* bytes */
    bool is_signed;         /* integers */
    bool is_enum; /* numbers with names, as numpy's bool; the class is H5T_INTEGER */
};

/** Is there something of that name other than a group?  True as well for a link that leads
 *  nowhere and for what is damaged: opening it says so. */
bool spi_h5_has(hid_t file, const char *name);
/** Names at the root, for messages: "a, b, c". */
void spi_h5_names(hid_t file, char *text, size_t size);
/** Shape and type.  SPI_EFORMAT: no such dataset (the message lists what is there); a link
 * to it leads nowhere; a source of a virtual dataset is missing or too short; a filter is
 *  missing; raw files are not allowed; its stored bytes are too few for its shape. */
SPI_MUSTUSE spi_err spi_h5_shape(hid_t file, const char *path, const char *name,
                                 struct spi_h5_shape *out);
/** "(24, 1, 128, 128)" */
const char *spi_h5_shape_text(int rank, const hsize_t *dim, char text[256]);
/** "uint8", "float64", "text" ... */
const char *spi_h5_type_text(const struct spi_h5_shape *s, char text[32]);

/** Read a dataset of numbers whole (or of the class of `memory`), after checking that it
 * has exactly this shape.  SPI_EFORMAT: as spi_h5_shape; wrong shape; not numbers; damaged
 *  chunks.  SPI_EIO: cannot be read. */
SPI_MUSTUSE spi_err spi_h5_read(hid_t file, const char *path, const char *name,
                                hid_t memory, int rank, const hsize_t *dim, void *out);
/** A dataset that is read by rows of its first axis, as `memory`.  Rows of chunks up to 64
 * MB are kept, so that neighbouring rows cost little.  Open: as spi_h5_shape; the file
 * stays open longer.  Read: SPI_EFORMAT where a chunk holds more or less than its shape
 * says. */
struct spi_h5_rows;
/** Open the dataset `name`; close it with spi_h5_rows_close. */
SPI_MUSTUSE spi_err spi_h5_rows_open(hid_t file, const char *path, const char *name,
                                     hid_t memory, struct spi_h5_rows **out);
/** Read rows first ... first+n-1. */
SPI_MUSTUSE spi_err spi_h5_rows_read(struct spi_h5_rows *r, hsize_t first, hsize_t n,
                                     void *out);
/** The same for a caller that has not taken the lock: where chunks hold whole rows of a
 * usual type, a few at most, and are wanted as float, the lock is held only while HDF5
 * reads, and several threads unpack. */
SPI_MUSTUSE spi_err spi_h5_rows_read_unlocked(struct spi_h5_rows *r, hsize_t first,
                                              hsize_t n, void *out);
/** Close the dataset; NULL is allowed. */
void spi_h5_rows_close(struct spi_h5_rows *r);

/** Other files in which values of a file's datasets lie: targets of external links
 *  and files on the way to them, sources of virtual datasets, raw files. */
struct spi_h5_sources {
    int n;
    int64_t cap;
    char **path; /* [n] owned, each once, in the order in which they were met */
};
/** Release what the struct owns. */
void spi_h5_sources_clear(struct spi_h5_sources *s);
/** From now on every such file of a dataset that is opened is put on this list (borrowed;
 *  NULL: on none). */
void spi_h5_collect(struct spi_h5_sources *list);
/** Asked for every such file before values are read from it; an error is that of opening
 *  the dataset. */
typedef spi_err spi_h5_watch_fn(const char *path, const void *user);
/** Ask `fn` (NULL: nobody) from now on; `user` is borrowed.  No lock needed; for the start
 *  of the program. */
void spi_h5_watch(spi_h5_watch_fn *fn, const void *user);
/** Allow datasets whose values are raw bytes of other files (at first: no).  No lock
 * needed; for the start of the program. */
void spi_h5_follow_external(bool yes);

/** Make a contiguous dataset and write it. */
SPI_MUSTUSE spi_err spi_h5_write(hid_t file, const char *path, const char *name, hid_t type,
                                 hid_t memory, int rank, const hsize_t *dim,
                                 const void *data);

/** Text attribute of an object as a new string; NULL: absent or not text.  Text of variable
 * length is not read: the string says so.  Release with free().  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_h5_text(hid_t object, const char *name, char **out);
/** Is there an attribute of that name? */
bool spi_h5_has_attribute(hid_t object, const char *name);
/** One number; false: absent or not one number. */
bool spi_h5_number(hid_t object, const char *name, double *out);
/** Write a text attribute of an object; `path` begins the message.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_h5_put_text(hid_t object, const char *path, const char *name,
                                    const char *text);
/** Write one double as an attribute of an object.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_h5_put_number(hid_t object, const char *path, const char *name,
                                      double value);
/** Write n integers as an attribute of an object.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_h5_put_integers(hid_t object, const char *path, const char *name,
                                        int n, const int64_t *value);

#endif
