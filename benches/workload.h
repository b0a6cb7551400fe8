/* SPDX-License-Identifier: GPL-3.0-or-later */
/** \file
 * The workload of single-particle imaging: images of 128 x 128 pixels on Ewald slices
 * (half-angle 0.2 rad), uniform random rotations, modes of spacing 1, the farthest pixel at
 * 0.95 of the Nyquist frequency, pixels in the order of spi_points_order, as the program
 * keeps them (both sides get them so); and exact sums at a sample, to measure errors. */
#ifndef SPI_BENCHES_WORKLOAD_H
#define SPI_BENCHES_WORKLOAD_H

#include <complex.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { WORKLOAD_PIXELS = 128 * 128 };

struct workload {
    int64_t images, n; /* n = images * WORKLOAD_PIXELS points, image by image */
    float (*q)[3];     /* [WORKLOAD_PIXELS] detector, cycles per mode */
    double (*M)[9];    /* [images] detector -> object */
    float *x[3];       /* [n] 2 pi M q, radians */
    float complex *c;  /* [n] random: real parts are data, imaginary parts weights */
};

SPI_MUSTUSE spi_err workload_init(int64_t images, struct workload *w);
void workload_clear(struct workload *w);

/** Random modes [m^3], centred, mode k at index k + m/2: real and even, zero where |k| is
 *  m/2 (m even); or any complex numbers. */
SPI_MUSTUSE spi_err workload_even_modes(int m, float **modes);
SPI_MUSTUSE spi_err workload_modes(int m, float complex **modes);

/** Point i in radians: as an exact product, or as rounded in x[]. */
void workload_point(const struct workload *w, int64_t i, bool rounded, double x[3]);

/** sum_k f[k] exp(i k.x), f [m^3]: 2 m^3 multiply-adds. */
double complex exact_value(int m, const float complex *f, const double x[3]);

/** Sample of modes: runs of neighbours along x. */
enum { SAMPLE_RUNS = 6, SAMPLE_RUN = 16, SAMPLE = SAMPLE_RUNS * SAMPLE_RUN };

/** The sampled modes k [SAMPLE][3] of a cube of m^3, |k| < m/2. */
void sample_modes(int m, int (*k)[3]);
/** sum_j c[j] exp(i sign k.x_j) at these. */
void exact_modes(const struct workload *w, bool rounded, int sign, const int (*k)[3],
                 double complex *out);

#endif
