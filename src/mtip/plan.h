/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What each generation does: random initialisations, frequency marching, final refinement.
 * Layer: mtip.  doc/math.md section 7.
 *
 * init         random mini-batches, all orientations at q D ~ 5; the perplexity falls
 *              geometrically over the first 80 % of the generations.
 * marching     the chosen random initialisation of each half set climbs in resolution: it
 *              matches on the rings known and merges up to the next level, first
 *              exhaustively, then near each image's candidates.
 * refinement   all rings, directions half a cell apart, until the half maps no longer
 *              improve.
 *
 * A model that is given needs no random initialisation and is not merged: its images climb in
 * resolution as in frequency marching (M7), and then to finer directions. */
#ifndef SPI_MTIP_PLAN_H
#define SPI_MTIP_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/settings.h"

enum spi_stage { SPI_STAGE_INIT, SPI_STAGE_MARCHING, SPI_STAGE_REFINEMENT, SPI_STAGE_DONE };

struct spi_step {
    enum spi_stage stage;
    double q_match, q_merge; /* 1/A */
    double oversampling;     /* directions per Shannon cell and axis */
    double cooling;          /* init: 0 at the first perplexity, 1 at the last */
    double perplexity;       /* target, in orientations, after init */
    bool local;              /* near the candidates only */
    double search_radius; /* local: that many cells of the candidates' grid around each */
    int best_of;          /* candidates used */
    int64_t batch;        /* images of each half set; 0: all */
    bool impose_group;    /* init: impose the given point group on the models first */
    bool keep;            /* keep candidates and best orientations */
};

/** Whether the settings name a point group. */
bool spi_plan_symmetry_given(const struct spi_settings *s);
/** Resolution at the end of the random initialisations, 1/A. */
double spi_plan_init_q(const struct spi_settings *s, double diameter_A, double q_max);
/** Step `i` of a stage; false when the stage has no such step (the final refinement has any
 * number). */
bool spi_plan_step(const struct spi_settings *s, double diameter_A, double q_max,
                   enum spi_stage stage, int i, struct spi_step *step);
/** Step `i` of matching against a model that is given, up to q_max and directions 1/finer of
 * a Shannon cell apart; false when there is no such step.  exhaustive: all of it at once.
 * keep: candidates only, of all steps but the last. */
bool spi_plan_given(const struct spi_settings *s, double diameter_A, double q_max,
                    double finer, bool exhaustive, int i, struct spi_step *step);
/** Perplexity asked of a generation when there are `n` orientations: in the random
 *  initialisations p0 n (p1 / (p0 n))^cooling. */
double spi_plan_perplexity(const struct spi_settings *s, const struct spi_step *step,
                           double n);
/** Share of the planned work (one round of random initialisations, frequency marching, two generations of
 *  final refinement) that is done after step `i` of a stage, 0 to 1: slicing and merging
 *  grow as q^4, views times samples.  More rounds or refinement: the share stays until the
 *  plan is caught up. */
double spi_plan_done(const struct spi_settings *s, double diameter_A, double q_max,
                     enum spi_stage stage, int i);
/** "init", "marching", "refinement", "done". */
const char *spi_stage_name(enum spi_stage stage);

#endif
