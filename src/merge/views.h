/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Averaged images of view directions, spread into reciprocal space.  Layer: merge.
 * doc/math.md section 2.
 *
 * All images of one view direction n, rotated in the plane and weighted by the posterior,
 * make one averaged image on rings; merging then costs the same however many images there
 * are:
 *
 *     num_n(r, psi) = sum_k sum_a P_k(n, a) K'_k(r, psi - a)                          (V1)
 *     den_n(r, psi) = sum_k phi_k sum_a P_k(n, a) d(r, psi - a)                       (V2)
 *
 * and the least squares of section 2 has b = num / den with weight kappa_r den,
 * kappa_r = q_r / q_R (density compensation).  (kappa num, kappa den) is spread at
 * R_n q(r, psi), or for a particle with a point group at S R_n q(r, psi) for each of its
 * elements S (V6). */
#ifndef SPI_MERGE_VIEWS_H
#define SPI_MERGE_VIEWS_H

#include "merge/average.h"
#include "nufft/nufft.h"
#include "ring/ring.h"

enum { SPI_VIEW_TILE = 16 }; /* directions averaged side by side */

/** One (image, direction) pair: its weights are `count` of its image's block, from `first`
 * on. */
struct spi_view_pair {
    int64_t image, first;
    int32_t dir, count;
};

/** Weights of the pairs of a block of images, at in-plane angles; borrowed. */
struct spi_view_weights {
    const uint16_t *angle;
    const float *weight;
};

struct spi_view_spec {
    const struct spi_rings *rings;
    int R;                          /* rings merged */
    const struct spi_ring_map *map; /* d */
    struct spi_views views;         /* directions and angles of the pairs */
    const int32_t *place; /* [views.nd] of each direction in an order of neighbours, in
                           * tiles of SPI_VIEW_TILE; NULL: its number */
    /* ring-major harmonics of an image, of the first R rings; h: room for them */
    const float complex *(*harmonics)(const void *images, int64_t image, int R,
                                      float complex *h);
    /* prefetch hint for `image`; may be NULL */
    void (*ahead)(const void *images, int64_t image);
    const void *images;
    const float *fluence;                   /* [images] phi_k */
    const struct spi_view_weights *weights; /* of image k: [k / block_images] ... */
    int64_t block_images;                   /* ... 0: [0] of every image */
    int n_group;                            /* elements of the point group; 0 or 1: none */
    const double (*group)[9];
    const spi_points *points; /* spi_ring_points of R rings for the plan; NULL: made here */
    int threads; /* of a loop over directions (base/parallel.h); 0 or 1: the caller's */
};

/** Add the pairs to a two-component fine grid of `plan`.  They are sorted by the tile of
 *  their direction; within a tile best image by image: an image is then read once for all
 *  directions that it has there.  weight_sum (may be NULL) is increased by the sum of the
 *  spread weights. */
SPI_MUSTUSE spi_err spi_views_merge(const struct spi_view_spec *spec, int64_t n,
                                    const struct spi_view_pair *pair, const spi_nufft *plan,
                                    float *grid2, double *weight_sum);

/** The same of n rows of averages from a tile on: sum are its sums, dir[i] (NULL: i) the
 * direction of row i there; of spec only rings, R, map, views, points and the group count.
 * phi_scale: of the fluences. */
SPI_MUSTUSE spi_err spi_views_merge_average(const struct spi_view_spec *spec,
                                            const struct spi_average *average,
                                            const float *sum, int64_t n, const int32_t *dir,
                                            float phi_scale, const spi_nufft *plan,
                                            float *grid2, double *weight_sum);

#endif
