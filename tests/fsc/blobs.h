/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A particle of random Gaussians: density, spectrum and any motion of it are formulas. */
#ifndef SPI_TESTS_BLOBS_H
#define SPI_TESTS_BLOBS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fsc/align.h"
#include "math/rot.h"
#include "math/volume.h"

enum { BLOBS_MAX = 720 };

struct blobs {
    int n;
    double sigma, c[BLOBS_MAX][3], a[BLOBS_MAX];
};

/* n blobs within `radius`, masses 0.5..1.5. */
static inline struct blobs blobs_random(uint64_t seed, int n, double radius, double sigma)
{
    struct spi_rng rng = spi_rng_stream(seed, SPI_RNG_TEST, 0);
    struct blobs b = {.n = n, .sigma = sigma};

    for (int i = 0; i < n; i++) {
        double r2;

        do {
            r2 = 0;
            for (int k = 0; k < 3; k++) {
                b.c[i][k] = radius * (2 * spi_rng_uniform(&rng) - 1);
                r2 += b.c[i][k] * b.c[i][k];
            }
        } while (r2 > radius * radius);
        b.a[i] = 0.5 + spi_rng_uniform(&rng);
    }
    return b;
}

/* moved(x) = map(s R^T (x - t)): a blob at c goes to s R c + t. */
static inline struct blobs blobs_move(const struct blobs *b, const struct spi_pose *pose)
{
    struct blobs out = *b;

    for (int i = 0; i < b->n; i++) {
        spi_rot_apply(pose->R, b->c[i], out.c[i]);
        for (int k = 0; k < 3; k++)
            out.c[i][k] = (pose->inverted ? -1 : 1) * out.c[i][k] + pose->shift_A[k];
    }
    return out;
}

/* The density on a grid: exp(-r^2 / 2 sigma^2), cut at 6 sigma (1.5e-8). */
static inline spi_err blobs_density(const struct blobs *b, int n, double step,
                                    struct spi_volume *v)
{
    spi_err err = spi_volume_init(v, n, step);
    int reach = (int)ceil(6 * b->sigma / step);

    for (int i = 0; !err && i < b->n; i++) {
        int at[3];

        for (int k = 0; k < 3; k++)
            at[k] = (int)lround(b->c[i][k] / step) + n / 2;
        for (int z = at[2] - reach; z <= at[2] + reach; z++)
            for (int y = at[1] - reach; y <= at[1] + reach; y++)
                for (int x = at[0] - reach; x <= at[0] + reach; x++) {
                    double dx = (x - n / 2) * step - b->c[i][0];
                    double dy = (y - n / 2) * step - b->c[i][1];
                    double dz = (z - n / 2) * step - b->c[i][2];

                    if (x < 0 || y < 0 || z < 0 || x >= n || y >= n || z >= n)
                        continue;
                    v->data[spi_volume_index(v, z, y, x)] +=
                        (float)(b->a[i] * exp(-(dx * dx + dy * dy + dz * dz) /
                                              (2 * b->sigma * b->sigma)));
                }
    }
    return err;
}

/* |F(q)|^2 at one q, F the transform of the sum (without the factor of a Gaussian's norm).
 */
static inline double blobs_intensity_at(const struct blobs *b, const double q[3])
{
    double re = 0, im = 0, q2 = q[0] * q[0] + q[1] * q[1] + q[2] * q[2];
    double g = exp(-2 * SPI_PI * SPI_PI * b->sigma * b->sigma * q2);

    for (int i = 0; i < b->n; i++) {
        double phase =
            2 * SPI_PI * (q[0] * b->c[i][0] + q[1] * b->c[i][1] + q[2] * b->c[i][2]);

        re += b->a[i] * cos(phase);
        im -= b->a[i] * sin(phase);
    }
    return g * g * (re * re + im * im);
}

/* The whole map; a voxel and its Friedel mate are computed once. */
static inline spi_err blobs_intensity(const struct blobs *b, int n, double dq,
                                      struct spi_volume *W)
{
    spi_err err = spi_volume_init(W, n, dq);

    for (int z = 0; !err && z < n; z++)
        for (int y = 0; y < n; y++)
            for (int x = 0; x < n; x++) {
                double q[3] = {(x - n / 2) * dq, (y - n / 2) * dq, (z - n / 2) * dq};
                size_t i = spi_volume_index(W, z, y, x), mate = i;

                if (x && y && z)
                    mate = spi_volume_index(W, n - z, n - y, n - x);
                W->data[i] = mate < i ? W->data[mate] : (float)blobs_intensity_at(b, q);
            }
    return err;
}

/* Add white noise of a given standard deviation. */
static inline void add_noise(struct spi_volume *v, double sigma, uint64_t seed)
{
    struct spi_rng rng = spi_rng_stream(seed, SPI_RNG_TEST, 1);

    for (size_t i = 0; i < spi_volume_count(v); i++)
        v->data[i] += (float)(sigma * spi_rng_normal(&rng));
}

/* Root mean square. */
static inline double rms(const struct spi_volume *v)
{
    double sum = 0;

    for (size_t i = 0; i < spi_volume_count(v); i++)
        sum += (double)v->data[i] * (double)v->data[i];
    return sqrt(sum / (double)spi_volume_count(v));
}

static inline double degrees_between(const double A[9], const double B[9])
{
    return spi_rot_angle_between(A, B) * 180 / SPI_PI;
}

static inline double distance(const double a[3], const double b[3])
{
    return sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]) +
                (a[2] - b[2]) * (a[2] - b[2]));
}

static inline struct spi_pose random_pose(uint64_t seed, double shift_A)
{
    struct spi_rng rng = spi_rng_stream(seed, SPI_RNG_TEST, 2);
    struct spi_pose p = {0};
    double quat[4];

    spi_rot_random(&rng, quat);
    spi_rot_matrix(quat, p.R);
    for (int k = 0; k < 3; k++)
        p.shift_A[k] = shift_A * (2 * spi_rng_uniform(&rng) - 1);
    p.inverted = spi_rng_uniform(&rng) < 0.5;
    return p;
}

#endif
