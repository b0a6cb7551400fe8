/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What lasts of a run from one generation to the next: a table for each struct.  Layer:
 * mtip.
 *
 * The tables make the members of struct spi_run, struct spi_half_set and struct spi_replica,
 * and write and read the checkpoint, member by member (mtip/checkpoint.c).  A member that
 * shall last is one line here, and a line in the checks of checkpoint.c where not every
 * value is possible.
 *
 *     ONE(type, name)             a member
 *     MANY(type, name, count)     an array of fixed length
 *     EACH(type, name, columns)   [n_images][columns], owned
 */
#ifndef SPI_MTIP_LASTING_H
#define SPI_MTIP_LASTING_H

#include "fsc/align.h"
#include "fsc/symmetry_map.h"
#include "match/posterior.h"

enum { SPI_DIAMETERS_MAX = 3, SPI_GROUP_NAME = 16 };

#define SPI_RUN_LASTING(ONE, MANY)                                                         \
    ONE(int32_t, generation)  /* done so far */                                            \
    ONE(int32_t, begun_at)    /* the generation after which it began with this diameter */ \
    ONE(int32_t, stage)       /* what comes next: enum spi_stage, ... */                   \
    ONE(int32_t, step)        /* ... and the step in it */                                 \
    ONE(int32_t, n_replicas)  /* of each half set */                                       \
    ONE(int32_t, round)       /* rounds of random initialisations begun */                 \
    MANY(int32_t, leading, 2) /* the best replica of each half */                          \
    ONE(double, best_cc)      /* largest mean_cc so far at full q_max */                   \
    ONE(int32_t, waiting) /* generations of the final refinement without improvement */    \
    ONE(int32_t, have_pose)                                                                \
    ONE(struct spi_pose, pose) /* superposes half 2 on half 1; R: of the intensities */    \
    ONE(double, halves_cc)     /* of the random initialisations that lead */               \
    ONE(double, last_cc)       /* the same of the last generation's models */              \
    ONE(int32_t, converged)                                                                \
    ONE(struct spi_symmetry_found, found) /* point group, if none was given */             \
    ONE(int32_t, n_diameters)             /* that the run has had, the last one now */     \
    MANY(double, diameter_A, SPI_DIAMETERS_MAX)

#define SPI_HALF_SET_LASTING(ONE, EACH)                                               \
    ONE(int64_t, candidate_nd) /* the grid of the candidates; 0: no candidates yet */ \
    ONE(double, candidate_cell)                                                       \
    ONE(int64_t, best_nd)          /* grid of best[].dir */                           \
    EACH(int32_t, candidate, keep) /* view directions, best first; -1: none */        \
    EACH(float, fluence, 1)                                                           \
    EACH(struct spi_best, best, 1)

/* Beside these a replica has its model A, which a fresh random initialisation makes again. */
#define SPI_REPLICA_LASTING(ONE, MANY)                                                  \
    ONE(float, beta)                                                                    \
    ONE(double, score)                   /* mean best LL per count of the last batch */ \
    ONE(double, residual)                /* relative residual of the last solve */      \
    MANY(char, symmetry, SPI_GROUP_NAME) /* the particle's point group, "C1": none */   \
    MANY(double, axes, 9)                /* from its standard frame to the model's */

/* The bytes of these structs are saved: padding would be whatever was in memory. */
_Static_assert(sizeof(struct spi_pose) == 12 * sizeof(double) + sizeof(int64_t),
               "no padding");
_Static_assert(sizeof(struct spi_symmetry_found) == 16 + 12 * sizeof(double), "no padding");
_Static_assert(sizeof(struct spi_best) == sizeof(int32_t) + 4 * sizeof(float),
               "no padding");

/* As members of a struct. */
#define SPI_MEMBER(type, name)             type name;
#define SPI_MEMBER_MANY(type, name, count) type name[count];
#define SPI_MEMBER_EACH(type, name, count) type *name;

#endif
