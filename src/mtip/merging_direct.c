/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Of mtip/merging_parts.h: the product H* w H point by point (V11). */
#include <stdlib.h>

#include "base/mem.h"
#include "mtip/merging_parts.h"

/* v: partial, sums (not looked at), the vector. */
static spi_err task_direct(struct spi_view *v, const void *arg, const volatile int *stop)
{
    const struct spi_merging_block *a = arg;
    const struct spi_merging *m = a->m;
    const struct spi_merging_spec *s = &m->spec;
    struct spi_merging_chosen c;
    spi_err err = spi_merging_choose(a, 0, &c);

    (void)stop;
    if (!err && c.n && s->f64)
        err = spi_direct_add_f64(s->pixels, c.n, (const double(*)[4])c.quat, c.phi,
                                 &m->modes, v[2].data, v[0].data);
    else if (!err && c.n)
        err = spi_direct_add(s->pixels, c.n, (const double(*)[4])c.quat, c.phi, m->plan,
                             v[2].data, v[0].data);
    spi_merging_chosen_clear(&c);
    return err;
}

spi_err spi_merging_direct_new(struct spi_merging *m)
{
    int64_t n = m->n;
    struct spi_array_shape grid = {SPI_ARRAY_OF(float, "vector"), .columns = 1},
                           modes = {SPI_ARRAY_OF(double complex, "vector"),
                                    .rows = n * n * n, .columns = 1};

    if (!m->spec.f64)
        grid.rows = (int64_t)spi_nufft_grid_floats(m->plan, 1);
    return spi_array_new(m->spec.graph, m->spec.f64 ? &modes : &grid, &m->x);
}

static spi_err put_vector(struct spi_merging *m)
{
    const struct spi_normal *N = &m->normal;
    size_t n = (size_t)m->n, count = n * n * n;
    void *x = spi_array_data(m->x, 0, NULL);
    float *A = NULL;
    spi_err err;

    if (m->spec.f64) {
        for (size_t i = 0; i < count; i++)
            ((double complex *)x)[i] = N->cube[i];
        return SPI_OK;
    }
    if ((err = SPI_NEW(A, count, "merge")) != SPI_OK)
        return err;
    for (size_t i = 0; i < count; i++)
        A[i] = (float)N->cube[i];
    err = spi_nufft_prepare(m->plan, A, x);
    free(A);
    return err;
}

/* The corner term is a convolution in either way. */
spi_err spi_merging_direct_apply(const void *self, const double *x, double *y)
{
    /* the operator's counter and scratch; CG sees a constant product */
    struct spi_merging *m = (struct spi_merging *)(uintptr_t)self;
    const struct spi_normal *N = &m->normal;
    double *corner = NULL;
    spi_err err;

    spi_merging_count_product(m);
    spi_merging_partials_zero(m);
    spi_even_vector_put_f64(&N->u, x, N->cube);
    SPI_TRY(err = put_vector(m), out);
    SPI_TRY(err = spi_merging_each_block(m, 1, "solve", task_direct, m->x), out);
    if (m->spec.corner_weight > 0) {
        SPI_TRY(err = SPI_NEW(corner, N->u.count, "merge"), out);
        SPI_TRY(err = spi_convolve_apply(N->toeplitz, N->cube, N->cube), out);
        spi_even_vector_get_f64(&N->u, N->cube, corner);
    }
    spi_merging_partials_sum(m);
    SPI_TRY(err = spi_merging_collect(m, 0, m->n, N->cube), out);
    spi_even_vector_get_f64(&N->u, N->cube, y);
    for (int64_t i = 0; corner && i < N->u.count; i++)
        y[i] += corner[i];
out:
    free(corner);
    return err;
}
