/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * One pass over the images: the replicas that run slice, match and merge side by side.
 * Layer: mtip.
 *
 * _begin says which images each replica sees and makes what its tasks name; _slice, _match
 * and _merge submit the tasks of all replicas, which overlap; _end waits for them. */
#ifndef SPI_MTIP_PASS_H
#define SPI_MTIP_PASS_H

#include "mtip/run.h"

/** Which images a pass sees: those that make the models; those of them that were held out of
 * the random initialisations; the doubtful ones.  Only the first are merged. */
enum spi_pass_sees { SPI_PASS_MODELS, SPI_PASS_HELDOUT, SPI_PASS_DOUBTFUL };

struct spi_pass {
    struct spi_run *run; /* borrowed */
    struct spi_resolution_level level;
    const struct spi_step *step; /* borrowed */
    enum spi_pass_sees sees;
    float *ring_signal; /* [rings matched], owned: (Q27); NULL: all is signal */
    int64_t images;     /* that are matched, by all replicas together */
    double t0;
};

/** Call _end in any case.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_pass_begin(struct spi_pass *p, struct spi_run *r,
                                   const struct spi_step *step, enum spi_pass_sees sees);
/** A -> templates of all view directions. */
SPI_MUSTUSE spi_err spi_pass_slice(struct spi_pass *p);
/** Images x templates -> posterior. */
SPI_MUSTUSE spi_err spi_pass_match(struct spi_pass *p);
/** Posterior, images -> normal equations -> A. */
SPI_MUSTUSE spi_err spi_pass_merge(struct spi_pass *p);
/** Wait; the replicas have their scores and new models, unless `err` or a task failed.
 * report: times and rates of the pass go there, or NULL.  Returns err, else what a task
 * returned. */
SPI_MUSTUSE spi_err spi_pass_end(struct spi_pass *p, spi_err err,
                                 struct spi_generation_report *report);
/** A whole pass without merging: images `sees` are matched with the models. */
SPI_MUSTUSE spi_err spi_pass_only_match(struct spi_run *r, const struct spi_step *step,
                                        enum spi_pass_sees sees);

#endif
