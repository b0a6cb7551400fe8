/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The level that two half sets' intensities have in all directions: distribution against its
 * integral and draws, levels of particles with and without a background. */
#include <math.h>

#include "base/rng.h"
#include "fsc/isotropic.h"
#include "math/rot.h"
#include "tap.h"

enum { N = 48, ATOMS = 400 };
static const double D = 40, step = 2, q_min = 0.03, q_max = 0.24;

/* (F18) as the integral of exp(-u / t) / t Phi((x - u) / e) du. */
static double integral(double x, double t, double e)
{
    enum { STEPS = 20000 };
    double sum = 0, far = 40 * t;

    for (int i = 0; i < STEPS; i++) {
        double u = (i + 0.5) * far / STEPS;

        sum += exp(-u / t) / t * 0.5 * erfc(-(x - u) / e / sqrt(2)) * far / STEPS;
    }
    return sum;
}

static void distribution(void)
{
    double worst = 0;

    for (double e = 0.05; e < 4; e *= 2)
        for (double x = -3 * e; x < 5 + 3 * e; x += (5 + 6 * e) / 17)
            worst = fmax(worst, fabs(spi_isotropic_cdf(x, 1.5, e) - integral(x, 1.5, e)));
    /* 1e-5: the midpoint rule at steps of 3e-3, whose error is 3e-3^2 / 24 of the slope, 1/e */
    OK(worst < 1e-5, "the distribution of (F18) against its integral: off by %.1e", worst);
}

/* One shell: the moments that an exponential distribution on a level has, exactly. */
static void one_level(double noise)
{
    double mean = 7.5, t = 2.5, lo = -20, hi = 20, got;

    for (int i = 0; i < 80; i++) { /* its tenth percentile */
        double x = (lo + hi) / 2;

        if (spi_isotropic_cdf(x, t, noise) < 0.1)
            lo = x;
        else
            hi = x;
    }
    got = spi_isotropic_level(mean, mean - t + lo, t, noise);
    /* noise below 1e-3 t is taken as 1e-3 t, which moves the percentile by (1e-3)^2 t / 2 */
    OK(fabs(got - (mean - t)) < 2e-6, "noise %g: level %.9f of %g", noise, got, mean - t);
}

/* Intensities of points in a ball; on them a level, and noise of each half set. */
static spi_err make(double level, double noise, uint64_t seed, struct spi_volume W[2])
{
    struct spi_rng rng = spi_rng_stream(seed, SPI_RNG_TEST, 1);
    double at[ATOMS][3];
    spi_err err = spi_volume_init(&W[0], N, 1 / (N * step));
    int64_t i = 0;

    if (!err)
        err = spi_volume_init(&W[1], N, 1 / (N * step));
    if (err)
        return err;
    for (int a = 0; a < ATOMS; a++)
        do
            for (int k = 0; k < 3; k++)
                at[a][k] = (spi_rng_uniform(&rng) - 0.5) * D;
        while (at[a][0] * at[a][0] + at[a][1] * at[a][1] + at[a][2] * at[a][2] > D * D / 4);
    for (int z = -N / 2; z < N / 2; z++)
        for (int y = -N / 2; y < N / 2; y++)
            for (int x = -N / 2; x < N / 2; x++, i++) {
                double q[3] = {x * W[0].step, y * W[0].step, z * W[0].step}, re = 0, im = 0;

                if (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] > q_max * q_max)
                    continue;
                for (int a = 0; a < ATOMS; a++) {
                    double turn =
                        2 * SPI_PI * (q[0] * at[a][0] + q[1] * at[a][1] + q[2] * at[a][2]);

                    re += cos(turn), im += sin(turn);
                }
                for (int h = 0; h < 2; h++)
                    W[h].data[i] = (float)((re * re + im * im) / ATOMS + level +
                                           noise * spi_rng_normal(&rng));
            }
    return SPI_OK;
}

/* Shells beyond q D = 2, where points scatter 1 on average: worst error, and how many are
 * more than three standard errors off. */
static void particle(double level, double noise, double most)
{
    struct spi_volume W[2] = {{0}, {0}};
    struct spi_isotropic s;
    double worst = 0, shares = 0;
    int off = 0, n = 0;

    NEED(!make(level, noise, 3, W));
    NEED(!spi_isotropic_find(&W[0], &W[1], D, q_min, q_max, &s));
    for (int k = 0; k < s.n; k++) {
        if (s.q[k] * D < 2)
            continue;
        worst = fmax(worst, fabs(s.level[k] - level));
        off += fabs(s.level[k] - level) > 3 * s.sigma[k] + 0.02;
        shares += s.level[k] / s.mean[k];
        n++;
    }
    OK(n > 10 && worst < most,
       "level %g, noise %g: off by at most %.3f of the particle's mean", level, noise,
       worst);
    OK(off <= 1, "level %g, noise %g: %d of %d shells are more than 3 errors off", level,
       noise, off, n);
    if (level == 0)
        OK(shares / n < 0.1, "without a background: %.3f of the intensity", shares / n);
    spi_isotropic_clear(&s);
    for (int h = 0; h < 2; h++)
        spi_volume_clear(&W[h]);
}

static void refused(void)
{
    struct spi_volume W;
    struct spi_isotropic s;

    NEED(!spi_volume_init(&W, N, 1 / (N * step)));
    OK(spi_isotropic_find(&W, &W, D, 0.1, 0.101, &s) == SPI_EINVAL, "no shell: refused");
    OK(spi_isotropic_find(&W, &W, 10 * D, 1e-3, 0.1, &s) == SPI_EINVAL,
       "shells without voxels: refused");
    spi_volume_clear(&W);
}

int main(void)
{
    distribution();
    one_level(1e-3);
    one_level(0.1);
    one_level(5);
    /* 0.15: what one random arrangement of points differs from the exponential law by; with
     * noise of the intensities, s errs by e^2 / (s sqrt(N / 4)), 0.1 for 500 voxels */
    particle(0, 0.02, 0.15);
    particle(0, 0.5, 0.25);
    particle(3, 0.02, 0.15);
    particle(3, 0.5, 0.25);
    particle(30, 1, 0.4);
    refused();
    return tap_done();
}
