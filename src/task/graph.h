/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Tasks that name their data.  Layer: task.
 *
 * A region is a piece of memory that tasks read or write.  Tasks run as if one after
 * another in the order of submission; those that do not touch the same region (or only read
 * it) may run at once.  So results do not depend on the number of workers.
 *
 * A task is an ordinary function on the regions' memory and a small struct of arguments
 * (copied).  The first failure of any task is kept; later tasks return at once; _wait
 * reports it.  When the caller's stop flag becomes nonzero all pending tasks return
 * SPI_ECANCEL.
 *
 * What runs them is an engine, a row of the table in task/engine.h:
 *     threads   a thread for each worker; the default
 *     starpu    the StarPU library, where the program was built with it
 *     serial    each task inside _submit; the reference of the others
 * One thread makes a graph, submits and waits; tasks do not.  Tasks run inside _submit
 * (serial) or inside _wait and _region_free (the others), never in between. */
#ifndef SPI_TASK_GRAPH_H
#define SPI_TASK_GRAPH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct spi_graph;
struct spi_region;

enum { SPI_REGIONS_MAX = 64 }; /* of one task */

enum spi_privilege { SPI_READ = 1, SPI_WRITE = 2, SPI_READ_WRITE = 3 };

struct spi_access {
    struct spi_region *region;
    enum spi_privilege privilege;
};

/** data[i]: memory of the i-th region of the task.  *stop becomes nonzero when the task
 * should end early (SPI_ECANCEL). */
typedef spi_err spi_task_fn(void *const *data, const void *arg, const volatile int *stop);

/** SPI_EUSAGE, with the reason, if the program has no engine of this name. */
SPI_MUSTUSE spi_err spi_graph_check_engine(const char *engine);

/** engine: its name.  workers: 0 = one for each core that the process may use
 * (base/cores.h).  A line of the log says so where fewer can be had.  `stop`: NULL, or a
 * flag that a signal handler may set.  Files of StarPU's own live in a private temporary
 * folder (spi_scratch_make), which is gone when this returns.  SPI_EUSAGE: no such engine
 * here; SPI_EIO. */
SPI_MUSTUSE spi_err spi_graph_new(const char *engine, int workers, const volatile int *stop,
                                  struct spi_graph **out);
/** Waits for everything, releases all regions. */
void spi_graph_free(struct spi_graph *g);
/** How many tasks may run at once. */
int spi_graph_workers(const struct spi_graph *g);

/** The region of `bytes` at `data` (the caller keeps owning the memory). */
SPI_MUSTUSE spi_err spi_region_new(struct spi_graph *g, void *data, size_t bytes,
                                   struct spi_region **out);
/** Waits for the tasks on it.  NULL is allowed. */
void spi_region_free(struct spi_graph *g, struct spi_region *r);

/** Submit one task.  `name` is static text.  arg is copied (arg_size bytes). */
SPI_MUSTUSE spi_err spi_graph_submit(struct spi_graph *g, const char *name, spi_task_fn *fn,
                                     const void *arg, size_t arg_size, int n,
                                     const struct spi_access *access);
/** Wait for all tasks; the first failure, or SPI_OK.  Clears the failure. */
SPI_MUSTUSE spi_err spi_graph_wait(struct spi_graph *g);
/** Wall seconds spent inside tasks of this name since the last call (summed over workers).
 */
double spi_graph_seconds(struct spi_graph *g, const char *name);

/** From now on write one JSON object a line for each task, and for each wait what the
 * caller's thread did before it (doc/formats.md, "Trace of the tasks"; benches/cores.py
 * reads it). SPI_EIO. */
SPI_MUSTUSE spi_err spi_graph_trace(struct spi_graph *g, const char *path);
/** The end of it: the file gets its name.  Without this _free removes it.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_graph_trace_end(struct spi_graph *g);

#endif
