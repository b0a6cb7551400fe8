/* SPDX-License-Identifier: GPL-3.0-or-later */
/* stage_test.h - a particle of blobs, its autocorrelation, and a small curved detector. */
#ifndef SPI_TESTS_STAGE_TEST_H
#define SPI_TESTS_STAGE_TEST_H

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "io/images.h"
#include "math/rot.h"

enum { BLOBS = 6 };

/* Places within 26 A of the middle, in no symmetric arrangement; each with its weight. */
static const double blob[BLOBS][4] = {{-19, 4, 9, 1.0},    {14, -15, 6, 1.3},
                                      {3, 20, -9, 0.8},    {11, 9, 18, 1.1},
                                      {-6, -10, -20, 0.9}, {21, 6, -3, 0.7}};

/* A(x) = sum_ij a_i a_j exp(-|x - (c_i - c_j)|^2 / (4 s^2)) on n^3 voxels of dx, zero on
 * the Nyquist planes: even, and W is a sum of positive Gaussians, so never (visibly)
 * negative. A is zero to 1e-4 beyond |x| = 66 A for s = 4 A: (66 - 48)^2 / (4 s^2) > 5. */
static inline void blob_autocorrelation(int n, double dx, double s, double scale, float *A)
{
    for (int z = 1; z < n; z++)
        for (int y = 1; y < n; y++)
            for (int x = 1; x < n; x++) {
                double sum = 0,
                       p[3] = {(x - n / 2) * dx, (y - n / 2) * dx, (z - n / 2) * dx};

                for (int i = 0; i < BLOBS; i++)
                    for (int j = 0; j < BLOBS; j++) {
                        double r2 = 0;

                        for (int c = 0; c < 3; c++) {
                            double d = p[c] - blob[i][c] + blob[j][c];

                            r2 += d * d;
                        }
                        sum += blob[i][3] * blob[j][3] * exp(-r2 / (4 * s * s));
                    }
                A[(z * n + y) * n + x] = (float)(scale * sum);
            }
}

/* side x side pixels on the Ewald sphere, q_edge 1/A at the middle of the edge, geometry
 * factor falling outwards, every 23rd pixel bad. */
static inline spi_err curved_detector(struct spi_detector *d, int side, double q_edge,
                                      double wavelength)
{
    spi_err err = spi_detector_init(d, 1, side, side);
    double half = tan(2 * asin(q_edge * wavelength / 2));

    d->wavelength_A = wavelength;
    d->distance_m = 0.1;
    for (int64_t i = 0; !err && i < d->n_pixels; i++) {
        double a = half * (2.0 * (double)(i % side) - (side - 1)) / (side - 1);
        double b = half * (2.0 * (double)(i / side) - (side - 1)) / (side - 1);
        double r = sqrt(a * a + b * b + 1);

        d->q[3 * i] = a / r / wavelength;
        d->q[3 * i + 1] = b / r / wavelength;
        d->q[3 * i + 2] = (1 / r - 1) / wavelength;
        d->geometry[i] = (float)(1 / (r * r * r));
        d->bad[i] = i % 23 == 11;
    }
    return err;
}

static inline void random_quats(uint64_t seed, int64_t n, double (*quat)[4])
{
    struct spi_rng rng = spi_rng_stream(seed, SPI_RNG_TEST, 0);

    for (int64_t k = 0; k < n; k++)
        spi_rot_random(&rng, quat[k]);
}

static inline double relative_l2_error(int64_t n, const float *got, const double *want)
{
    double diff = 0, norm = 0;

    for (int64_t i = 0; i < n; i++) {
        diff += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += want[i] * want[i];
    }
    return sqrt(diff / norm);
}

/* Relative l2 error of a transform with n modes at positions rounded to float: 2 tol for
 * the window (tests/nufft), 2e-6 for the FFT's sums, and the phase 2 pi x q: three
 * coordinates of |u| <= n, each made by three products and two sums (5 roundings 2^-24),
 * times 2 pi x / (2 n) <= pi / 2. */
static inline double transform_bound(double tol, int n)
{
    return 2 * tol + 2e-6 + sqrt(3) * 5 * 0x1p-24 * n * SPI_PI / 2;
}

#endif
