/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Sorted numbers and their median.  Layer: base. */
#ifndef SPI_BASE_SORT_H
#define SPI_BASE_SORT_H

#include <stdint.h>

/** Sort x [n], the smallest first. */
void spi_sort(int64_t n, double *x);
/** Sort x [n]; the value is the median, of an even number the upper of the two in the middle,
 * and 0 of none. */
double spi_median(int64_t n, double *x);

#endif
