/* SPDX-License-Identifier: GPL-3.0-or-later */
/* scene.h - a particle of Gaussian blobs, whose intensity is known in closed form, and a
 * small detector with a mask that is not round.
 *
 *     F(q) = sum_k a_k exp(-2 pi^2 s^2 q^2) exp(-2 pi i q.c_k),   W = |F|^2
 *     A(x) = dx^3 (4 pi s^2)^(-3/2) sum_kl a_k a_l exp(-|x - c_k + c_l|^2 / (4 s^2))
 *
 * One blob outweighs the rest, so that W stays far above the floor of the templates. */
#ifndef SPI_TESTS_SCENE_H
#define SPI_TESTS_SCENE_H

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/images.h"
#include "math/rot.h"
#include "ring/ring.h"

enum {
    SCENE_BLOBS = 4,
    SCENE_N = 44,
    SCENE_SIDE = 24,
    SCENE_PIXELS = SCENE_SIDE * SCENE_SIDE
};
static const double scene_D = 40, scene_q_max = 0.125, scene_sigma = 1.6, scene_dx = 2;
static const double scene_wavelength = 2;
static const double scene_at[SCENE_BLOBS][3] = {
    {0, 0, 0}, {10, 0, 0}, {-3, 8, 2}, {1, -5, 8}}; /* A */
static const double scene_a[SCENE_BLOBS] = {1, 0.15, 0.2, 0.12};

static inline double scene_W(const double q[3])
{
    double re = 0, im = 0, q2 = q[0] * q[0] + q[1] * q[1] + q[2] * q[2];

    for (int k = 0; k < SCENE_BLOBS; k++) {
        const double *c = scene_at[k];
        double x = 2 * SPI_PI * (q[0] * c[0] + q[1] * c[1] + q[2] * c[2]);

        re += scene_a[k] * cos(x);
        im -= scene_a[k] * sin(x);
    }
    return (re * re + im * im) * exp(-4 * SPI_PI * SPI_PI * scene_sigma * scene_sigma * q2);
}

/* A on n^3 voxels of dx; freed by the caller.  dx = 2: aliases of W come from 3 q_max,
 * where W is below exp(-4 pi^2 (0.6)^2) = 7e-7; cut at |x_i| = 44: beyond 6 sigma sqrt 2 of
 * every pair. */
static inline float *scene_A(int n, double dx)
{
    float *A = spi_alloc((size_t)n * (size_t)n * (size_t)n, sizeof *A, "A");
    double s2 = 4 * scene_sigma * scene_sigma;
    double scale = dx * dx * dx / pow(SPI_PI * s2, 1.5);
    int i = 0;

    for (int z = -n / 2; z < n / 2; z++)
        for (int y = -n / 2; y < n / 2; y++)
            for (int x = -n / 2; x < n / 2; x++, i++) {
                double sum = 0;

                for (int k = 0; k < SCENE_BLOBS; k++)
                    for (int l = 0; l < SCENE_BLOBS; l++) {
                        double dx2 = x * dx - scene_at[k][0] + scene_at[l][0];
                        double dy2 = y * dx - scene_at[k][1] + scene_at[l][1];
                        double dz2 = z * dx - scene_at[k][2] + scene_at[l][2];
                        double r2 = dx2 * dx2 + dy2 * dy2 + dz2 * dz2;

                        if (r2 < 40 * s2)
                            sum += scene_a[k] * scene_a[l] * exp(-r2 / s2);
                    }
                A[i] = (float)(scale * sum);
            }
    return A;
}

/* 24 x 24 pixels, q_max at the middle of the edge; a dead corner, a dead stripe, and a
 * geometry factor that falls to the right. */
static inline spi_err scene_detector(struct spi_detector *d)
{
    spi_err err = spi_detector_init(d, 1, SCENE_SIDE, SCENE_SIDE);

    if (err)
        return err;
    d->wavelength_A = scene_wavelength;
    for (int y = 0; y < SCENE_SIDE; y++)
        for (int x = 0; x < SCENE_SIDE; x++) {
            int p = y * SCENE_SIDE + x;
            double half = (SCENE_SIDE - 1) / 2.0, *q = d->q + 3 * p;

            q[0] = (x - half) / half * scene_q_max;
            q[1] = (y - half) / half * scene_q_max;

            /* |q|^2 = t^2 + (lambda |q|^2 / 2)^2 */
            double t2 = q[0] * q[0] + q[1] * q[1], h = scene_wavelength / 2;
            double q2 = (1 - sqrt(1 - 4 * h * h * t2)) / (2 * h * h);

            q[2] = -h * q2;
            d->geometry[p] = (float)(1 - 0.01 * x);
            d->bad[p] = (x < 7 && y < 5) || (x >= 12 && x < 14 && y > 10);
        }
    return SPI_OK;
}

static inline spi_err scene_rings(struct spi_rings *g)
{
    return spi_rings_init(g, scene_D, scene_wavelength, 0.02, scene_q_max, 1.3);
}

/* Counts of a pixel for M (detector -> object), noise-free; `counts` is the scale. */
static inline void scene_image(const struct spi_detector *d, const double M[9],
                               double counts, float *image)
{
    for (int64_t p = 0; p < d->n_pixels; p++) {
        double q[3];

        spi_rot_apply(M, d->q + 3 * p, q);
        image[p] = d->bad[p] ? 0 : (float)(counts * (double)d->geometry[p] * scene_W(q));
    }
}

/* f at angle phi from n samples, harmonics |m| <= m_max, in double. */
static inline double scene_at_angle(int n, int m_max, const double *f, double phi)
{
    double value = 0;

    for (int m = 0; m <= m_max; m++) {
        double re = 0, im = 0;

        for (int j = 0; j < n; j++) {
            re += f[j] * cos(2 * SPI_PI * (m * j % n) / n);
            im -= f[j] * sin(2 * SPI_PI * (m * j % n) / n);
        }
        value += (m ? 2 : 1) * (re * cos(m * phi) - im * sin(m * phi)) / n;
    }
    return value;
}

#endif
