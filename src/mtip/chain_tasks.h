/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What the tasks of a generation do, on blocks of one chain (mtip/generation.c submits
 * them). Layer: mtip. */
#ifndef SPI_MTIP_CHAIN_TASKS_H
#define SPI_MTIP_CHAIN_TASKS_H

#include "mtip/chain.h"
#include "task/graph.h"

/** From this perplexity on, as a fraction of all orientations, it is faster to give all of
 * them weight (doc/performance.md). */
static const double spi_all_from = 2e-4;

/** Argument of slice: template rows first ... first+n-1; of match: images of the batch; of
 * merge: a block of the pairs.  The others take the chain (struct spi_chain *) itself. */
struct spi_range {
    struct spi_chain *c;
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
