/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim/junk.h"

#include <math.h>

#include "math/rot.h"

static const double water = 0.334; /* electrons per A^3 */

enum spi_image_class spi_junk_class(const struct spi_junk_shares *s, uint64_t seed,
                                    int64_t k)
{
    const double share[] = {
        [SPI_IS_BLANK] = s->blank,
        [SPI_IS_SPHERE] = s->sphere,
        [SPI_IS_DOUBLET] = s->doublet,
        [SPI_IS_OTHER] = s->other,
    };
    struct spi_rng r = spi_rng_stream(seed, SPI_RNG_CLASS, (uint64_t)k);
    double u = spi_rng_uniform(&r);

    for (int i = SPI_IS_BLANK; i <= SPI_IS_OTHER; i++) {
        if (u < share[i])
            return (enum spi_image_class)i;
        u -= share[i];
    }
    return SPI_IS_PARTICLE;
}

double spi_sphere_diameter_A(struct spi_rng *r)
{
    return SPI_SPHERE_LEAST_A *
           pow(SPI_SPHERE_MOST_A / SPI_SPHERE_LEAST_A, spi_rng_uniform(r));
}

void spi_sphere_intensity(const struct spi_detector *det, double diameter_A, float *W)
{
    double R = diameter_A / 2, electrons = water * 4 / 3 * SPI_PI * R * R * R;

    for (int64_t p = 0; p < det->n_pixels; p++) {
        const double *q = det->q + 3 * p;
        double x = 2 * SPI_PI * R * hypot(hypot(q[0], q[1]), q[2]);
        double f = x < 1e-2 ? 1 - x * x / 10 : 3 * (sin(x) - x * cos(x)) / (x * x * x);

        W[p] = (float)(electrons * electrons * f * f);
    }
}

double spi_sphere_largest(double diameter_A, double q_min)
{
    double R = diameter_A / 2, x = 2 * SPI_PI * R * q_min;
    double F = water * 4 / 3 * SPI_PI * R * R * R;

    if (x > 1) /* |sin x - x cos x| <= 1 + x */
        F *= fmin(1, 3 * (1 + x) / (x * x * x));
    return F * F;
}

void spi_doublet_add(const struct spi_detector *det, const double d[3], const float (*G)[2],
                     float (*F)[2])
{
    for (int64_t p = 0; p < det->n_pixels; p++) {
        const double *q = det->q + 3 * p;
        double a = 2 * SPI_PI * (q[0] * d[0] + q[1] * d[1] + q[2] * d[2]);
        double c = cos(a), s = sin(a), re = (double)G[p][0], im = (double)G[p][1];

        F[p][0] += (float)(c * re - s * im);
        F[p][1] += (float)(c * im + s * re);
    }
}
