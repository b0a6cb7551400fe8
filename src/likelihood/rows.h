/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The rows of the table of likelihoods, and what several of them share.  Layer: likelihood.
 */
#ifndef SPI_LIKELIHOOD_ROWS_H
#define SPI_LIKELIHOOD_ROWS_H

#include "likelihood/likelihood.h"

/** Every row, a file each. */
#define SPI_LIKELIHOOD_ROWS(ROW, BETWEEN) \
    ROW(poisson) BETWEEN ROW(gaussian)    \
    BETWEEN ROW(euclid)                   \
    BETWEEN ROW(published)

extern const struct spi_likelihood spi_likelihood_poisson, spi_likelihood_gaussian,
    spi_likelihood_euclid, spi_likelihood_published;

/* squares.c: least squares at the best scale of each pair (M2), (B2), (Q3), (Q4). */
/** f of a row. */
double spi_squares_f(double T, double g, double v);
/** h of a row. */
double spi_squares_h(double T, double g, double v);
/** table of a row. */
double spi_squares_table(double norm);
/** pair of a row. */
double spi_squares_pair(double x, double table, double N, double K2);
/** fluence of a row. */
double spi_squares_fluence(double fit, double norm, double N);
/** ring_f of a row. */
void spi_squares_ring_f(int n, const float *T, float v, float inv_unit, float *out);
/** ring_h of a row. */
void spi_squares_ring_h(int n, const float *T, float v, float *out);
/** ring_table of a row. */
void spi_squares_ring_table(int Na, const float *norm, float inv_unit, float *table);
/** pixels of a row. */
double spi_squares_pixels(int64_t n, const float *g, const float *v, double S, float *T);
/** slopes of a row. */
void spi_squares_slopes(double phi, double *k, double *c);
/** fluence_weights of a row. */
void spi_squares_fluence_weights(int n, const double *M, const double *v, double *w);
/** precisions of a row. */
void spi_squares_precisions(int n, const double *expected, const double *v, double *out);

/** All of these in a row. */
#define SPI_SQUARES                                                                       \
    .weighted = true, .rings = true, .f = spi_squares_f, .h = spi_squares_h,              \
    .table = spi_squares_table, .pair = spi_squares_pair, .fluence = spi_squares_fluence, \
    .ring_f = spi_squares_ring_f, .ring_h = spi_squares_ring_h,                           \
    .ring_table = spi_squares_ring_table, .form = SPI_FORM_RATIO,                         \
    .pixels = spi_squares_pixels, .sums = spi_sums_squares, .slopes = spi_squares_slopes, \
    .fluence_weights = spi_squares_fluence_weights, .precisions = spi_squares_precisions

#endif
