/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Settings from a file: the flat part of TOML 1.0 that SpiniFEL's files use.  Layer: io.
 * doc/formats.md, "Settings", spinifel.toml(5).
 *
 *     # a comment
 *     [algorithm]
 *     N_generations = 40        # integers, 1_000 and 1e3 too
 *     rlambda = 1e-2
 *     match_phased = false
 *     score = "poisson"         # or 'poisson'
 *
 * No arrays, tables in tables, dates or strings over several lines: no setting takes one.
 */
#ifndef SPI_IO_SETTINGS_FILE_H
#define SPI_IO_SETTINGS_FILE_H

#include "base/settings.h"

/** Change the settings that the file names; the others keep their values.  On failure `s`
 * is as it was.  SPI_EIO: cannot be read; SPI_EINVAL, SPI_EFORMAT: "PATH:LINE: what, found,
 *  needed" (unknown section or key: with the nearest; a key or section that stands twice;
 *  wrong type; out of range). */
SPI_MUSTUSE spi_err spi_settings_read(const char *path, struct spi_settings *s);

/** One assignment "section.key=value" or "key=value", as given to --set; the value as in a
 *  file, or a text without quotes.  `where` begins each message. */
SPI_MUSTUSE spi_err spi_settings_apply(const char *where, const char *assignment,
                                       struct spi_settings *s);

#endif
