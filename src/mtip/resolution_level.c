/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "mtip/resolution_level.h"

#include <math.h>

#include "base/parallel.h"

spi_err spi_resolution_level_init(struct spi_resolution_level *l, const struct spi_rings *g,
                                  const struct spi_settings *set,
                                  const struct spi_likelihood *like, double q_match,
                                  double q_merge, double oversampling, bool init)
{
    spi_err err;

    *l = (struct spi_resolution_level){.R_merge =
                                           q_merge > 0 ? spi_rings_upto(g, q_merge) : 0,
                                       .like = like,
                                       .lambda = init ? set->rlambda_init : set->rlambda,
                                       .n_cg = init ? set->N_cg_init : set->N_cg,
                                       .cg_tol = set->cg_tol,
                                       .support_A = g->diameter_A,
                                       .nufft_tol = set->nufft_tol};
    SPI_TRY(err = spi_band_init(&l->band, g, spi_rings_upto(g, q_match)), fail);
    l->views = spi_views_for(g, &l->band, oversampling);
    if (init && set->N_orientations > 0 &&
        (double)l->views.nd * l->views.Na > set->N_orientations) {
        l->views.nd = (int64_t)fmax(12, set->N_orientations / (double)l->views.Na);
        l->views.cell = sqrt(4 * 3.14159265358979323846 / (double)l->views.nd);
    }
    if (l->R_merge == 0)
        return SPI_OK;
    l->q_max = g->q[l->R_merge - 1];
    spi_merge_grid(g->diameter_A, l->q_max, &l->n, &l->dx);
    SPI_TRY(err = spi_nufft_new(2 * l->n, l->dx, set->nufft_tol, &l->plan2), fail);
    spi_nufft_set_threads(l->plan2, SPI_THREADS_MAX);
    SPI_TRY(err = spi_ring_points(g, l->R_merge, l->plan2, &l->points2), fail);
    return SPI_OK;
fail:
    spi_resolution_level_clear(l);
    return err;
}

void spi_resolution_level_clear(struct spi_resolution_level *l)
{
    spi_band_clear(&l->band);
    spi_points_free(l->points2);
    spi_nufft_free(l->plan2);
    *l = (struct spi_resolution_level){0};
}
