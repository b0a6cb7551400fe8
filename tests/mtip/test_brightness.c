/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How bright particle and background are in an image, from the counts of its rings. */
#include <math.h>

#include "base/rng.h"
#include "math/rot.h"
#include "mtip/brightness.h"
#include "tap.h"

enum { RINGS = 24, IMAGES = 2000 };

/* A particle of D = 100 A to 12 A: rings that fall off, with speckles of their own in each
 * image; a background that falls off less. */
static void rings(double W[RINGS], double b[RINGS], double qD[RINGS])
{
    for (int r = 0; r < RINGS; r++) {
        qD[r] = 1 + 0.3 * r;
        W[r] = 1500 * exp(-0.6 * r);
        b[r] = 120 * exp(-0.05 * r) * qD[r] / 4;
    }
}

struct seen {
    double slope, bias, scatter,
        claimed; /* of glow: scatter, and the one that sigma says */
};

/* Fluences lognormal of `spread`, glow 1 +- `fluctuation`. */
static struct seen look(double spread, double fluctuation, double tau2)
{
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, (uint64_t)(1000 * spread));
    double W[RINGS], b[RINGS], qD[RINGS], xx = 0, xy = 0;
    struct seen s = {0};

    rings(W, b, qD);
    for (int i = 0; i < IMAGES; i++) {
        double phi = exp(spread * spi_rng_normal(&rng)),
               beta = 1 + fluctuation * spi_rng_normal(&rng), counts[RINGS], fluence, glow,
               sigma;

        for (int r = 0; r < RINGS; r++) {
            double speckle = 0; /* gamma: so many exponential ones */
            int n = 1 + (int)(SPI_PI * qD[r] / 2);

            for (int k = 0; k < n; k++)
                speckle -= log(spi_rng_uniform(&rng)) / n;
            counts[r] = (double)spi_rng_poisson(&rng, phi * W[r] * speckle + beta * b[r]);
        }
        spi_brightness_fit(RINGS, counts, W, b, qD, tau2, &fluence, &glow, &sigma);
        xx += phi * phi / (phi * phi + 0.01);
        xy += phi * fluence / (phi * phi + 0.01);
        s.bias += (glow - beta) / IMAGES;
        s.scatter += pow(glow - beta, 2) / IMAGES;
        s.claimed += sigma * sigma / IMAGES;
    }
    s.slope = xy / xx;
    s.scatter = sqrt(s.scatter);
    s.claimed = sqrt(s.claimed);
    return s;
}

int main(void)
{
    static const double spreads[] = {0, 0.5, 1};
    double W[RINGS], b[RINGS], qD[RINGS], fluence, glow, sigma;

    for (int i = 0; i < 3; i++) {
        struct seen s = look(spreads[i], 0.2, INFINITY), told = look(spreads[i], 0, 0);

        /* 2,000 images: the mean is known to a fortieth of the scatter */
        OK(fabs(s.slope - 1) < 0.03, "spread %g: slope of fluences %.4f", spreads[i],
           s.slope);
        OK(fabs(s.bias) < 4 * s.scatter / sqrt(IMAGES) + 0.005,
           "spread %g: glow off by %.4f on average, scatter %.4f", spreads[i], s.bias,
           s.scatter);
        OK(s.scatter < 1.3 * s.claimed && s.scatter > 0.7 * s.claimed,
           "spread %g: scatter %.4f, expected %.4f", spreads[i], s.scatter, s.claimed);
        OK(told.scatter < 1e-3,
           "spread %g: glow of images that are known to have the same: %.5f", spreads[i],
           told.scatter);
    }
    /* exact counts: exact answers */
    rings(W, b, qD);
    double counts[RINGS], empty[RINGS] = {0};

    for (int r = 0; r < RINGS; r++)
        counts[r] = 0.3 * W[r] + 1.7 * b[r];
    spi_brightness_fit(RINGS, counts, W, b, qD, INFINITY, &fluence, &glow, &sigma);
    OK(fabs(fluence - 0.3) < 1e-9 && fabs(glow - 1.7) < 1e-9,
       "counts without noise: fluence %.12g, glow %.12g", fluence, glow);
    spi_brightness_fit(RINGS, empty, W, b, qD, INFINITY, &fluence, &glow, &sigma);
    OK(fluence == 0 && glow == 0, "an image without counts: %g, %g", fluence, glow);
    spi_brightness_fit(RINGS, counts, W, empty, qD, INFINITY, &fluence, &glow, &sigma);
    OK(isfinite(fluence) && isfinite(glow) && !isfinite(sigma),
       "no background to tell: fluence %g, glow %g, sigma %g", fluence, glow, sigma);
    return tap_done();
}
