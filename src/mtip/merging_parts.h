/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the files of merging (mtip/merging.h) share.  Layer: mtip.
 *
 *     merging.c           the normal equations and their solution
 *     merging_spread.c    blocks of images -> partial sums, pixel by pixel
 *     merging_views.c     the same, images summed by view direction first
 *     merging_direct.c    the product point by point
 *     merging_lcurve.c    many lambdas, and the choice of one */
#ifndef SPI_MTIP_MERGING_PARTS_H
#define SPI_MTIP_MERGING_PARTS_H

#include "mtip/merging.h"

enum { SPI_MERGING_BLOCK_MAX = 256 }; /* images of a task */

/** Argument of the tasks: a block of images (or of directions) and its partial. */
struct spi_merging_block {
    const struct spi_merging *m; /* [n_sets] */
    int64_t *done;               /* images, for progress */
    int n_sets, partial;
    int64_t first, n;
};

/** The images of a block that take part in a set. */
struct spi_merging_chosen {
    int64_t n;
    double (*quat)[4]; /* [n], owned */
    float *phi;        /* [n], owned */
    float *times;      /* [n] of spi_beside, owned */
};

/** The block of images from `first` on, and the partial that the block of this number adds
 * to. */
struct spi_merging_block spi_merging_block_at(struct spi_merging *m, int n_sets,
                                              int64_t first, int64_t number);
/** The images of a block with a fluence in this set. */
SPI_MUSTUSE spi_err spi_merging_choose(const struct spi_merging_block *a, int set,
                                       struct spi_merging_chosen *c);
/** Release what the struct owns. */
void spi_merging_chosen_clear(struct spi_merging_chosen *c);
/** The images of a block that take part in a set, in counts: from `all` to `pixels`, which
 * may be the same memory. */
void spi_merging_take(const struct spi_merging_block *a, int set, const float *all,
                      float *pixels);
/** (V12): var b = K / (phi g)^2 for photons, so w var b = kappa K / (phi g). */
double spi_merging_expected_misfit(const struct spi_merging_spec *s,
                                   const struct spi_merging_chosen *c, int64_t n_pixels,
                                   const float *pixels);
/** Progress: the images of a block are done. */
void spi_merging_tell(const struct spi_merging_block *a, spi_err err);

/** One task a block; each partial is written in the order of submission.  Views of a task:
 *  of each set a partial and its sums; then `extra` (may be NULL), which it reads.  Waits.
 */
SPI_MUSTUSE spi_err spi_merging_each_block(struct spi_merging *m, int n_sets,
                                           const char *name, spi_task_fn *fn,
                                           struct spi_array *extra);
/** Partials, all zero; n_sets sets share the memory. */
SPI_MUSTUSE spi_err spi_merging_partials_new(struct spi_merging *m, int n_sets);
/** partial 0 += all others, in their order.  After a wait. */
void spi_merging_partials_sum(struct spi_merging *m);
/** All partials zero again.  After a wait. */
void spi_merging_partials_zero(struct spi_merging *m);
/** Release them. */
void spi_merging_partials_free(struct spi_merging *m);
/** Component c (0: w b, 1: w) of partial 0, the middle n^3 modes. */
SPI_MUSTUSE spi_err spi_merging_collect(struct spi_merging *m, int c, int n, double *to);

/** All images -> partials, pixel by pixel. */
SPI_MUSTUSE spi_err spi_merging_spread(struct spi_merging *m, int n_sets);
/** All images -> sums by view direction -> partials; one set. */
SPI_MUSTUSE spi_err spi_merging_spread_views(struct spi_merging *m);

/** Memory for the product point by point. */
SPI_MUSTUSE spi_err spi_merging_direct_new(struct spi_merging *m);
/** The product point by point (V11), for m->normal.op; self: m. */
SPI_MUSTUSE spi_err spi_merging_direct_apply(const void *self, const double *x, double *y);
/** Another product has begun: counts it, tells the caller. */
void spi_merging_count_product(struct spi_merging *m);

#endif
