/** \file
 * Orientation errors after everything that cannot be known is removed: one global rotation,
 * the Friedel twin (nearly flat Ewald sphere), the particle's symmetry.  Layer: fsc. */
#ifndef SPI_FSC_ORIENT_ERROR_H
#define SPI_FSC_ORIENT_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct spi_orient_error {
    double median_deg, p90_deg;
    double median_flip_deg; /* when R and R Rz(pi) are taken as the same image */
    double *error_deg;      /* [n], owned, of each image (strict, modulo the group) */
    double G[9];            /* the global rotation: R_est ~ R_true G^T (molecule frames) */
    double inliers;         /* fraction within 12 degrees */
};

/** est, truth: [n][4] quaternions (molecule -> laboratory).  group: [n_group][9] rotations
 *  of the particle's point group in the frame of the *truth* (NULL, 0: none).
 *  RANSAC over the candidates G, then Procrustes on the inliers (5 rounds).
 *  A symmetry axis of unknown direction: `group` is given in a standard frame and
 *  spi_symmetry_fit (math/symmetry.h) has turned it. */
SPI_MUSTUSE spi_err spi_orient_error_compute(int64_t n, const double *est,
                                             const double *truth, const double *group,
                                             int n_group, struct spi_orient_error *out);
void spi_orient_error_clear(struct spi_orient_error *e);

#endif
