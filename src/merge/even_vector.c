/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "merge/even_vector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const double half_root = 0.70710678118654752440; /* 1 / sqrt 2 */

/* Visits the unknowns; with u->at == NULL it only counts them. */
static void visit(struct spi_even_vector *u, double radius)
{
    int h = u->n / 2;

    u->count = 0;
    for (int z = 0; z < h; z++)
        for (int y = z ? 1 - h : 0; y < h; y++)
            for (int x = z || y ? 1 - h : 0; x < h; x++) {
                if ((double)x * x + (double)y * y + (double)z * z > radius * radius)
                    continue;
                if (u->at) {
                    u->at[u->count] = ((z + h) * u->n + y + h) * u->n + x + h;
                    u->twin[u->count] = ((h - z) * u->n + h - y) * u->n + h - x;
                }
                u->count++;
            }
}

spi_err spi_even_vector_init(struct spi_even_vector *u, int n, double radius)
{
    spi_err err;

    *u = (struct spi_even_vector){.n = n};
    visit(u, radius);

    int64_t count = u->count;

    SPI_TRY(err = SPI_NEW(u->twin, count, "merge"), fail);
    SPI_TRY(err = SPI_NEW(u->at, count, "merge"), fail);
    visit(u, radius);
    return SPI_OK;
fail:
    spi_even_vector_clear(u);
    return err;
}

void spi_even_vector_clear(struct spi_even_vector *u)
{
    free(u->at);
    free(u->twin);
    *u = (struct spi_even_vector){0};
}

/* The first unknown is x = 0, its own twin. */
void spi_even_vector_get(const struct spi_even_vector *u, const float *A, double *y)
{
    y[0] = (double)A[u->at[0]];
    for (int64_t i = 1; i < u->count; i++)
        y[i] = half_root * ((double)A[u->at[i]] + (double)A[u->twin[i]]);
}

void spi_even_vector_get_f64(const struct spi_even_vector *u, const double *A, double *y)
{
    y[0] = A[u->at[0]];
    for (int64_t i = 1; i < u->count; i++)
        y[i] = half_root * (A[u->at[i]] + A[u->twin[i]]);
}

void spi_even_vector_put(const struct spi_even_vector *u, const double *y, float *A)
{
    memset(A, 0, (size_t)u->n * (size_t)u->n * (size_t)u->n * sizeof *A);
    A[u->at[0]] = (float)y[0];
    for (int64_t i = 1; i < u->count; i++)
        A[u->at[i]] = A[u->twin[i]] = (float)(half_root * y[i]);
}

void spi_even_vector_put_f64(const struct spi_even_vector *u, const double *y, double *A)
{
    memset(A, 0, (size_t)u->n * (size_t)u->n * (size_t)u->n * sizeof *A);
    A[u->at[0]] = y[0];
    for (int64_t i = 1; i < u->count; i++)
        A[u->at[i]] = A[u->twin[i]] = half_root * y[i];
}
