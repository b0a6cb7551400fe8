/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The origin of q from the odd part of the mean image. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "match/centre.h"
#include "tap.h"

enum { SIDE = 64, PIXELS = SIDE * SIDE, PARTS = 5, IMAGES = 500 };
static const double pixel = 1e-3;
static float sum[PARTS * PIXELS];

static bool smooth; /* the profile, as of a background */

/* A profile that falls and rises: a sphere's, of 100 A, with a floor. */
static double profile(double q)
{
    double x = 3.14159265 * q * 100,
           f = x < 1e-3 ? 1 : 3 * (sin(x) - x * cos(x)) / (x * x * x);

    return smooth ? 1 / (1 + pow(q / (8 * pixel), 2)) : f * f + 1e-3;
}

/* A place on the detector (x, y) -> q. */
static void onto_sphere(double wavelength, double q[3])
{
    double r = sqrt(1 + wavelength * wavelength * (q[0] * q[0] + q[1] * q[1]));

    q[0] /= r;
    q[1] /= r;
    q[2] = wavelength > 0 ? (1 / r - 1) / wavelength : 0;
}

/* Flat, across the beam; wavelength 0: q is the place itself. */
static spi_err detector(struct spi_detector *d, bool stop, double wavelength)
{
    spi_err err = spi_detector_init(d, 1, SIDE, SIDE);

    d->wavelength_A = wavelength;
    for (int p = 0; p < PIXELS && !err; p++) {
        d->q[3 * p] = pixel * (p % SIDE - (SIDE - 1) / 2.0);
        d->q[3 * p + 1] = pixel * (p / SIDE - (SIDE - 1) / 2.0);
        onto_sphere(wavelength, d->q + 3 * p);
        d->geometry[p] = (float)(1 - 0.004 * (p / SIDE)); /* known: no reason to shift */
        d->bad[p] = stop && hypot(d->q[3 * p], d->q[3 * p + 1]) < 4 * pixel;
    }
    return err;
}

/* |q| of a pixel when the beam is at (x, y), in pixels. */
static double q_at(const struct spi_detector *d, int p, double x, double y)
{
    double q[3] = {pixel * (p % SIDE - (SIDE - 1) / 2.0 - x),
                   pixel * (p / SIDE - (SIDE - 1) / 2.0 - y), 0};

    onto_sphere(d->wavelength_A, q);
    return sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
}

/* photons per image, 0: none are drawn; x, y: where the beam is, pixels. */
static void make_sums(const struct spi_detector *d, double photons, double x, double y)
{
    double total = 0;

    for (int p = 0; p < PIXELS; p++)
        total += profile(q_at(d, p, 0, 0));
    for (int k = 0; k < PARTS; k++) {
        struct spi_rng r = spi_rng_stream(12, SPI_RNG_TEST, (uint64_t)k);

        for (int p = 0; p < PIXELS; p++) {
            double v = profile(q_at(d, p, x, y)) * (double)d->geometry[p] * IMAGES / PARTS;

            if (photons > 0)
                v = (double)spi_rng_poisson(&r, v * photons / total);
            sum[k * PIXELS + p] = d->bad[p] ? 0 : (float)v;
        }
    }
}

static void finds(double photons, bool stop, double wavelength, double x, double y)
{
    struct spi_detector d;
    struct spi_centre c;
    spi_err err = detector(&d, stop, wavelength);
    double far;
    bool want = hypot(x, y) > 0.25;

    make_sums(&d, photons, x, y);
    err = err ? err
              : spi_centre_estimate(&d, photons > 0 ? SPI_PHOTONS : SPI_INTENSITIES, IMAGES,
                                    PARTS, sum, &c);
    far = hypot(c.shift_px[0] - x, c.shift_px[1] - y);
    /* 0.1: the profile between rings is a straight line; and 4 standard errors */
    OK(!err && c.known && far < 0.1 + 4 * hypot(c.sigma_px[0], c.sigma_px[1]) &&
           spi_centre_is_off(&c) == want && c.agree &&
           fabs(c.shift_invA[0] - c.shift_px[0] * pixel) < 1e-9,
       "%g photons, beam stop %d, wavelength %g: %.2f %.2f px (+- %.2f %.2f), in truth "
       "%.1f %.1f: %s",
       photons, stop, wavelength, c.shift_px[0], c.shift_px[1], c.sigma_px[0],
       c.sigma_px[1], x, y, spi_centre_is_off(&c) ? "off" : "right");
    spi_detector_clear(&d);
}

