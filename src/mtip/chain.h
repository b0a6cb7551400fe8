/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * One model on its way: a start of a half set, later the half set itself.  Layer: mtip.
 *
 * A chain owns the model (autocorrelation A) and what the images said of it.  The four
 * stages of a generation are submitted as tasks; two chains share nothing, so the half sets
 * and the starts run side by side.
 *
 *     slice   A -> templates of all view directions        (blocks of directions)
 *     match   images x templates -> posterior              (blocks of images)
 *     merge   posterior, images -> normal equations -> A   (blocks of directions)
 *     phase   A -> density                                 (one task a half set)
 *
 * generation.c submits the first three, chain_tasks.c is what they do; halves.c phases. */
#ifndef SPI_MTIP_CHAIN_H
#define SPI_MTIP_CHAIN_H

#include "match/posterior.h"
#include "math/volume.h"
#include "merge/views.h"
#include "mtip/data.h"
#include "mtip/level.h"
#include "slice/templates.h"

enum { SPI_BLOCKS_MAX = 32, SPI_SLOTS_MAX = 4 };

/** Where most orientations have weight: the averaged images they add to. */
struct spi_chain_soft {
    struct spi_average average;
    struct spi_region *region;
};

/** What is known of each image of a half set (index: place in the half). */
struct spi_half {
    int64_t n_images;
    int64_t *image;     /* [n_images] index in the file, owned */
    int keep;           /* candidates per image */
    int32_t *candidate; /* [n_images][keep] view directions, best first; -1: none; owned */
    int64_t candidate_nd; /* the grid of the candidates; 0: no candidates yet */
    double candidate_cell;
    float *fluence;        /* [n_images], owned */
    struct spi_best *best; /* [n_images], owned */
    int64_t best_nd;       /* grid of best[].dir */
};

struct spi_chain {
    const struct spi_data *data;
    struct spi_half *half; /* borrowed */
    uint64_t seed;
    int index;           /* number of the start, for its random stream */
    struct spi_volume A; /* the model */
    float *ring_scale;   /* [R], owned: of the random start; NULL later */
    float beta;
    double score;       /* mean best LL per count of the last batch */
    double residual;    /* relative residual of the last solve */
    char symmetry[16];  /* the particle's point group, "C1": none */
    double axes[9];     /* from its standard frame to that of the model */
    int n_group;        /* its elements */
    double (*group)[9]; /* [n_group], turned by the axes; owned */

    /* of the generation that runs; released by spi_chain_settle */
    struct spi_graph *g;
    const struct spi_level *level;
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
    struct spi_chain_soft soft[SPI_SLOTS_MAX];
    struct spi_posterior *post; /* [n_blocks] */
    int n_blocks, block_images;
    float *fluence;      /* [n_batch] */
    float *counts;       /* [n_batch] on the rings matched */
    float fluence_scale; /* that made their mean 1 */
    int64_t n_pairs;
    int32_t *place;             /* [nd] of a direction among its neighbours */
    struct spi_view_pair *pair; /* [n_pairs] sorted by the tile of their direction */
    int64_t *pair_at;           /* [merge blocks + 1] */
    int n_slots, n_merges;      /* partial sums; blocks of pairs */
    float *slot[SPI_SLOTS_MAX];
    double slot_weight[SPI_SLOTS_MAX];
    struct spi_region *r_model, *r_fine, *r_beta, *r_pairs, *r_templates[SPI_BLOCKS_MAX],
        *r_slot[SPI_SLOTS_MAX], **r_post;
};

SPI_MUSTUSE spi_err spi_half_init(struct spi_half *h, const struct spi_data *d, int which,
                                  int keep);
void spi_half_clear(struct spi_half *h);

/** A chain with a random model: the autocorrelation of a dozen random blobs, its rings
 * scaled to those of the data.  Stream (seed, SPI_RNG_START_MODEL, index). */
SPI_MUSTUSE spi_err spi_chain_init(struct spi_chain *c, const struct spi_data *d,
                                   struct spi_half *half, const struct spi_level *level,
                                   uint64_t seed, int index);
void spi_chain_clear(struct spi_chain *c);
/** From now on the particle has this point group: images spread over its elements when
 * merged, and all directions means all of its asymmetric unit.  axes: from the standard
 * frame (math/symmetry.h) to that of the model; NULL: the same. */
SPI_MUSTUSE spi_err spi_chain_symmetry(struct spi_chain *c, const char *group,
                                       const double axes[9]);

/** How a generation treats the images. */
struct spi_generation {
    const struct spi_level *level;
    double perplexity; /* target; a fraction of all orientations has been multiplied out */
    int64_t n_batch;
    const int64_t *batch; /* [n_batch] places in the half */
    bool local;           /* only directions near the candidates of each image */
    double radius;        /* local: rad around each candidate */
    int best_of;          /* local: use this many candidates of each image */
    bool keep_candidates; /* write the new candidates to the half */
    bool store_best;      /* write best orientation and fluence to the half */
    bool merge;           /* also merge (false: only match, for held-out scores) */
};

/** generation.c: submit slice, match and merge of one generation.  After spi_graph_wait
 * call _settle. */
SPI_MUSTUSE spi_err spi_chain_submit(struct spi_chain *c, struct spi_graph *g,
                                     const struct spi_generation *gen, int block_images);
/** Collect score; release what the generation needed.  Call after the wait, also after a
 * failure. */
void spi_chain_settle(struct spi_chain *c);

#endif
