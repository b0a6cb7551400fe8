/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The unknowns of merging: an even A inside |x| <= D, one value for each pair x, -x.
 * Layer: merge.  doc/math.md (V9).
 *
 *     A = E y:  A(x) = A(-x) = y / sqrt 2,  A(0) = y_0;   E^T E = 1, so |A| = |y|
 *
 * 0.22 n^3 numbers instead of n^3, so that CG keeps double vectors at negligible cost. */
#ifndef SPI_MERGE_EVEN_VECTOR_H
#define SPI_MERGE_EVEN_VECTOR_H

#include <stdint.h>

#include "base/error.h"

struct spi_even_vector {
    int n;              /* voxels per axis of A */
    int64_t count;      /* unknowns */
    int32_t *at, *twin; /* [count] voxels x and -x in n^3; the same for x = 0; owned */
};

/** Voxels within `radius` voxels of the centre, but none of the Nyquist planes i = 0. */
SPI_MUSTUSE spi_err spi_even_vector_init(struct spi_even_vector *u, int n, double radius);
/** Release what the struct owns. */
void spi_even_vector_clear(struct spi_even_vector *u);

/** y = E^T A (of an even A: its values, times sqrt 2). */
void spi_even_vector_get(const struct spi_even_vector *u, const float *A, double *y);
/** As spi_even_vector_get, of doubles. */
void spi_even_vector_get_f64(const struct spi_even_vector *u, const double *A, double *y);
/** A = E y, zero elsewhere. */
void spi_even_vector_put(const struct spi_even_vector *u, const double *y, float *A);
/** As spi_even_vector_put, of doubles. */
void spi_even_vector_put_f64(const struct spi_even_vector *u, const double *y, double *A);

#endif
