/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Coarse to fine: all orientations at low resolution, then only those near the best.
 * Layer: match.  doc/math.md (M7).
 *
 * Level 0 compares every image with all orientations on the first rings and keeps the best
 * distinct directions of each; every further level takes more rings and a finer grid, and
 * compares with the directions near those kept (all in-plane angles again).  The levels
 * after the one that has all rings only halve the grid. */
#ifndef SPI_MATCH_SEARCH_H
#define SPI_MATCH_SEARCH_H

#include "match/posterior.h"
#include "match/score.h"

enum { SPI_SEARCH_LEVELS = 16, SPI_SEARCH_NEAR = 48, SPI_SEARCH_KEEP = 5 };

struct spi_search_level {
    struct spi_band band;
    struct spi_views views;
    int keep;      /* candidates of an image that leave this level */
    double radius; /* rad: how near to a candidate of the level before */
    int32_t *
        near; /* [directions before][SPI_SEARCH_NEAR], -1 ends each; owned; level 0: NULL */
    /* the model, by the caller, borrowed: rows of directions, see struct spi_score_input */
    const float *templates, *table, *S;
    const int32_t *row;
};

struct spi_search {
    const struct spi_rings *rings; /* borrowed */
    const struct spi_likelihood *like;
    int n;
    struct spi_search_level level[SPI_SEARCH_LEVELS];
};

/** Levels from |q| = q_start by equal factors of at most 1.4 to all rings, then down to
 * 1/finer of a Shannon cell.  SPI_EINVAL: too many levels. */
SPI_MUSTUSE spi_err spi_search_init(struct spi_search *s, const struct spi_rings *g,
                                    const struct spi_likelihood *like, double q_start,
                                    double finer);
/** Release what the struct owns. */
void spi_search_clear(struct spi_search *s);

/** Fill level[l].near for the directions first ... first+n-1 of the level before; used[i]
 * of each: 0 where it is no candidate (NULL: all are). */
void spi_search_near(const struct spi_search *s, int l, int64_t first, int64_t n,
                     const uint8_t *used);
/** used[d] = 1 for the directions that level l compares with n images; candidates:
 * [n][SPI_SEARCH_KEEP] of the level before, -1: none. */
void spi_search_mark(const struct spi_search *s, int l, int64_t n,
                     const int32_t *candidates, uint8_t *used);
/** order[n]: images such that neighbours have their best candidates of level 0 near each
 * other on the sphere, so that they share templates in cache. */
SPI_MUSTUSE spi_err spi_search_order(const struct spi_search *s, int64_t n,
                                     const int32_t *candidates, int64_t *order);

/** Level 0 of n images: h[i]: ring-major harmonics of image i; out: candidates, best first
 * [n][SPI_SEARCH_KEEP]. */
SPI_MUSTUSE spi_err spi_search_coarse(const struct spi_search *s, int n,
                                      const float complex *const *h, int32_t *candidates);
/** Level l > 0 of n images; candidates[i]: of image i, replaced by those of this level.
 * best, fluence [n]: of the last level (else NULL): fluence = counts / expected counts. */
SPI_MUSTUSE spi_err spi_search_fine(const struct spi_search *s, int l, int n,
                                    const float complex *const *h,
                                    int32_t *const *candidates, struct spi_best *best,
                                    float *fluence);

#endif
