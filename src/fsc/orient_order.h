/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Quaternions of another convention.  Layer: fsc. */
#ifndef SPI_FSC_ORIENT_ORDER_H
#define SPI_FSC_ORIENT_ORDER_H

#include <stdint.h>

#include "base/error.h"

struct spi_orient_order {
    const char *words; /* "(x, y, z, w)" ...; NULL: no other convention is likelier */
    int of_truth;      /* 1: `truth` is in it, 0: `est` */
    double median_deg; /* the median error then */
};

/** Whether orientations that do not agree would agree (half of them within 12 degrees) if
 * one of the two lists had its scalar last, or held the inverse rotations, or both.
 * Arguments and errors as of spi_orient_error_compute; `inliers`: its result for the lists
 * as they are (0.2 and more: nothing is tried). */
SPI_MUSTUSE spi_err spi_orient_order_find(int64_t n, const double *est, const double *truth,
                                          const double *group, int n_group, double inliers,
                                          struct spi_orient_order *out);

#endif
