/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/reference.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "slice/templates.h"

spi_err spi_reference_init(struct spi_reference *m, const struct spi_data *d, double q_max,
                           double nufft_tol, const struct spi_volume *A)
{
    int R = spi_rings_upto(&d->rings, q_max);
    spi_err err;

    *m = (struct spi_reference){0};
    SPI_TRY(err = SPI_NEW(m->ring_mean, R, "model"), out);
    SPI_TRY(err = spi_nufft_new(A->n, A->step, nufft_tol, &m->plan), out);
    spi_nufft_set_threads(m->plan, SPI_THREADS_MAX);
    SPI_TRY(err = spi_nufft_grid_new(m->plan, 1, &m->grid), out);
    SPI_TRY(err = spi_nufft_prepare(m->plan, A->data, m->grid), out);
    err = spi_ring_means_of_model(&d->rings, R, m->plan, m->grid, SPI_MEAN_DIRECTIONS,
                                  m->ring_mean);
out:
    return err;
}

spi_err spi_reference_refine_set(const struct spi_reference *m, const struct spi_data *d,
                                 double q_max, const float *ring_signal,
                                 const struct spi_likelihood *like,
                                 struct spi_refine_set *set)
{
    int R = spi_rings_upto(&d->rings, q_max);
    float *inv_var;
    spi_err err = SPI_NEW(inv_var, R, "refinement");

    if (err)
        return err;
    spi_data_inv_var(d, like, R, inv_var);
    err = spi_refine_set_init(set, d->det, &d->rings, R, m->ring_mean, ring_signal, like,
                              inv_var, m->plan, m->grid);
    free(inv_var);
    return err;
}

void spi_reference_drop_grid(struct spi_reference *m, const spi_packed *kept)
{
    if (spi_packed_reads_grid(kept))
        return;
    free(m->grid);
    m->grid = NULL;
}

void spi_reference_clear(struct spi_reference *m)
{
    spi_nufft_free(m->plan);
    free(m->grid);
    free(m->ring_mean);
    *m = (struct spi_reference){0};
}
