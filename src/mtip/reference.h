/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The full-resolution reference: NUFFT plan, prepared grid and ring means of a model.
 * Refinement and validation compare pixels with it.  Layer: mtip. */
#ifndef SPI_MTIP_REFERENCE_H
#define SPI_MTIP_REFERENCE_H

#include "match/refine.h"
#include "mtip/data.h"
#include "nufft/nufft.h"

struct spi_reference {
    spi_nufft *plan;   /* owned */
    float *grid;       /* the prepared fine grid, owned; NULL: dropped */
    double *ring_mean; /* [rings up to q_max] mean of the model over directions, owned */
};

/** Prepare the model A, whose images are these, up to q_max.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_reference_init(struct spi_reference *m, const struct spi_data *d,
                                       double q_max, double nufft_tol,
                                       const struct spi_volume *A);
/** Release what the struct owns. */
void spi_reference_clear(struct spi_reference *m);
/** What refines images against it; it borrows the plan, and the grid unless
 * spi_reference_drop_grid may free that. */
SPI_MUSTUSE spi_err spi_reference_refine_set(const struct spi_reference *m,
                                             const struct spi_data *d, double q_max,
                                             const float *ring_signal,
                                             const struct spi_likelihood *like,
                                             struct spi_refine_set *set);
/** Free the grid unless `kept`, made from it, reads it. */
void spi_reference_drop_grid(struct spi_reference *m, const spi_packed *kept);

#endif
