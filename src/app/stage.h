/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * What several commands share.  Layer: app. */
#ifndef SPI_APP_STAGE_H
#define SPI_APP_STAGE_H

#include "base/settings.h"
#include "io/images.h"
#include "io/orient.h"
#include "math/volume.h"
#include "nufft/nufft.h"
#include "task/graph.h"

/** Images in a block of some 32 MiB of pixels, at least 1. */
int64_t spi_stage_block(const struct spi_detector *det);

/** What settings must be beside each other, and texts that are more than words: recipe,
 * point group, L-curve; the task engine.  Called before any work.  SPI_EUSAGE names the
 * setting. */
SPI_MUSTUSE spi_err spi_stage_check_settings(const struct spi_settings *set);

/** The task engine that the settings ask for.  stop: as spi_graph_new. */
SPI_MUSTUSE spi_err spi_stage_graph(const struct spi_settings *set,
                                    const volatile int *stop, struct spi_graph **graph);

/** Are there rings enough for a match?  setting: what the user has chosen of these numbers,
 * NULL: nothing.  SPI_EUSAGE names it, SPI_EFORMAT without it. */
SPI_MUSTUSE spi_err spi_stage_check_rings(const char *path, double diameter_A, double q_min,
                                          double q_max, double oversampling,
                                          const char *setting);

/** Smallest |q| of the good pixels, 1/A. */
double spi_stage_lowest_q(const struct spi_detector *det);

/** Orientations from a file, or with path "truth" those that the image file holds.  n: as
 * many must there be (0: any number).  Checks that fluences are finite and not negative,
 * and warns of quaternions that seem to be in another convention. SPI_EFORMAT: the message
 * names file, numbers found and needed. */
SPI_MUSTUSE spi_err spi_stage_orientations(const char *path, const char *images_path,
                                           struct spi_images *images, int64_t n,
                                           struct spi_orientations *o);

/** The autocorrelation in a map.  SPI_EFORMAT: as spi_mrc_read_voxel; a map of this program
 * that is something else; not even about voxel n/2 within the rounding of its numbers; not
 * largest there. */
SPI_MUSTUSE spi_err spi_stage_autocorrelation(const char *path, double voxel_A,
                                              struct spi_volume *A);

/** The autocorrelation in a map and the highest |q| it is good for: 1 / (2.08 voxels), the
 *  margin of spi_merge_grid.  voxel_A: as spi_mrc_read_voxel.  SPI_EFORMAT: sides that a
 * transform cannot take, or zero. */
SPI_MUSTUSE spi_err spi_stage_model(const char *path, double voxel_A, struct spi_volume *A,
                                    double *q_max);

/** Plan and prepared fine grid of a model.  On failure both are NULL. */
SPI_MUSTUSE spi_err spi_stage_prepare(const struct spi_volume *A, double tol,
                                      spi_nufft **plan, float **grid);

#endif
