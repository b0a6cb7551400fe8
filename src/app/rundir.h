/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The directory of a run: one writer at a time, and no result is lost.  Layer: app.
 *
 * Results of an earlier run into the same directory move to DIR/previous when the new run
 * has been accepted, and go when results that stand have been written.  So what lies in DIR
 * always belongs to the run that DIR/run.json names. */
#ifndef SPI_APP_RUNDIR_H
#define SPI_APP_RUNDIR_H

#include <stdbool.h>

#include "app/cmd.h"
#include "io/file.h"

/** What a run writes, moves or removes in its directory, one name after another, besides
 *  settings.toml; false: no more. */
bool spi_rundir_writes(int i, char name[SPI_OPT_NAME_MAX]);

/** PATH = "DIR/NAME". */
void spi_rundir_path(const char *dir, const char *name, char path[SPI_PATH_MAX]);

/** Does the directory itself hold results or the state of a run? */
bool spi_rundir_holds_run(const char *dir);
/** Make the directory if need be and lock it (*lock, for spi_dir_unlock).  SPI_EUSAGE: it
 *  or its `previous` holds a run, and neither `resume` (which needs a state) nor `force`
 * was asked for; or this program did not make its `previous` or `failed_validation`, or,
 * where the directory holds no run, a file that a run would write over. *state: there is a
 * state to go on from.  *made: the directory is new. */
SPI_MUSTUSE spi_err spi_rundir_open(const struct spi_call *call, const char *dir,
                                    bool resume, bool force, int *lock, bool *state,
                                    bool *made);
/** A run that was refused before it began leaves no new directory; picture: but a mean
 * image, and what it lies in, that may tell why.  Called while the lock is held. */
void spi_rundir_abandon(const char *dir, bool picture);
/** May the settings be read from `file`?  Not if it is DIR/settings.toml and no run has
 *  written it: the run would write over it.  SPI_EUSAGE. */
SPI_MUSTUSE spi_err spi_rundir_check_settings(const struct spi_call *call, const char *dir,
                                              const char *file);
/** Set the results of the run before aside.  keep_state: this run goes on from its state.
 *  SPI_EIO. */
SPI_MUSTUSE spi_err spi_rundir_begin(const char *dir, bool keep_state);
/** Results that stand have been written: those of the run before go. */
void spi_rundir_settle(const char *dir);

#endif