enum fault { HOT, SHADOW, ARM, WEDGE, HALF_MOVED, FAULTS };

/* What the fault makes of pixel (x, y) from the beam. */
static double factor(const struct spi_detector *d, enum fault fault, int p)
{
    double x = p % SIDE - (SIDE - 1) / 2.0, y = p / SIDE - (SIDE - 1) / 2.0;

    switch (fault) {
    case HOT:
        return x > 4 && x < 6 && fabs(y) < 1 ? 100 : 1;
    case SHADOW:
        return x > 8 ? 0.7 : 1;
    case ARM:
        return x > 0 && fabs(y) < 9 ? 0.3 : 1;
    case WEDGE:
        return fabs(atan2(y, x)) < 0.7 ? 0.05 : 1;
    default: /* the right half by two pixels */
        return x > 0 ? profile(q_at(d, p, 2, 0)) / profile(q_at(d, p, 0, 0)) : 1;
    }
}

/* None is taken for a wrong centre: no shift makes the rings even. */
static void faults(enum fault fault)
{
    static const char *const name[FAULTS] = {"hot pixels", "a shadow", "an arm of the stop",
                                             "a wedge", "half out of place"};
    struct spi_detector d;
    struct spi_centre c = {0};
    spi_err err = detector(&d, false, 0);

    smooth = true;
    make_sums(&d, 1e4, 0, 0);
    for (int p = 0; p < PIXELS; p++)
        for (int k = 0; k < PARTS; k++)
            sum[k * PIXELS + p] *= (float)factor(&d, fault, p);
    smooth = false;
    err = err ? err : spi_centre_estimate(&d, SPI_PHOTONS, IMAGES, PARTS, sum, &c);
    OK(!err && c.known && (fault == HOT || spi_centre_is_off(&c)) &&
           !(spi_centre_is_off(&c) && c.agree),
       "%s: %.2f %.2f px, %s", name[fault], c.shift_px[0], c.shift_px[1],
       c.agree ? "a shift" : "no shift");
    spi_detector_clear(&d);
}

/* Half of the detector alone: its rings are half circles, which know less across the edge.
 */
static void half(double x, double y)
{
    struct spi_detector d;
    struct spi_centre c = {0};
    spi_err err = detector(&d, false, 20);
    double far;

    for (int p = 0; p < PIXELS && !err; p++)
        d.bad[p] = p % SIDE < SIDE / 2;
    make_sums(&d, 1000, x, y);
    err = err ? err : spi_centre_estimate(&d, SPI_PHOTONS, IMAGES, PARTS, sum, &c);
    far = hypot(c.shift_px[0] - x, c.shift_px[1] - y);
    /* 0.1: the profile between rings is a straight line; and 4 standard errors */
    OK(!err && c.known && c.agree && c.partial &&
           far < 0.1 + 4 * hypot(c.sigma_px[0], c.sigma_px[1]) &&
           spi_centre_is_off(&c) == (hypot(x, y) > 0),
       "half of a detector: %.2f %.2f px (+- %.2f %.2f), in truth %.1f %.1f", c.shift_px[0],
       c.shift_px[1], c.sigma_px[0], c.sigma_px[1], x, y);
    spi_detector_clear(&d);
}

/* A quarter of each ring says nothing. */
static void quarter(void)
{
    struct spi_detector d;
    struct spi_centre c = {.known = true};
    spi_err err = detector(&d, false, 0);

    for (int p = 0; p < PIXELS && !err; p++)
        d.bad[p] = p % SIDE < SIDE / 2 || p / SIDE < SIDE / 2;
    make_sums(&d, 1000, 0, 0);
    err = err ? err : spi_centre_estimate(&d, SPI_PHOTONS, IMAGES, PARTS, sum, &c);
    OK(!err && !c.known && !spi_centre_is_off(&c), "a quarter of a detector: not known");
    spi_detector_clear(&d);
}

/* ---- with single images (J15), (J16) ------------------------------------------------ */

static struct spi_centre by_mean(bool known, bool agree, double x, double sigma)
{
    return (struct spi_centre){.known = known,
                               .agree = agree,
                               .shift_px = {x, 0},
                               .sigma_px = {sigma, sigma},
                               .shift_invA = {x * pixel, 0}};
}

static struct spi_friedel_result by_pairs(double x, double sigma, double both)
{
    return (struct spi_friedel_result){.known = true,
                                       .at = {x * pixel, 0},
                                       .sigma = {sigma * pixel, sigma * pixel},
                                       .pixel = pixel,
                                       .both = both,
                                       .stands_out = 100};
}

