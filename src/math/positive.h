/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * Linear equations of a positive matrix.  Layer: math. */
#ifndef SPI_MATH_POSITIVE_H
#define SPI_MATH_POSITIVE_H

#include <stdbool.h>

/** x of F x = b, n unknowns and `columns` right sides: F [n][n], symmetric, is overwritten
 * by its factor, b [columns][n] by x.  false: F is not positive; b is spoilt. */
bool spi_positive_solve(int n, double *F, int columns, double *b);

#endif
