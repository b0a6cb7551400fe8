/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Images summed by view direction before they are spread.  Layer: merge.
 * doc/math.md (V14), (V15).
 *
 * Each image's orientation is R_n Rz(a): the in-plane angle a is exact, the view direction
 * n is rounded to the nearest of nd.  What merging needs of an image, the sums of w b f and
 * of w f over its pixels, is moved to rings and rotated there; after the last image the
 * sums of a direction are spread at once.  So the cost of spreading does not depend on the
 * number of images, and the weights are those of merging pixel by pixel, whatever they are.
 */
#ifndef SPI_MERGE_VIEW_SUMS_H
#define SPI_MERGE_VIEW_SUMS_H

#include <complex.h>

#include "merge/merge_pixels.h"
#include "ring/nodes.h"

struct spi_view_sums {
    struct spi_ring_nodes data;   /* of w b: band D */
    struct spi_ring_nodes weight; /* of w: band 2 D */
    float complex *live;          /* [weight harmonics] of kappa g, owned */
    int M;                        /* harmonics of the last ring of `weight` */
    int64_t nd;
    float complex *num;    /* [nd][data harmonics], owned */
    float complex *phasor; /* [nd][M]: sum of phi exp(-i m a), owned */
    float complex *one;    /* [M], owned scratch */
    int32_t *count;        /* [nd] images, owned */
};

/** Directions `cells` Shannon cells 1/(2 D q_max) apart, for the pixels of a list.  Memory:
 *  nd images. */
SPI_MUSTUSE spi_err spi_view_sums_init(struct spi_view_sums *s,
                                       const struct spi_pixel_list *l, double wavelength_A,
                                       double diameter_A, double cells);
/** Release what the struct owns. */
void spi_view_sums_clear(struct spi_view_sums *s);

/** Harmonics of one image: h [spi_view_sums_harmonics]; value [l->n] from
 * spi_merge_pixels_weigh.
 */
SPI_MUSTUSE spi_err spi_view_sums_analyse(const struct spi_view_sums *s,
                                          const float (*value)[2], float complex *h);
/** Number of harmonics of an image. */
int spi_view_sums_harmonics(const struct spi_view_sums *s);
/** Add one image: its harmonics, orientation (molecule -> laboratory) and fluence. */
void spi_view_sums_add(struct spi_view_sums *s, const float complex *h,
                       const double quat[4], float fluence);
/** Spread directions first .. first + n - 1 into a two-component fine grid: w b and w. */
SPI_MUSTUSE spi_err spi_view_sums_spread(const struct spi_view_sums *s, int64_t first,
                                         int64_t n, const spi_nufft *plan, float *grid2);

#endif
