/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What runs the tasks of a graph: one row of a table for each engine.  Layer: task.
 *
 * An engine keeps the order of graph.h: of two tasks that name one region, one of them to
 * write, the earlier ends before the later begins.  Everything else (errors, the stop flag,
 * clocks, the trace) is done once, in graph.c.  A new engine is one file and one row.
 * Tasks are submitted by one thread, which is not inside a task. */
#ifndef SPI_TASK_ENGINE_H
#define SPI_TASK_ENGINE_H

#include "task/graph.h"

/** The arguments of one task, opaque to engines. */
struct spi_task;

/** What a task names, in the engine's own terms. */
struct spi_engine_access {
    void *region; /* of region_new */
    enum spi_privilege privilege;
};

struct spi_engine {
    const char *name;    /* of the setting runtime.backend */
    const char *why_not; /* NULL, or why this program cannot use it */

    /** At most `workers` (>= 1) tasks at once.  *got: as many as there are; where they are
     *  fewer, *why says why (static text). */
    SPI_MUSTUSE spi_err (*start)(int workers, void **self, int *got, const char **why);
    /** Every task has been run and every region freed. */
    void (*stop)(void *self);
    SPI_MUSTUSE spi_err (*region_new)(void *self, void *data, size_t bytes, void **region);
    /** Runs the tasks on it first. */
    void (*region_free)(void *self, void *region);
    /** Later: spi_task_run once.  `t` stays the caller's if this fails.  Regions in
     *  `access` differ. */
    SPI_MUSTUSE spi_err (*submit)(void *self, struct spi_task *t, int n,
                                  const struct spi_engine_access *access);
    /** Run all that was submitted. */
    void (*wait)(void *self);
};

/** data[i]: memory of the task's i-th region.  Releases t. */
void spi_task_run(struct spi_task *t, void *const *data);
/** The name that spi_graph_submit was given. */
const char *spi_task_name(const struct spi_task *t);

extern const struct spi_engine spi_engine_serial, spi_engine_threads, spi_engine_starpu;
/** Ends with NULL. */
extern const struct spi_engine *const spi_engine_table[];
/** The row of this name; NULL: there is none. */
const struct spi_engine *spi_engine_find(const char *name);

#endif
