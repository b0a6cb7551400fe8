/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Model slices on rings, ready to be compared with images.  Layer: slice.
 * doc/math.md section 3.
 *
 * For view direction n and the first R rings: T_n(r, phi_j) = W(R_n q(r, phi_j)) by NUFFT
 * type 2 on the exact curved positions, floored at 2 % of its ring's mean (a merged W may
 * be negative), and then turned into what the likelihood needs (B4): L = f(T) and
 * table(sum_rj d_rj h(T_n(phi_j + a))), so
 *
 *     poisson:   L = log(T / Sbar_n),
 *                table_{n,a} = log(sum_rj d_rj T_n(phi_j + a) / Sbar_n)
 *     gaussian:  L = T / sigma_r^2,
 *                table_{n,a} = sum_rj d_rj T_n(phi_j + a)^2 / sigma_r^2
 *
 * d: live weight of the ring samples (masks, geometry); Sbar_n: sum of d times the ring
 * mean, the unit of T. */
#ifndef SPI_SLICE_TEMPLATES_H
#define SPI_SLICE_TEMPLATES_H

#include "likelihood/likelihood.h"
#include "nufft/nufft.h"
#include "ring/ring.h"

struct spi_template_spec {
    const struct spi_rings *rings;
    const struct spi_band *band;
    const struct spi_ring_map *map; /* for d */
    struct spi_views views;
    const struct spi_likelihood *like;
    const float *ring_scale;  /* [R] or NULL: T is multiplied by it, */
    const float *ring_add;    /* [R] or NULL: and this is added */
    const float *inv_var;     /* [R] 1 / sigma_r^2; NULL where `like` is not weighted */
    const spi_points *points; /* spi_ring_points of R rings for the plan; NULL: made here */
};

/** Directions first ... first+n-1 of the views (or dir_list[first + i] if not NULL).
 *  grid: prepared fine grid of W.  record: [n][band->floats] = L, ring r divided by n_r so
 *  that correlating harmonics is the sum over samples (R6).  table: [n][Na].
 *  S: [n][Na] = sum_rj d_rj T_n(phi_j + a), the counts expected at fluence 1. */
SPI_MUSTUSE spi_err spi_templates_make(const struct spi_template_spec *spec,
                                       const spi_nufft *plan, const float *grid,
                                       const int32_t *dir_list, int64_t first, int64_t n,
                                       float *record, float *table, float *S);

/** mean [n][R]: of W over each of the first R rings, seen from each direction.  points:
 * spi_ring_points of R rings for the plan. */
SPI_MUSTUSE spi_err spi_ring_means_of_views(const struct spi_rings *g, int R,
                                            const spi_points *points, const float *grid,
                                            int n, const double (*dir)[3], double *mean);

enum { SPI_MEAN_DIRECTIONS = 100 }; /* enough for the mean of a ring */
/** Mean of W over each of the first R rings, over n_dir directions spread over the sphere.
 */
SPI_MUSTUSE spi_err spi_ring_means_of_model(const struct spi_rings *g, int R,
                                            const spi_nufft *plan, const float *grid,
                                            int n_dir, double *mean);

#endif
