/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What a graph did, task by task, as a file of JSON lines (doc/formats.md, "Trace of the
 * tasks").  Layer: task; the caller serialises the calls. */
#ifndef SPI_TASK_TRACE_H
#define SPI_TASK_TRACE_H

#include <stdint.h>

#include "base/parallel.h"
#include "task/graph.h"

struct spi_trace;

/** One task that has ended. */
struct spi_trace_task {
    int64_t task, wait; /* its number in the order of submission; waits before it */
    const char *name;
    double start_s, wall_s, cpu_s; /* cpu_s: with the threads that helped */
    const struct spi_note *note;   /* what more threads would give */
    int n;
    const int64_t *region;          /* [n] numbers of regions */
    const unsigned char *privilege; /* [n] */
};

/** Begin the file.  SPI_EIO, SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_trace_new(const char *path, struct spi_trace **out);
/** Write the line of a task. */
void spi_trace_task(struct spi_trace *t, const struct spi_trace_task *task);
/** The caller's thread: from the last wait (or the start of the process) to this one, from
 *  it to its end.  Seconds inside tasks are left out of cpu_s; those of threads that helped
 *  count. */
void spi_trace_wait(struct spi_trace *t, int64_t wait, double wall_s, double cpu_s,
                    double wait_s, const struct spi_note *note);
/** Frees t.  SPI_EIO. */
SPI_MUSTUSE spi_err spi_trace_finish_take(struct spi_trace *t);
/** Removes the file, frees t; NULL is allowed. */
void spi_trace_drop(struct spi_trace *t);

#endif