static void combine(void)
{
    struct spi_centre c = by_mean(true, true, 1.00, 0.02), was = c;
    struct spi_friedel_result pairs = by_pairs(1.04, 0.02, 1);
    double a = 1 / (0.02 * 0.02 + 0.015 * 0.015);

    spi_centre_combine(&c, &pairs);
    OK(c.by == SPI_CENTRE_BY_BOTH && fabs(c.shift_px[0] - 1.02) < 1e-12 &&
           fabs(c.shift_invA[0] - 1.02 * pixel) < 1e-12 &&
           fabs(c.sigma_px[0] - sqrt(1 / (2 * a))) < 1e-12,
       "both, of one variance: the middle of them, %.3f px", c.shift_px[0]);
    pairs = by_pairs(0.02, 0.01, 1);
    c = was;
    spi_centre_combine(&c, &pairs);
    OK(c.by == SPI_CENTRE_BY_PAIRS && fabs(c.shift_px[0] - 0.02) < 1e-12 && c.agree &&
           !spi_centre_is_off(&c),
       "a mean image that is spoilt: single images count");
    pairs = by_pairs(0.12, 0.01, 1);
    spi_centre_combine(&c, &pairs);
    OK(spi_centre_is_off(&c), "0.12 +- 0.02 pixels are off");
    c = by_mean(true, true, 0.12, 0.01);
    OK(!spi_centre_is_off(&c), "of the mean image alone they are not");
    c = by_mean(true, false, 0.9, 0.02);
    pairs = by_pairs(1.1, 0.01, 0.5);
    spi_centre_combine(&c, &pairs);
    OK(c.by == SPI_CENTRE_BY_PAIRS && fabs(c.shift_px[0] - 1.1) < 1e-12 &&
           c.sigma_px[0] >= 0.1,
       "pairs of half of the weight: their error is 0.1 px at least (%.2f)", c.sigma_px[0]);
    c = by_mean(false, false, 0, 0);
    pairs = by_pairs(14.5, 0.01, 0.9);
    spi_centre_combine(&c, &pairs);
    OK(c.known && c.far && spi_centre_is_off(&c), "14.5 pixels are far");
    pairs.known = false;
    c = was;
    spi_centre_combine(&c, &pairs);
    OK(memcmp(&c, &was, sizeof c) == 0, "no pairs: the mean image alone");
}

/* Noise of 0.05 px around a place that moves by `slope` over the file, and jumps by `jump`. */
static double drift_of(double slope, double jump)
{
    struct spi_friedel_result pairs = by_pairs(0, 0.01, 1);
    struct spi_centre c = by_mean(false, false, 0, 0);
    struct spi_rng r = spi_rng_stream(5, SPI_RNG_TEST, 0);

    pairs.n_blocks = SPI_FRIEDEL_BLOCKS;
    for (int b = 0; b < pairs.n_blocks; b++)
        for (int k = 0; k < 2; k++)
            pairs.block[b][k] =
                pixel * (0.05 * spi_rng_normal(&r) +
                         (k == 0) * (slope * b / (pairs.n_blocks - 1) + jump * (b >= 10)));
    spi_centre_combine(&c, &pairs);
    return c.drift_px;
}

static void drifts(void)
{
    double none = drift_of(0, 0), slow = drift_of(1, 0), jump = drift_of(0, -0.5);

    OK(!(none > 0), "noise is no drift: %.2f px", none);
    /* ends are means of 3 blocks: 1 - 2/19, and 3 standard errors 0.05 sqrt(2 / 3) */
    OK(fabs(slow - 17.0 / 19) < 0.13, "a drift of 1 px: %.2f px", slow);
    OK(fabs(jump - 0.5) < 0.13, "a jump of 0.5 px: %.2f px", jump);
}

int main(void)
{
    static const double photons[] = {0, 1e4, 1e3};

    for (int i = 0; i < 3; i++) {
        finds(photons[i], false, 0, 0, 0);
        finds(photons[i], false, 0, 1, 0);
        finds(photons[i], true, 0, -1, 2);
        finds(photons[i], false, 20, 3, 2); /* the edge is 32 degrees from the beam */
    }
    finds(200, false, 0, 0, 0); /* few photons are no shift */
    for (int i = 0; i < FAULTS; i++)
        faults((enum fault)i);
    half(0, 0);
    half(1, -1);
    half(-3, 2);
    quarter();
    combine();
    drifts();
    return tap_done();
}
