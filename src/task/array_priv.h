/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What an array is inside: array.c, graph.c and copies.c share it.  Layer: task. */
#ifndef SPI_TASK_ARRAY_PRIV_H
#define SPI_TASK_ARRAY_PRIV_H

#include "task/array.h"
#include "task/engine.h"

/** What engines know of an array or of a part. */
struct spi_region {
    void *of_engine;
    int64_t number; /* in the trace */
};

struct spi_array {
    struct spi_graph *g;
    struct spi_array_shape shape; /* parts >= 1 */
    bool ragged, wrapped;
    void *base;                     /* not ragged: all rows */
    struct spi_piece *piece;        /* ragged: [parts], owned */
    struct spi_region whole;        /* named by every task that names any of it */
    struct spi_region *part;        /* [parts], NULL unless cut; owned */
    bool parts_written, whole_read; /* by tasks since the last that had all of it alone */
    void *callers; /* copies, wrapped: the caller's memory; base is a copy */
    bool open;     /* copies: the caller's thread may look at it */
    struct spi_array *next, *prev; /* of the graph */
};

/** Elements of the rows of a part (SPI_WHOLE: of all), and where they are in `base`. */
int64_t spi_array_elements(const struct spi_array *a, int part, size_t *at_byte);

/* ---- graph.c ------------------------------------------------------------------------ */

/** What runs the graph's tasks. */
const struct spi_engine *spi_graph_engine(const struct spi_graph *g);
/** A new region.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_graph_region(struct spi_graph *g, struct spi_region *r);
/** Runs the tasks that name it first. */
void spi_graph_region_free(struct spi_graph *g, struct spi_region *r);
/** The first of the graph's arrays. */
struct spi_array **spi_graph_arrays(struct spi_graph *g);

#endif
