/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The orientation of every image at the end of a run: collected from the half sets, refined
 * continuously, brought into one frame.  Layer: mtip.  doc/math.md (Q6). */
#ifndef SPI_MTIP_ORIENTATIONS_H
#define SPI_MTIP_ORIENTATIONS_H

#include "io/orient.h"
#include "match/refine.h"
#include "mtip/reference.h"
#include "mtip/run.h"

/** What the last generation stored, in the order of the file; each half in its own frame.
 */
SPI_MUSTUSE spi_err spi_run_orientations(const struct spi_run *r,
                                         struct spi_orientations *o);

/** What the last generation stored of a replica's half set `which` (0, 1), written to the
 * places of its images; o->half and o->entropy ... of all other images stay. */
void spi_replica_orientations(const struct spi_replica *c, int which,
                              struct spi_orientations *o);
/** Mean fluence of each half set (o->half NULL: of all images) becomes 1. */
void spi_orientations_normalise(struct spi_orientations *o);

/** Refine images as tasks, pixel by pixel, against model[half - 1] (o->half NULL:
 * model[0]); rotation, score and fluence are replaced, fluences of each half divided by
 * their mean. scale: image value -> counts; beside: counts taken from each image.  progress (may be NULL) is told how many images
 * are done. The result does not depend on the number of workers. */
SPI_MUSTUSE spi_err spi_refine_images(struct spi_graph *g, struct spi_images *images,
                                      double scale, const struct spi_beside *beside,
                                      const struct spi_refine *const model[2],
                                      void (*progress)(int64_t done, int64_t total,
                                                       void *user),
                                      void *user, struct spi_orientations *o);
/** The models of the half sets, ready to be compared with. */
struct spi_half_models {
    struct spi_reference reference[2];
    struct spi_refine_set set[2];
};
/** A[h] brought to what of it is signal (Q27); clear it also on failure.  SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_half_models_init(const struct spi_run *r,
                                         const struct spi_volume *const A[2],
                                         struct spi_half_models *m);
/** Release what the struct owns. */
void spi_half_models_clear(struct spi_half_models *m);

/** All images of a run, each half against A[h], its own. */
SPI_MUSTUSE spi_err spi_run_refine(struct spi_run *r, const struct spi_volume *const A[2],
                                   struct spi_orientations *o);

/** Half 2 into the frame of half 1: M -> G M, so R = M^T -> R G^T. */
void spi_orientations_common_frame(const double G[9], struct spi_orientations *o);

#endif
