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
static void rings(double W[RINGS], double b[RINGS], double varies[RINGS])
{
    for (int r = 0; r < RINGS; r++) {
        double qD = 1 + 0.3 * r;

        W[r] = 1500 * exp(-0.6 * r);
        b[r] = 120 * exp(-0.05 * r) * qD / 4;
        varies[r] = 1 / (1 + SPI_PI * qD / 2);
    }
}

struct seen {
    double slope, bias, truth, scatter,
        claimed; /* of glow: scatter, and the one that sigma says; truth: variation
                            * of the fluences */
    double spread, fluctuation; /* (Q25) of fluence and glow */
};

/* (Q25), of all images; x about `mean`. */
static double of_all(float x[IMAGES], float sigma[IMAGES], double mean, bool alike)
{
    static uint8_t half[IMAGES], aside[IMAGES];
    struct spi_data d = {.n_images = IMAGES, .split = {.half = half, .aside = aside}};

    for (int i = 0; i < IMAGES; i++) {
        half[i] = 1;
        x[i] /= (float)mean;
        sigma[i] /= (float)mean;
    }
    return sqrt(spi_brightness_variance(&d, x, sigma, alike));
}

/* Fluences lognormal of `spread`, glow 1 +- `fluctuation`. */
static struct seen look(double spread, double fluctuation, double glow2)
{
    struct spi_rng rng = spi_rng_stream(5, SPI_RNG_TEST, (uint64_t)(1000 * spread));
    double W[RINGS], b[RINGS], varies[RINGS], xx = 0, xy = 0, mean = 0;
    const struct spi_brightness_spread known = {INFINITY, glow2};
    static float fluence[IMAGES], glow[IMAGES], sigma[2][IMAGES];
    struct seen s = {0};

    rings(W, b, varies);
    for (int i = 0; i < IMAGES; i++) {
        double phi = exp(spread * spi_rng_normal(&rng)),
               beta = 1 + fluctuation * spi_rng_normal(&rng), counts[RINGS];
        struct spi_brightness x;

        for (int r = 0; r < RINGS; r++) {
            double speckle = 0; /* gamma: so many exponential ones */
            int n = (int)(1 / varies[r]);

            for (int k = 0; k < n; k++)
                speckle -= log(spi_rng_uniform(&rng)) / n;
            counts[r] = (double)spi_rng_poisson(&rng, phi * W[r] * speckle + beta * b[r]);
        }
        spi_brightness_fit(RINGS, counts, W, b, varies, &known, &x);
        xx += phi * phi / (phi * phi + 0.01);
        xy += phi * x.fluence / (phi * phi + 0.01);
        s.bias += (x.glow - beta) / IMAGES;
        s.scatter += pow(x.glow - beta, 2) / IMAGES;
        s.claimed += x.sigma_glow * x.sigma_glow / IMAGES;
        mean += phi / IMAGES;
        s.truth += phi * phi / IMAGES;
        fluence[i] = (float)x.fluence;
        glow[i] = (float)x.glow;
        sigma[0][i] = (float)x.sigma_fluence;
        sigma[1][i] = (float)x.sigma_glow;
    }
    s.truth = sqrt(fmax(0, s.truth / (mean * mean) - 1));
    s.spread = of_all(fluence, sigma[0], mean, true);
    s.fluctuation = of_all(glow, sigma[1], 1, false);
    s.slope = xy / xx;
    s.scatter = sqrt(s.scatter);
    s.claimed = sqrt(s.claimed);
    return s;
}

int main(void)
{
    static const double spreads[] = {0, 0.5, 1};
    double W[RINGS], b[RINGS], varies[RINGS];
    const struct spi_brightness_spread none = {INFINITY, INFINITY}, sure = {0, 0};
    struct spi_brightness x;

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
        /* the fluence of one image is known to a fourth at worst, its square to a half: of
         * 2,000 images a hundredth, 0.1 squared */
        OK(fabs(told.spread - told.truth) < 0.1,
           "spread %g: fluences vary by %.3f, as it seems by %.3f", spreads[i], told.truth,
           told.spread);
        OK(fabs(s.fluctuation - 0.2) < 0.05,
           "spread %g: glow varies by %.3f of 0.2, as it seems", spreads[i], s.fluctuation);
    }
    /* exact counts: exact answers */
    rings(W, b, varies);
    double counts[RINGS], empty[RINGS] = {0};

    for (int r = 0; r < RINGS; r++)
        counts[r] = 0.3 * W[r] + 1.7 * b[r];
    spi_brightness_fit(RINGS, counts, W, b, varies, &none, &x);
    OK(fabs(x.fluence - 0.3) < 1e-9 && fabs(x.glow - 1.7) < 1e-9,
       "counts without noise: fluence %.12g, glow %.12g", x.fluence, x.glow);
    spi_brightness_fit(RINGS, counts, W, b, varies, &sure, &x);
    OK(fabs(x.fluence - 1) < 1e-3 && fabs(x.glow - 1) < 1e-3,
       "where all images are the same: fluence %.6g, glow %.6g", x.fluence, x.glow);
    spi_brightness_fit(RINGS, empty, W, b, varies, &none, &x);
    OK(x.fluence == 0 && x.glow == 0, "an image without counts: %g, %g", x.fluence, x.glow);
    spi_brightness_fit(RINGS, counts, W, empty, varies, &none, &x);
    OK(isfinite(x.fluence) && isfinite(x.glow) && !isfinite(x.sigma_glow),
       "no background to tell: fluence %g, glow %g, sigma %g", x.fluence, x.glow,
       x.sigma_glow);
    return tap_done();
}
