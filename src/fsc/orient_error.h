/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Orientation errors after everything that cannot be known is removed: one global rotation,
 * the Friedel twin (nearly flat Ewald sphere), the particle's symmetry.  Layer: fsc.
 * doc/math.md (F10)-(F13). */
#ifndef SPI_FSC_ORIENT_ERROR_H
#define SPI_FSC_ORIENT_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct spi_orient_error {
    double median_deg, p90_deg;
    double median_flip_deg; /* when R and Rz(pi) R (the picture rotated by 180 degrees) are
                             * taken as the same image */
    double *error_deg;      /* [n], owned, of each image (strict, modulo the group) */
    double G[9];            /* the global rotation: R_est ~ R_true S G^T, S of the group */
    double inliers;         /* fraction within 12 degrees */
};

/** est, truth: [n][4] quaternions (molecule -> laboratory), any length but 0.
 *  group: [n_group][9] rotations of the particle's point group in the frame of the *truth*
 *  (NULL, 0: none), including the identity.
 *  RANSAC over the candidates G, then Procrustes on the inliers (5 rounds).  Deterministic.
 *  A symmetry axis of unknown direction: `group` is given in a standard frame and
 *  spi_symmetry_fit_map (fsc/symmetry_fit.h) has rotated it.
 *  SPI_EINVAL: n < 1, or a quaternion that is zero or not finite (named); SPI_ENOMEM. */
SPI_MUSTUSE spi_err spi_orient_error_compute(int64_t n, const double *est,
                                             const double *truth, const double *group,
                                             int n_group, struct spi_orient_error *out);
/** Release what the struct owns. */
void spi_orient_error_clear(struct spi_orient_error *e);

#endif
