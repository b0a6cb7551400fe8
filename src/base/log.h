/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Words for people, on standard error.  Layer: base.
 *
 * A line of log is printable text: control characters, in names that come from files, are
 * escaped.  Levels: 0 quiet (only warnings), 1 normal, 2 verbose.  When a progress bar is
 * on the terminal a line of log first clears it (app/progress.c installs the hook). */
#ifndef SPI_BASE_LOG_H
#define SPI_BASE_LOG_H

enum { SPI_LOG_QUIET, SPI_LOG_NORMAL, SPI_LOG_VERBOSE };

/** Print lines up to this level from now on. */
void spi_log_set_level(int level);
/** The level that is set. */
int spi_log_level(void);

/** Called before a line is printed; NULL: none. */
void spi_log_set_hook(void (*before_line)(void));

/** "spinifel: warning: ..." at every level. */
__attribute__((format(printf, 1, 2))) void spi_warn(const char *fmt, ...);
/** A line at level >= 1. */
__attribute__((format(printf, 1, 2))) void spi_info(const char *fmt, ...);
/** A line at level >= 2. */
__attribute__((format(printf, 1, 2))) void spi_verbose(const char *fmt, ...);

/** Seconds of a clock that never goes back. */
double spi_now_s(void);

#endif
