/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/reference.h"

#include <stdlib.h>

#include "base/mem.h"
#include "slice/templates.h"

spi_err spi_reference_init(struct spi_reference *m, const struct spi_run *r,
                           const struct spi_volume *A)
{
    int R = spi_rings_upto(&r->data->rings, r->q_max);
    spi_err err;

    *m = (struct spi_reference){0};
    SPI_TRY(err = SPI_NEW(m->ring_mean, R, "model"), out);
    SPI_TRY(err = spi_nufft_new(A->n, A->step, r->set->nufft_tol, &m->plan), out);
    SPI_TRY(err = spi_nufft_grid_new(m->plan, 1, &m->grid), out);
    SPI_TRY(err = spi_nufft_prepare(m->plan, A->data, m->grid), out);
    err = spi_ring_means_of_model(&r->data->rings, R, m->plan, m->grid, SPI_MEAN_DIRECTIONS,
                                  m->ring_mean);
out:
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
