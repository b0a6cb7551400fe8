/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Photon peaks, photons from noisy readings, and the repair of images, against literal sums. */
#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/rng.h"
#include "io/repair.h"
#include "tap.h"

enum { VALUES = 200000 };

static float value[VALUES];

/* Speckles whose means fall over four decades. */
static void fill(double pedestal, double gain, double noise, bool photons, double drift)
{
    for (int i = 0; i < VALUES; i++) {
        struct spi_rng rng = spi_rng_stream(3, SPI_RNG_TEST, (uint64_t)i);
        double mean = 0.05 * pow(spi_rng_uniform(&rng), -0.8) * -log(spi_rng_uniform(&rng)),
               n = photons ? (double)spi_rng_poisson(&rng, fmin(mean, 200))
                           : fmin(mean, 200);
        struct spi_rng image = spi_rng_stream(4, SPI_RNG_TEST, (uint64_t)(i / 2000));

        value[i] = (float)(pedestal + gain * (n + noise * spi_rng_normal(&rng) +
                                              drift * spi_rng_uniform(&image)));
    }
}

static void peaks(void)
{
    static const struct {
        double pedestal, gain, noise;
    } c[] = {{100, 37.5, 0.01}, {100, 37.5, 0.1}, {-20, 7, 0.2}, {1000, 120, 0.25}};

    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct spi_electronics e;

        fill(c[i].pedestal, c[i].gain, c[i].noise, true, 0);
        spi_err err = spi_electronics_find(VALUES, value, &e);
        /* 20,000 values with photons: the gain is known to noise / sqrt(20,000), 0.2 % at
         * the most; an error of 1 % would be five times that */
        OK(!err && fabs(e.gain / c[i].gain - 1) < 0.01 &&
               fabs(e.pedestal - c[i].pedestal) < 0.02 * c[i].gain &&
               fabs(e.noise - c[i].noise) < 0.01,
           "gain %g, pedestal %g, noise %g: %g, %g, %g", c[i].gain, c[i].pedestal,
           c[i].noise, e.gain, e.pedestal, e.noise);
    }
}

static void no_peaks(void)
{
    static const struct {
        double noise, drift;
        bool photons;
        const char *name;
    } c[] = {{0.6, 0, true, "too much noise"},
             {0, 0, false, "no photons"},
             {0.1, 0, false, "no photons, noise"},
             {0.1, 1, true, "a pedestal that moves from image to image"}};
    struct spi_electronics e = {.gain = 1};

    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        fill(100, 37.5, c[i].noise, c[i].photons, c[i].drift);
        OK(spi_electronics_find(VALUES, value, &e) == SPI_OK && e.gain == 0, "%s: gain %g",
           c[i].name, e.gain);
    }
    fill(100, 37.5, 0.1, true, 0);
    OK(spi_electronics_find(500, value, &e) == SPI_OK && e.gain == 0, "too few values");
}

/* (X2), term by term. */
static double photons_ref(double x, double expected, double noise)
{
    double sum = 0, weighted = 0, most = -INFINITY, ratio = expected / (1 + expected);

    for (int again = 0; again < 2; again++)
        for (int n = 0; n < 400; n++) {
            double l = n * log(ratio) - (x - n) * (x - n) / (2 * noise * noise);

            if (again) {
                sum += exp(l - most);
                weighted += n * exp(l - most);
            } else {
                most = fmax(most, l);
            }
        }
    return weighted / sum;
}

static void soft(void)
{
    double worst = 0;

    for (double noise = 0.12; noise < 0.5; noise += 0.06)
        for (double expected = 0.01; expected < 100; expected *= 3)
            for (double x = -1.5; x < 60; x += 0.37)
                worst = fmax(worst, fabs(spi_electronics_photons(x, expected, noise) -
                                         photons_ref(x, expected, noise)));
    /* photons beyond three from the reading weigh exp(-3.5^2 / (2 0.5^2)) = 2e-11; those
     * below them up to (101 / 100)^n more, or 1 / 0.01 each */
    OK(worst < 1e-3, "photons of noisy readings: off by %.2g at most", worst);
    OK(spi_electronics_photons(1.2, 0, 0.3) == 0, "where nothing is expected");
}

static void repair(void)
{
    enum { N = 100 };
    const uint8_t bad[N] = {[3] = 1};
    struct spi_repair *r;
    float image[N];
    double sum = 0, mean = 0;

    NEED(spi_repair_new(N, &r) == SPI_OK);
    for (int p = 0; p < N; p++) {
        r->mean[p] = (float)(p + 1);
        image[p] = 2 * (float)(p + 1);
    }
    r->n_bad = 1;
    r->bad[0] = 7;
    r->limit = 150;
    image[3] = NAN;
    image[10] = 7;
    image[11] = -1;
    image[95] = 180; /* bright: full; others that stand at the top are not */
    image[5] = 200;
    for (int p = 0; p < N; p++)
        if (p != 3 && p != 10 && p != 11 && p != 5 && image[p] < 150) {
            sum += (double)image[p];
            mean += p + 1;
        }
    int64_t n = spi_repair_image(r, bad, image);
    OK(n > 5 && n > N, "more than 5 %% of an image: %lld", (long long)n);
    OK(image[50] == 0 && image[3] == 0, "it is without signal");
    for (int p = 0; p < N; p++)
        image[p] = p < 70 ? 2 * (float)(p + 1) : (float)(p + 1);
    sum = mean = 0;
    image[10] = 7;
    image[11] = -1;
    image[95] = 180;
    image[5] = 200;
    for (int p = 0; p < N; p++)
        if (p != 3 && p != 10 && p != 11 && p != 95 && p != 5) {
            sum += (double)image[p];
            mean += p + 1;
        }
    n = spi_repair_image(r, bad, image);
    OK(n == 4 && image[3] == 0, "four values are no measurement, a pixel is masked");
    OK(fabs((double)image[10] - 11 * sum / mean) < 1e-4 &&
           fabs((double)image[11] - 12 * sum / mean) < 1e-4 &&
           fabs((double)image[5] - 6 * sum / mean) < 1e-4 && image[12] == 26, /* floats */
       "mean of the pixel times brightness: %g", (double)image[10]);
    OK(image[95] == 150, "a bright pixel that is full holds its limit");
    spi_repair_free(r);

    NEED(spi_repair_new(N, &r) == SPI_OK);
    r->analogue = true;
    r->electronics = (struct spi_electronics){.pedestal = 10, .gain = 4, .noise = 0.05};
    for (int p = 0; p < N; p++) {
        r->mean[p] = 1;
        image[p] = 10 + 4 * (float)(p % 3) + 0.3F;
    }
    image[20] = 9.5F;
    n = spi_repair_image(r, bad, image);
    OK(n == 0 && image[4] == 1 && image[5] == 2 && image[6] == 0 && image[20] == 0,
       "readings become photons");
    r->electronics.noise = 0.6;
    image[20] = 8;
    spi_repair_image(r, bad, image);
    OK(image[20] == -0.5F && !spi_repair_makes_photons(r), "of much noise, intensities");
    spi_repair_free(r);
}

int main(void)
{
    spi_log_set_level(SPI_LOG_QUIET);
    peaks();
    no_peaks();
    soft();
    repair();
    return tap_done();
}
