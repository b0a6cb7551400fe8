/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the tasks of a generation do, on blocks of one replica (mtip/generation.c submits
 * them). Layer: mtip. */
#ifndef SPI_MTIP_REPLICA_TASKS_H
#define SPI_MTIP_REPLICA_TASKS_H

#include "mtip/replica.h"
#include "task/graph.h"

enum { SPI_BLOCKS_MAX = 32, SPI_PARTIALS_MAX = 4 };

/** From this perplexity on, as a fraction of all orientations, it is faster to give all of
 * them weight (doc/limits.md). */
static const double spi_all_from = 2e-4;

/** Where most orientations have weight: the averaged images they add to. */
struct spi_replica_soft {
    struct spi_average average;
    struct spi_region *region;
};

/** What one generation of a replica needs beside the replica. */
struct spi_generation_work {
    struct spi_replica *c; /* borrowed; tasks change A, ring_scale, beta and residual of it,
                          * and candidates, fluence and best of its half set */
    struct spi_graph *g;   /* borrowed */
    const struct spi_resolution_level *level;
    spi_nufft *plan;    /* of the model's grid */
    spi_points *points; /* ring samples matched, for plan */
    double perplexity;
    bool keep_candidates, store_best;
    int64_t n_batch, *batch; /* places in the half */
    int64_t *first;          /* [n_batch + 1] candidate pairs; NULL: all directions */
    int32_t *dir, *row;      /* [pairs]; [nd] view -> template row, or NULL */
    int32_t *used;           /* [n_rows] template row -> view, or NULL */
    int64_t n_rows;
    float *fine, *templates, *table, *S;
    int n_soft; /* > 0: all orientations have weight, averages are summed as images are
                 * matched, blocks in turn */
    struct spi_replica_soft soft[SPI_PARTIALS_MAX];
    struct spi_posterior *post; /* [n_blocks] */
    int n_blocks, block_images;
    float *fluence;      /* [n_batch] */
    float *counts;       /* [n_batch] on the rings matched */
    float fluence_scale; /* that made their mean 1 */
    int64_t n_pairs;
    int32_t *place;             /* [nd] of a direction among its neighbours */
    struct spi_view_pair *pair; /* [n_pairs] sorted by the tile of their direction */
    int64_t *pair_at;           /* [merge blocks + 1] */
    int n_partials, n_merges;   /* partial sums; blocks of pairs */
    float *partial[SPI_PARTIALS_MAX];
    double partial_weight[SPI_PARTIALS_MAX];
    struct spi_region *r_model, *r_fine, *r_beta, *r_pairs, *r_templates[SPI_BLOCKS_MAX],
        *r_partial[SPI_PARTIALS_MAX], **r_post;
};

/** Argument of slice: template rows first ... first+n-1; of match: images of the batch; of
 * merge: a block of the pairs.  The others take the work
 * (struct spi_generation_work *) itself. */
struct spi_range {
    struct spi_generation_work *w;
    int block;
    int64_t first, n;
};

spi_task_fn spi_task_prepare; /* fine grid <- A */
spi_task_fn spi_task_slice;   /* templates <- fine grid */
spi_task_fn spi_task_match;   /* posterior <- images, templates */
spi_task_fn spi_task_index;   /* sorted pairs, fluences <- posteriors */
spi_task_fn spi_task_merge;   /* partial sums <- pairs, images */
spi_task_fn spi_task_solve;   /* A <- partial sums */

#endif
