/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Tasks on copies: the engine `copies` finds what a task reaches without naming it.
 * Layer: task.
 *
 * The memory of arrays is closed while tasks run.  A task gets a copy of each part that it
 * names: closed behind its end, read-only where the task only reads, filled with 0xff (not a
 * number) where it says that it fills all of it.  Memory that the caller wrapped is filled
 * with 0xff as well.  What reaches further ends the program (SIGABRT) with one line:
 *
 *     task match reaches array templates, which it does not name
 *     task match writes array beta, which it names only to read
 *     task match reaches beyond array beta
 *     array beta: the caller's memory was changed while tasks had it */
#ifndef SPI_TASK_COPIES_H
#define SPI_TASK_COPIES_H

#include "task/array_priv.h"

/** Memory of an array: closed pages.  *data is not to be touched before _open. */
SPI_MUSTUSE spi_err spi_copies_master(size_t bytes, const char *name, void **data);
/** a->base, the caller's, is copied to closed pages and overwritten; _free brings it back. */
SPI_MUSTUSE spi_err spi_copies_wrap(struct spi_array *a);
/** Let the caller's thread look at the array, until the next task. */
void spi_copies_open(struct spi_array *a);
/** Release the memory of an array. */
void spi_copies_free(struct spi_array *a);

/** Run fn on copies of the n accesses. */
SPI_MUSTUSE spi_err spi_copies_run(struct spi_graph *g, const char *task, spi_task_fn *fn,
                                   const void *arg, const volatile int *stop, int n,
                                   const struct spi_access *access);

#endif
