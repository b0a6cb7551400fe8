/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Typed arrays: all that a task may read or write.  Layer: task.
 *
 * An array has a name, an element type and rows of elements.  It is one piece of memory, or
 * cut into parts of whole rows that tasks can name one by one; the pieces of a ragged array
 * are found by the tasks that write them.  A task names what it needs in its access list
 * and gets a view of each: memory and size, nothing else.  Between a submission and the
 * wait after it arrays belong to the tasks; the caller's thread looks at them afterwards.
 *
 * The engine `copies` (task/copies.c) runs each task on copies of exactly what it names, so
 * that whatever else it reaches is found. */
#ifndef SPI_TASK_ARRAY_H
#define SPI_TASK_ARRAY_H

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct spi_graph;
struct spi_array;

enum spi_type {
    SPI_F32,
    SPI_F64,
    SPI_C32, /* float complex */
    SPI_C64, /* double complex */
    SPI_U8,
    SPI_U16,
    SPI_I32,
    SPI_I64,
    SPI_U64,
    SPI_RECORD /* a struct without pointers */
};

#define SPI_TYPE_OF(T) \
    _Generic((T *)0, float *: SPI_F32, double *: SPI_F64, float complex *: SPI_C32,         \
             double complex *: SPI_C64, uint8_t *: SPI_U8, uint16_t *: SPI_U16,             \
             int32_t *: SPI_I32, int64_t *: SPI_I64, uint64_t *: SPI_U64, default: SPI_RECORD)

struct spi_array_shape {
    const char *name; /* static text */
    enum spi_type type;
    size_t item;           /* bytes of an element */
    int64_t rows, columns; /* columns: elements of a row */
    int parts;             /* 0: not cut */
    int64_t part_rows;     /* rows of each part but the last; 0: rows spread evenly */
    bool unset;            /* not zeroed: for large arrays that tasks fill */
};

/** .name, .type, .item of a shape. */
#define SPI_ARRAY_OF(T, text) .name = (text), .type = SPI_TYPE_OF(T), .item = sizeof(T)

/** An array with memory of its own.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_array_new(struct spi_graph *g, const struct spi_array_shape *shape,
                                  struct spi_array **out);
/** An array of memory that the caller has and keeps: nobody touches it directly before
 * _free.  No two such arrays overlap.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_array_wrap(struct spi_graph *g, const struct spi_array_shape *shape,
                                   void *data, struct spi_array **out);
/** A ragged array: each part is what a task gives it (spi_view_give), at first empty.
 * shape->rows counts for nothing. */
SPI_MUSTUSE spi_err spi_array_ragged(struct spi_graph *g,
                                     const struct spi_array_shape *shape,
                                     struct spi_array **out);
/** The array's own memory goes when all tasks that name it have ended; none that is
 * submitted later may name it, and the caller does not look at it again.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_array_release(struct spi_graph *g, struct spi_array *a);
/** Runs the tasks that name it first.  NULL is allowed. */
void spi_array_free(struct spi_graph *g, struct spi_array *a);

/** For the caller's thread after a wait: memory of an array, or of a part of a ragged one;
 *  *n (may be NULL): its elements. */
void *spi_array_data(struct spi_array *a, int part, int64_t *n);
/** Rows of a part: from *first on. */
int64_t spi_array_part_rows(const struct spi_array *a, int part, int64_t *first);

/* ---- what a task sees --------------------------------------------------------------- */

enum { SPI_WHOLE = -1 }; /* all parts of an array */

enum spi_privilege { SPI_READ = 1, SPI_WRITE = 2, SPI_READ_WRITE = 3 };

/** What a task names.  SPI_WRITE: it fills all of it and does not look at what was there. */
struct spi_access {
    struct spi_array *array;
    int part; /* or SPI_WHOLE; of an array that is not cut: 0 or SPI_WHOLE */
    enum spi_privilege privilege;
};

struct spi_piece {
    void *data;
    int64_t n; /* elements */
};

/** One access of a task.  Of a whole ragged array only `piece` is set. */
struct spi_view {
    void *data;
    int64_t n;                     /* elements */
    const struct spi_piece *piece; /* ragged: [parts] */
    struct spi_piece *given;       /* ragged, one part to write: what it holds */
};

/** From now on the ragged part that v names to write is these n elements, which the array
 * owns (free()). */
void spi_view_give(struct spi_view *v, void *data, int64_t n);

#endif
