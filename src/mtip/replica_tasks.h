/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the tasks of a generation do, on blocks of one replica (mtip/generation.c submits
 * them): the arrays that each names, in the order of its views.  Layer: mtip.
 *
 *     prepare   model -> fine, rings
 *     slice     fine, rings -> templates, table, S        (a part of the rows)
 *     match     templates, table, S, beta, images -> counts, and fluence, best, kept,
 *               (pair, angle, weight) or averages         (a block of the batch)
 *     index     fluence, pair -> scale, sorted, place, sorted_at
 *     keep      kept, best, fluence -> what lasts of the half set
 *     merge     sorted pairs and their weights, or averages -> a partial sum
 *     solve     partial sums -> model */
#ifndef SPI_MTIP_REPLICA_TASKS_H
#define SPI_MTIP_REPLICA_TASKS_H

#include "mtip/replica.h"
#include "task/graph.h"

enum { SPI_TEMPLATE_PARTS = 32, SPI_PARTIALS_MAX = 4 };

/** From this perplexity on, as a fraction of all orientations, it is faster to give all of
 * them weight (doc/limits.md). */
static const double spi_all_from = 2e-4;

/** What all tasks of a generation read and none changes. */
struct spi_generation_context {
    const struct spi_data *data; /* borrowed, as the next six */
    const struct spi_resolution_level *level;
    const int64_t *image;    /* [images of the half set] index in the file */
    const float *ring_scale; /* of the random initialisation; NULL: none */
    float *ring_signal;      /* [R matched], owned: (Q27); NULL: all is signal */
    int n_group;             /* of the replica's point group */
    const double (*group)[9];
    int keep;           /* candidates per image */
    spi_nufft *plan;    /* of the model's grid, owned */
    spi_points *points; /* ring samples matched, for plan, owned */
    double perplexity;
    bool beta_stays, keep_candidates, store_best, only_candidates, merge;
    int64_t n_batch, *batch; /* places in the half, owned, as the next four */
    int64_t *first;          /* [n_batch + 1] candidate pairs; NULL: all directions */
    int32_t *dir, *row;      /* [pairs]; [nd] view -> template row, or NULL */
    int32_t *used;           /* [n_rows] template row -> view, or NULL */
    int64_t n_rows;
    int n_blocks, block_images;
    int n_soft; /* > 0: all orientations have weight, averages are summed as images are
                 * matched, blocks in turn */
    int n_partials, n_merges;   /* partial sums; blocks of pairs or of tiles */
    struct spi_average average; /* where n_soft */
};

/** What one generation of a replica needs beside the replica. */
struct spi_generation_work {
    struct spi_generation_context context;
    struct spi_graph *g;                                       /* borrowed */
    void (*progress)(int64_t done, int64_t total, void *user); /* of the generation */
    void *user;
    struct spi_volume next; /* the model to be, if its grid is another; owned */
    /* of the replica and of its half set */
    struct spi_array *model, *solved, *beta, *residual, *candidate, *half_fluence,
        *half_best;
    /* of this generation; parts: of the rows, of the batch, of the partials */
    struct spi_array *fine;
    struct spi_array *rings; /* [2][R matched] what scales a ring of the model, and what is
                              * added to it */
    struct spi_array *templates, *table, *S;
    struct spi_array *counts, *fluence, *best, *kept;
    struct spi_array *pair, *angle, *weight; /* ragged: of spi_posterior */
    struct spi_array *soft[SPI_PARTIALS_MAX];
    struct spi_array *scale;     /* [1] of the fluences, that makes their mean 1 */
    struct spi_array *sorted;    /* ragged, one part: by the tile of their direction */
    struct spi_array *sorted_at; /* [n_merges + 1] */
    struct spi_array *place;     /* [nd] of a direction among its neighbours */
    struct spi_array *partial[SPI_PARTIALS_MAX], *partial_weight;
};

/** Argument of every task: rows first ... first+n-1 of the templates, or of the batch; the
 * number of the block. */
struct spi_range {
    const struct spi_generation_context *c;
    int block;
    int64_t first, n;
};

spi_task_fn spi_task_prepare, spi_task_slice, spi_task_match, spi_task_index, spi_task_keep,
    spi_task_merge, spi_task_solve;

#endif
