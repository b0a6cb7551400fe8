/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The full-resolution reference: NUFFT plan, prepared grid and ring means of a model.
 * Refinement and validation compare pixels with it.  Layer: mtip. */
#ifndef SPI_MTIP_REFERENCE_H
#define SPI_MTIP_REFERENCE_H

#include "mtip/run.h"
#include "nufft/nufft.h"

struct spi_reference {
    spi_nufft *plan;   /* owned */
    float *grid;       /* the prepared fine grid, owned; NULL: dropped */
    double *ring_mean; /* [rings up to q_max] mean of the model over directions, owned */
};

/** Prepare the model A of a run.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_reference_init(struct spi_reference *m, const struct spi_run *r,
                                       const struct spi_volume *A);
/** Release what the struct owns. */
void spi_reference_clear(struct spi_reference *m);
/** Free the grid unless `kept`, made from it, reads it. */
void spi_reference_drop_grid(struct spi_reference *m, const spi_packed *kept);

#endif
